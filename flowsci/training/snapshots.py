"""Unfinished training on disk: safetensors and JSON, never pickle; the last whole one counts."""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.store.checksums import of_file
from flowsci.store.staging import replacing

FORMAT = 1
TENSORS, VALUES = "state.safetensors", "state.json"


@dataclass(frozen=True)
class Snapshot:
    """The state of a training after `step` steps: groups of tensors by name, and plain values."""

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    values: Mapping[str, Any]


def save(work: Path, snapshot: Snapshot) -> None:
    """Write a snapshot beside the former one, which is removed afterwards.

    Raises `FlowsciError` where the disk is full; the former snapshot then stays.
    """
    for left_behind in work.glob(".step-*.staging"):
        shutil.rmtree(left_behind)
    with replacing(work / f"step-{snapshot.step:09}") as folder:
        # copies: tied weights share memory, which the format refuses
        flat = {
            f"{group}/{name}": tensor.detach().to("cpu", copy=True).contiguous()
            for group, members in snapshot.tensors.items()
            for name, tensor in members.items()
        }
        _write(folder / TENSORS, to_bytes(flat))
        values = {
            "format": FORMAT,
            "step": snapshot.step,
            "groups": list(snapshot.tensors),
            "sha256": of_file(folder / TENSORS),
            "values": dict(snapshot.values),
        }
        _write(folder / VALUES, json.dumps(values, allow_nan=False).encode())
    for older in _folders(work)[:-1]:
        shutil.rmtree(older)


def load(work: Path) -> Snapshot | None:
    """Give the last snapshot, or None where there is none.

    Raises `FlowsciError` where it is damaged or of another format.
    """
    folders = _folders(work)
    if not folders:
        return None
    folder = folders[-1]
    try:
        found = json.loads((folder / VALUES).read_text(encoding="utf-8"))
        if found["format"] != FORMAT:
            raise ValueError(f"its format is {found['format']}, expected {FORMAT}")
        if found["sha256"] != of_file(folder / TENSORS):
            raise ValueError(f"{TENSORS} is not the file that {VALUES} describes")
        return Snapshot(found["step"], _grouped(folder, found["groups"]), found["values"])
    except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise FlowsciError(
            f"{folder}: the training snapshot is damaged or of another version ({reason}). "
            f"Delete {work} to train from the start."
        ) from None


def _grouped(folder: Path, groups: list[str]) -> dict[str, dict[str, Tensor]]:
    grouped: dict[str, dict[str, Tensor]] = {group: {} for group in groups}
    for key, tensor in load_file(folder / TENSORS).items():
        group, name = key.split("/", 1)
        grouped[group][name] = tensor
    return grouped


def _write(path: Path, content: bytes) -> None:
    """Write through to the disk: the former snapshot goes away as soon as this one is named."""
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _folders(work: Path) -> list[Path]:
    return sorted(work.glob("step-*"))
