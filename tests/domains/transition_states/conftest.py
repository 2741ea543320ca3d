"""Made reactions, small enough for tests: a hydrogen moves in water chains of several shapes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from flowsci.domains.transition_states import domain
from flowsci.domains.transition_states.settings import TransitionStatesData, TransitionStatesRun

SYMBOLS = {1: "H", 6: "C", 7: "N", 8: "O"}


def geometries(number: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Make a hydrogen cyanide to isocyanide reaction beside a hydrogen molecule, in Å."""
    draw = np.random.default_rng(number)
    numbers = np.array([6, 7, 1, 1, 1])
    beside = np.array([[0.0, 3.0, 0.0], [0.75, 3.0, 0.2]]) + 0.2 * draw.normal(size=3)
    hydrogen = {
        "reactant": [-1.07, 0.0, 0.0],
        "transition_state": [0.55, 1.15 + 0.05 * draw.normal(), 0.0],
        "product": [2.16, 0.0, 0.0],
    }
    ends = {}
    for role, place in hydrogen.items():
        positions = np.array([[0.0, 0.0, 0.0], [1.16, 0.0, 0.0], place, *beside])
        ends[role] = positions + 0.01 * draw.normal(size=positions.shape)
    return numbers, ends


def frame(numbers: np.ndarray, positions: np.ndarray, name: str, role: str, extra: str = "") -> str:
    """Write one frame as extended XYZ."""
    rows = [
        f"{SYMBOLS[int(z)]} {x:.6f} {y:.6f} {w:.6f}"
        for z, (x, y, w) in zip(numbers, positions, strict=True)
    ]
    head = f"Properties=species:S:1:pos:R:3 reaction={name} role={role} {extra}".strip()
    return "\n".join([str(len(numbers)), head, *rows]) + "\n"


def write_triplets(path: Path, count: int, first: int = 0) -> Path:
    """Write made reactions as extended XYZ triplets."""
    text = ""
    for number in range(first, first + count):
        numbers, ends = geometries(number)
        for role, positions in ends.items():
            text += frame(numbers, positions, f"made_{number}", role, "energy=-1.5")
    path.write_text(text, encoding="utf-8")
    return path


def data_settings(**changes) -> TransitionStatesData:
    """Settings for made reactions; `changes` replace whole sections."""
    sections = {
        "domain": "transition_states",
        "title": "Made reactions",
        "level": "made by hand",
        "licence": "none",
        "citation": "none",
        "source": {"kind": "path", "path": "made.extxyz"},
        "splits": {"kind": "random", "train": 0.6, "validation": 0.2, "test": 0.2},
    }
    return TransitionStatesData.model_validate({**sections, **changes})


@pytest.fixture(scope="session")
def run_settings() -> TransitionStatesRun:
    """A run whose network is as small as it can be."""
    return TransitionStatesRun.model_validate(
        {
            "domain": "transition_states",
            "data": "made",
            "title": "Made",
            "network": {"width": 16, "pair_width": 8, "layers": 2, "heads": 2, "vectors": 4},
            "training": {"steps": 4, "minutes": 1, "batch_size": 6, "warm_up_steps": 0},
            "sampling": {"samples": 2, "steps": 2},
        }
    )


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    path = write_triplets(tmp_path_factory.mktemp("made") / "made.extxyz", 20)
    return domain.prepare([path], data_settings())


@pytest.fixture(scope="session")
def model(prepared, run_settings):
    torch.manual_seed(0)
    made = domain.model(run_settings.network, run_settings.flow, prepared.statistics)
    for parameter in made.network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    made.network.eval()
    return made


@pytest.fixture(scope="session")
def drawn(model, prepared, run_settings):
    from flowsci.flow import sample_generators

    conditions = domain.conditions(prepared, run_settings.sampling)
    batch = conditions.batch(range(len(conditions)))
    count = run_settings.sampling.samples
    generators = sample_generators(0, range(count * len(conditions)))
    with torch.no_grad():
        samples = model.sample(model.network, batch, generators, run_settings.sampling)
    return domain.decode(samples, batch, prepared)
