"""Trained models on disk: `model.safetensors` and `model.json`; opening one runs no code."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import flowsci
from flowsci.errors import FlowsciError
from flowsci.store.checksums import of_file

if TYPE_CHECKING:
    from torch import Tensor, nn

FORMAT = 1
UPGRADES: Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""Functions that turn the description of a format into that of the next one."""
WEIGHTS, DESCRIPTION = "model.safetensors", "model.json"


def write_model(folder: Path, state: "Mapping[str, Tensor]", about: Mapping[str, Any]) -> None:
    """Write weights and what is known of them: domain, settings, statistics, units, training."""
    from safetensors.torch import save

    # copies, as the format refuses tied weights; written by hand, as the library's own file would
    # be readable by its owner only
    content = save(
        {name: t.detach().to("cpu", copy=True).contiguous() for name, t in state.items()}
    )
    (folder / WEIGHTS).write_bytes(content)
    description = {
        "format": FORMAT,
        "flowsci": flowsci.__version__,
        **about,
        "weights": {"sha256": of_file(folder / WEIGHTS), "dtypes": _dtypes(state)},
    }
    text = json.dumps(description, indent=2, allow_nan=False, ensure_ascii=False)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def read_model(folder: Path, domain: str) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Read weights and description, held against the checksum.

    Raises `FlowsciError` where the model is of another domain, of a newer format, or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    description = _read_description(folder / DESCRIPTION)
    if description.get("domain") != domain:
        raise FlowsciError(
            f"{folder}: is a model of the domain '{description.get('domain')}', expected "
            f"'{domain}'. Give the model folder of a run of {domain}."
        )
    weights = folder / WEIGHTS
    try:
        found = of_file(weights)
        if found != description["weights"]["sha256"]:
            raise FlowsciError(
                f"{weights}: is not the file that {DESCRIPTION} describes (expected sha256 "
                f"{description['weights']['sha256']}, found {found}). Train again, or restore it."
            )
        return load_file(weights), description
    except (OSError, SafetensorError) as error:
        raise FlowsciError(f"{weights}: cannot be read: {error}. Train the run again.") from None


def load_weights(network: "nn.Module", state: "Mapping[str, Tensor]", folder: Path) -> None:
    """Put weights into a network; raise `FlowsciError` naming those that do not fit."""
    wrong = misfits(network, state)
    if wrong:
        listed = "\n  ".join(wrong[:10])
        raise FlowsciError(
            f"{folder}: {len(wrong)} weights do not fit the network that {DESCRIPTION} describes:\n"
            f"  {listed}\nThe model is of another version of flowsci; train it again."
        )
    network.load_state_dict(dict(state))


def misfits(network: "nn.Module", state: "Mapping[str, Tensor]") -> list[str]:
    """Say which weights are missing, unexpected or of another shape, one line a weight."""
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    return [
        f"{name}: expected {wanted.get(name, 'none')}, found {given.get(name, 'none')}"
        for name in sorted(wanted.keys() | given.keys())
        if wanted.get(name) != given.get(name)
    ]


def _read_description(path: Path) -> dict[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FlowsciError(f"{path}: there is no such file; train the run first.") from None
    except (OSError, ValueError) as error:
        raise FlowsciError(f"{path}: cannot be read: {error}. Train the run again.") from None
    version = description.get("format") if isinstance(description, dict) else None
    if type(version) is not int or version < 1:
        raise FlowsciError(f"{path}: does not describe a model. Train the run again.")
    if version > FORMAT:
        raise FlowsciError(
            f"{path}: has format {version}, written by flowsci {description.get('flowsci')}; this "
            f"flowsci reads up to {FORMAT}. Install a newer flowsci."
        )
    for older in range(version, FORMAT):
        description = UPGRADES[older](description)
    missing = sorted({"domain", "weights"} - description.keys())
    if missing:
        raise FlowsciError(f"{path}: lacks {', '.join(missing)}. Train the run again.")
    return dict(description)


def _dtypes(state: "Mapping[str, Tensor]") -> list[str]:
    return sorted({str(tensor.dtype).removeprefix("torch.") for tensor in state.values()})
