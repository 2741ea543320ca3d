"""How an output came to be: code, settings, inputs, packages, device, time, memory."""

import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import flowsci

PACKAGES = ("numpy", "torch", "lightning-fabric", "xarray", "zarr", "pandas", "snakemake")


class Clock:
    """Measure a stage from now on."""

    def __init__(self) -> None:
        self.wall = time.monotonic()
        self.started = datetime.now(UTC)

    def provenance(
        self,
        stage: str,
        *,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        device: str = "cpu",
        packages: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        """Give the record of a finished stage; `inputs` maps names to SHA-256 checksums."""
        return {
            "stage": stage,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self.wall, 2),
            "peak_memory_mb": round(peak_memory_mb(), 1),
            "device": device,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "flowsci": code_version(),
            "python": platform.python_version(),
            "packages": package_versions((*PACKAGES, *packages)),
            "settings": dict(settings),
            "inputs": dict(inputs),
        }


def peak_memory_mb() -> float:
    """Give the largest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def package_versions(names: tuple[str, ...]) -> dict[str, str]:
    """Give the installed versions; packages that are not installed are left out."""
    versions = {}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def code_version() -> str:
    """Give the version of flowsci, with the commit where it runs from a checkout."""
    root = Path(flowsci.__file__).parent.parent
    if not (root / ".git").exists():
        return flowsci.__version__
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--exclude", "*"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return flowsci.__version__
    return f"{flowsci.__version__}+{done.stdout.strip()}"
