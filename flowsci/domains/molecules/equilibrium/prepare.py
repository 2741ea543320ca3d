"""From chains of positions to the prepared set: energies, splits by chain, and the chart."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr

from flowsci.domains.molecules.data_settings import MoleculesData, ShareSplits
from flowsci.domains.molecules.equilibrium.chart import Chart, fit
from flowsci.domains.molecules.equilibrium.energies import ENERGIES, energies, molecule_of
from flowsci.domains.molecules.equilibrium.settings import EquilibriumSettings
from flowsci.domains.molecules.equilibrium.simulate import FILE, graph_of
from flowsci.domains.molecules.equilibrium.zmatrix import z_matrix
from flowsci.domains.molecules.record import SPLITS
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared

STRAIGHT_DEGREES = 170.0


def prepare(files: Sequence[Path], settings: MoleculesData) -> Prepared:
    """Make the dataset of one molecule: conformers of chains, whole chains in one split.

    Raises `FlowsciError` where a molecule has no chart: rings, a straight angle, or a conformer
    of another handedness.
    """
    simulation = settings.simulation
    (path,) = (path for path in files if path.name == FILE)
    with np.load(path) as kept:
        chains = kept["positions"]
    molecule = molecule_of(simulation.smiles)
    numbers, bonds = graph_of(molecule)
    split = chain_splits(len(chains), settings.splits)
    training = torch.from_numpy(chains[split == 0].reshape(-1, len(numbers), 3))
    matrix = z_matrix(numbers, bonds)
    chart = fit(training, matrix)
    positions = chains.reshape(-1, len(numbers), 3)
    _check(Chart(matrix, chart), positions)
    values = energies(ENERGIES[simulation.energy](molecule), positions)
    count = chains.shape[1]
    arrays = xr.Dataset(
        {
            "positions": (("conformer", "atom", "axis"), positions),
            "energy": ("conformer", values),
            "chain": ("conformer", np.repeat(np.arange(len(chains), dtype=np.int16), count)),
            "split": ("conformer", np.repeat(split.astype(np.int8), count)),
        }
    )
    counts = {
        "conformers": {name: int((split == n).sum()) * count for n, name in enumerate(SPLITS)},
        "chains": {name: int((split == n).sum()) for n, name in enumerate(SPLITS)},
    }
    statistics = _statistics(molecule, numbers, bonds, simulation) | {"chart": chart}
    units = {"positions": "Å", "energy": "kcal/mol"}
    return Prepared(arrays, counts, statistics, units, _description(simulation))


def chain_splits(chains: int, shares: Any) -> np.ndarray:
    """Give the split (chains,) of each chain, in order; at least one in each."""
    if not isinstance(shares, ShareSplits):
        raise FlowsciError("splits: chains are split by `kind: shares`.")
    validation, test = (max(1, round(share * chains)) for share in (shares.validation, shares.test))
    if validation + test >= chains:
        raise FlowsciError(f"splits: {chains} chains leave none to train on; raise `chains`.")
    return np.repeat([0, 1, 2], [chains - validation - test, validation, test])


def _check(chart: Chart, positions: np.ndarray) -> None:
    states, _ = chart.encode(torch.from_numpy(positions))
    back, _, sound = chart.decode(states)
    again, _ = chart.encode(back[sound])
    angles = chart.mean[chart.angles]
    if not sound.all() or not torch.allclose(states[sound], again, atol=1e-4):
        raise FlowsciError(
            f"{int((~sound).sum())} of {len(positions)} conformers have another handedness, or "
            "coordinates that don't lead back to them: the temperature is too high for a chart."
        )
    if bool((angles > np.deg2rad(STRAIGHT_DEGREES)).any()):
        raise FlowsciError(
            "simulation.smiles: three atoms stand in a line, about which no torsion is defined."
        )


def _statistics(
    molecule: Any, numbers: np.ndarray, bonds: np.ndarray, simulation: EquilibriumSettings
) -> dict[str, Any]:
    return {
        "equilibrium": {
            "smiles": simulation.smiles,
            "temperature_kelvin": simulation.temperature_kelvin,
            "energy": simulation.energy,
        },
        "molecule": {
            "atomic_numbers": numbers.tolist(),
            "symbols": [atom.GetSymbol() for atom in molecule.GetAtoms()],
            "bonds": bonds.tolist(),
        },
    }


def _description(simulation: EquilibriumSettings) -> str:
    return (
        f"Conformers of {simulation.smiles} at {simulation.temperature_kelvin:g} K under "
        f"{simulation.energy}, by Markov chains that keep exp(-energy / kT) over positions; "
        f"{simulation.stride} iterations lie between two. Hydrogens are labelled, and every atom's "
        "handedness is that of the start: of the mirror images by labels alone, one is here."
    )
