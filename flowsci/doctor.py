"""What this machine has, for a user who asks why something is slow or missing."""

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import psutil

from flowsci.domains import domain_names
from flowsci.store.acquire import cache_folder
from flowsci.store.provenance import code_version, package_versions

CORE = ("torch", "snakemake", "lightning-fabric", "torch-geometric", "xarray", "zarr", "rdkit")
EXTRAS = {
    "slurm": ("snakemake-executor-plugin-slurm",),
    "simulate": ("jcm",),
    "pot": ("POT",),
    "dev": ("pytest", "ruff", "mypy"),
}


def examine() -> dict[str, str]:
    """Give findings by name, in the order in which they are shown."""
    memory = psutil.virtual_memory()
    here = shutil.disk_usage(Path.cwd())
    return {
        "flowsci": code_version(),
        "python": f"{platform.python_version()} on {platform.platform()}",
        "cores": f"{_usable_cores()} usable of {os.cpu_count()}",
        "memory": f"{memory.available / 1e9:.1f} GB free of {memory.total / 1e9:.1f} GB",
        "disk here": f"{here.free / 1e9:.1f} GB free of {here.total / 1e9:.1f} GB",
        "devices": _devices(),
        "cache": _cache(),
        "domains": ", ".join(domain_names()) or "none: install with `pip install -e .`",
        "packages": ", ".join(f"{n} {v}" for n, v in package_versions(CORE).items()),
        **{f"extra {name}": _extra(name, packages) for name, packages in EXTRAS.items()},
    }


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _devices() -> str:
    import torch

    found = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        found.append("Apple GPU (mps)")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
    return f"{', '.join(found) or 'CPU only'}; CUDA_VISIBLE_DEVICES is {visible or 'empty'}"


def _cache() -> str:
    folder = cache_folder()
    if not folder.exists():
        return f"{folder} (does not exist yet; FLOWSCI_CACHE moves it)"
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return f"{folder} ({size / 1e6:.0f} MB; FLOWSCI_CACHE moves it)"


def _extra(name: str, packages: tuple[str, ...]) -> str:
    missing = []
    for package in packages:
        try:
            metadata.version(package)
        except metadata.PackageNotFoundError:
            missing.append(package)
    if not missing:
        return "installed"
    return f"missing {', '.join(missing)}: `pip install -e '.[{name}]'`"
