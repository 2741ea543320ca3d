"""Unfinished training on disk: safetensors and JSON, never pickle; the last whole one counts."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from flowsci.errors import FlowsciError
from flowsci.store.staging import replacing

Tensors = Mapping[str, Tensor]


def save(work: Path, step: int, tensors: Tensors, values: Mapping[str, Any]) -> None:
    """Write the snapshot of a step beside the former one, which is removed afterwards."""
    with replacing(work / f"step-{step:09}") as folder:
        contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        save_file(contiguous, folder / "state.safetensors")
        text = json.dumps({"step": step, **values}, allow_nan=False)
        (folder / "state.json").write_text(text, encoding="utf-8")
    for older in _folders(work)[:-1]:
        shutil.rmtree(older)


def load(work: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Give tensors and values of the last snapshot, or None where there is none.

    Raises `FlowsciError` where it is damaged.
    """
    folders = _folders(work)
    if not folders:
        return None
    try:
        values = json.loads((folders[-1] / "state.json").read_text(encoding="utf-8"))
        return load_file(folders[-1] / "state.safetensors"), values
    except Exception as error:
        raise FlowsciError(
            f"{folders[-1]}: the training snapshot is damaged ({error}). Delete {work} to train "
            "from the start."
        ) from None


def flatten_optimiser(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Give an optimiser's tensors by `parameter.name`; its settings are not part of them."""
    state = optimiser.state_dict()["state"]
    return {f"{i}.{name}": tensor for i, entry in state.items() for name, tensor in entry.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    """Put back what `flatten_optimiser` gave."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _folders(work: Path) -> list[Path]:
    return sorted(work.glob("step-*"))
