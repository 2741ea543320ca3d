"""Molecules for tests, and a tiny dataset of one, by the domain's own code."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.equilibrium.energies import molecule_of
from flowsci.domains.molecules.equilibrium.simulate import graph_of
from flowsci.domains.molecules.equilibrium.zmatrix import ZMatrix, z_matrix
from flowsci.domains.molecules.settings import MoleculesRun
from flowsci.store.prepared import Prepared

SMILES = ("CCCCC", "CCO", "COCO", "CC(C)N", "CC(=O)NC", "OC(F)CC", "CCC(C)(C)C")


def shaken(smiles: str, count: int = 4, spread: float = 0.05) -> tuple[torch.Tensor, ZMatrix]:
    """Give positions (count, n, 3) about one conformer, and the Z-matrix."""
    molecule = molecule_of(smiles)
    matrix = z_matrix(*graph_of(molecule))
    start = torch.from_numpy(molecule.GetConformer().GetPositions())
    noise = torch.randn(count, *start.shape, dtype=torch.float64, generator=_generator())
    return start + spread * noise, matrix


def data(smiles: str = "CCCO", **simulation) -> MoleculesData:
    """Settings of a tiny dataset."""
    return MoleculesData(
        domain="molecules",
        title="Made conformers",
        licence="none",
        citation="none",
        source={"kind": "simulate", "chunks": 2},
        simulation={
            "smiles": smiles,
            "chains": 4,
            "conformers": 150,
            "burn_in": 100,
            "stride": 1,
            **simulation,
        },
        splits={"kind": "shares", "train": 0.5, "validation": 0.25, "test": 0.25},
    )


@cache
def prepared(smiles: str = "CCCO") -> Prepared:
    """Simulate in two chunks, join, prepare."""
    settings = data(smiles)
    with TemporaryDirectory() as name:
        folder = Path(name)
        chunks = [folder / "0", folder / "1"]
        for number, chunk in enumerate(chunks):
            chunk.mkdir()
            domain.simulate(settings, number, [], chunk)
        simulated = domain.join(settings, chunks, folder)
        return domain.prepare([folder / name for name in simulated.files], settings)


def run(**sections) -> MoleculesRun:
    """Settings of a tiny run; `sections` add to each."""
    base = {
        "network": {"kind": "internal", "width": 16, "layers": 1},
        "flow": {"kind": "equilibrium"},
        "training": {"steps": 5, "minutes": 1, "batch_size": 32},
        "sampling": {
            "samples": 60,
            "steps": 2,
            "method": "runge_kutta_4",
            "conditions": {"kind": "equilibrium", "sets": 2},
        },
        "evaluation": {"bootstrap": 100},
    }
    for name, section in sections.items():
        base[name] = {**base[name], **section}
    return MoleculesRun(domain="molecules", data="made", title="Made", **base)


def rotation(seed: int = 0) -> np.ndarray:
    """Give a proper rotation (3, 3)."""
    matrix = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    return matrix * np.sign(np.linalg.det(matrix))


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
