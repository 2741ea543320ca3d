"""`manifest.json`: what a dataset folder holds and how it came to be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flowsci.errors import FlowsciError

FORMAT = 1
NAME = "manifest.json"


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a dataset folder; numbers that are not finite are an error."""
    text = json.dumps(manifest, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / NAME).write_text(text + "\n", encoding="utf-8")


def read(folder: Path, kind: str, domain: str) -> Mapping[str, Any]:
    """Read a manifest; raise `FlowsciError` where it is not this kind and domain, or is newer."""
    path = folder / NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FlowsciError(f"{folder}: holds no {NAME}; make the {kind} first.") from None
    except (OSError, ValueError) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}.") from None
    if not isinstance(manifest, dict) or manifest.get("kind") != kind:
        raise FlowsciError(f"{path}: is not the manifest of a {kind}.")
    if manifest.get("domain") != domain:
        raise FlowsciError(
            f"{path}: is a {kind} of the domain '{manifest.get('domain')}', expected '{domain}'."
        )
    if manifest["format"] > FORMAT:
        raise FlowsciError(
            f"{path}: has format {manifest['format']}, this flowsci reads up to {FORMAT}; "
            "install a newer flowsci."
        )
    return manifest
