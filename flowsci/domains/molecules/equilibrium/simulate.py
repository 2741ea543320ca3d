"""Chains of conformers at a temperature, each kept by itself, so that no chunk changes a result."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rdkit import Chem

from flowsci.domains.contract import Simulated
from flowsci.domains.molecules.equilibrium.chains import Chain, Turn
from flowsci.domains.molecules.equilibrium.energies import BOLTZMANN, ENERGIES, molecule_of
from flowsci.domains.molecules.equilibrium.settings import EquilibriumSettings
from flowsci.domains.molecules.equilibrium.zmatrix import ZMatrix, side, z_matrix
from flowsci.domains.molecules.graphs import bond_matrix
from flowsci.errors import FlowsciError
from flowsci.progress import progress

if TYPE_CHECKING:
    from flowsci.domains.molecules.data_settings import MoleculesData

FILE = "conformers.npz"
DESCRIPTION = "positions (chains, conformers, atoms, 3) in Å, as NumPy arrays"


def simulate(settings: "MoleculesData", chunk: int, folder: Path) -> Simulated:
    """Run the chains of chunk number `chunk` (0-based); chains that are done are kept."""
    simulation = _simulation(settings)
    chains = range(simulation.chains)[chunk :: settings.source.chunks]
    molecule = molecule_of(simulation.smiles)
    files, accepted = {}, {"trajectories": [], "jumps": []}
    with progress("simulating", len(chains), "chains") as bar:
        for number in chains:
            path = folder / f"chain_{number:03d}.npz"
            if not path.is_file():
                _keep(path, run_chain(molecule, simulation, [settings.seed, number]))
            with np.load(path) as kept:
                for name, values in accepted.items():
                    values.append(float(kept[name]))
            files[path.name] = f"positions of chain {number} in Å, shares of accepted moves"
            bar.advance()
    shares = {name: round(float(np.mean(values)), 4) for name, values in accepted.items() if values}
    return Simulated(files, {"chains": len(chains), "accepted": shares})


def run_chain(
    molecule: Chem.Mol, simulation: EquilibriumSettings, seed: Sequence[int]
) -> dict[str, np.ndarray]:
    """Give `positions` (conformers, n, 3) float32 of one chain, and the shares of its moves."""
    numbers, bonds = graph_of(molecule)
    chain = Chain(
        ENERGIES[simulation.energy](molecule),
        BOLTZMANN * simulation.temperature_kelvin,
        molecule.GetConformer().GetPositions(),
        turns_of(z_matrix(numbers, bonds), bonds),
        np.random.default_rng(seed),
    )
    kept = chain.run(simulation.burn_in, simulation.conformers, simulation.stride)
    positions = np.array(list(kept), dtype=np.float32)
    shares = {
        name: np.array(chain.accepted[name] / max(chain.tried[name], 1)) for name in chain.tried
    }
    return {"positions": positions, **shares}


def turns_of(matrix: ZMatrix, bonds: np.ndarray) -> list[Turn]:
    """Give the bonds that torsions jump about: those of free torsions that are no rotors."""
    turns = []
    for row in matrix.turning:
        _, near, far, _ = matrix.rows[row].tolist()
        turns.append(Turn((far, near), side(bonds, far, near)))
    return turns


def graph_of(molecule: Chem.Mol) -> tuple[np.ndarray, np.ndarray]:
    """Give atomic numbers (n,) and bond orders (n, n) of a Kekulé structure."""
    molecule = Chem.Mol(molecule)
    Chem.Kekulize(molecule, clearAromaticFlags=True)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    return numbers, bond_matrix(molecule)


def join(chunks: Sequence[Path], folder: Path) -> Simulated:
    """Write all chains, in order, as one file."""
    paths = sorted((path for chunk in chunks for path in chunk.glob("chain_*.npz")), key=_name)
    chains, shares = [], {"trajectories": [], "jumps": []}
    for path in paths:
        with np.load(path) as kept:
            chains.append(kept["positions"])
            for name, values in shares.items():
                values.append(float(kept[name]))
    np.savez(folder / FILE, positions=np.stack(chains))
    counts = {name: round(float(np.mean(values)), 4) for name, values in shares.items()}
    return Simulated({FILE: DESCRIPTION}, {"chains": len(chains), "accepted": counts})


def _name(path: Path) -> str:
    return path.name


def _simulation(settings: "MoleculesData") -> EquilibriumSettings:
    if settings.simulation is None:
        raise FlowsciError(
            "The dataset file lacks `simulation`: which molecule, at what temperature."
        )
    return settings.simulation


def _keep(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a chain, whole or not at all."""
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as stream:
        np.savez(stream, **arrays)
    partial.replace(path)
