"""Molecules: atoms, bonds, charges and geometry from one flow.

The conformers of one molecule at a temperature have rooms of their own in `equilibrium`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.domains.molecules.data_settings import MoleculesData
from flowsci.domains.molecules.equilibrium.settings import (
    EquilibriumConditions,
    EquilibriumFlow,
    InternalNetwork,
)
from flowsci.domains.molecules.settings import (
    FlowSettings,
    MoleculesEvaluation,
    MoleculesRun,
    MoleculesSampling,
    NetworkSettings,
    PropertySettings,
)

if TYPE_CHECKING:
    import torch
    import xarray
    from matplotlib.figure import Figure

    from flowsci.domains.contract import Batch, Batches, Conditions, Model, Simulated
    from flowsci.domains.molecules.equilibrium.export import Conformers
    from flowsci.domains.molecules.export import Generated
    from flowsci.store.metrics import Evaluation
    from flowsci.store.prepared import Prepared
    from flowsci.store.samples import Exported


class Molecules:
    """The molecules domain, as `flowsci.domains.contract.Domain` asks for it."""

    name = "molecules"
    versions: Mapping[str, int] = {
        "simulate": 1,
        "prepare": 2,
        "train": 4,
        "sample": 3,
        "evaluate": 3,
    }
    data_settings = MoleculesData
    run_settings = MoleculesRun

    def simulate(
        self, settings: MoleculesData, chunk: int, files: Sequence[Path], folder: Path
    ) -> "Simulated":
        """Run one chunk of the chains of a molecule's conformers."""
        from flowsci.domains.molecules.equilibrium.simulate import simulate

        return simulate(settings, chunk, folder)

    def join(self, settings: MoleculesData, chunks: Sequence[Path], folder: Path) -> "Simulated":
        """Make one file of all chains."""
        from flowsci.domains.molecules.equilibrium.simulate import join

        return join(chunks, folder)

    def prepare(self, files: Sequence[Path], settings: MoleculesData) -> "Prepared":
        """Make graphs, positions, properties and splits from raw files."""
        if settings.simulation is not None:
            from flowsci.domains.molecules.equilibrium import prepare as equilibrium

            return equilibrium.prepare(files, settings)
        from flowsci.domains.molecules.prepare import prepare

        return prepare(files, settings)

    def batches(self, prepared: "Prepared", run: MoleculesRun, split: str) -> "Batches":
        """Give the batches of molecules, or of one molecule's conformers, of a split."""
        if isinstance(run.flow, EquilibriumFlow):
            from flowsci.domains.molecules.equilibrium.batches import StateBatches

            return StateBatches(prepared, split, run.training)
        from flowsci.domains.molecules.batches import TrainingBatches

        return TrainingBatches(prepared, split, run)

    def model(
        self,
        network: NetworkSettings | InternalNetwork,
        flow: FlowSettings | PropertySettings | EquilibriumFlow,
        statistics: Mapping[str, Any],
    ) -> "Model":
        """Build the network with its flow, or the net that judges properties."""
        if isinstance(network, InternalNetwork):
            from flowsci.domains.molecules.equilibrium.flow import ConformerFlow

            return ConformerFlow(network, statistics)
        from flowsci.domains.molecules.flow import build_model

        return build_model(network, flow, statistics)

    def conditions(self, prepared: "Prepared", settings: MoleculesSampling) -> "Conditions":
        """List what molecules are asked for."""
        if isinstance(settings.conditions, EquilibriumConditions):
            from flowsci.domains.molecules.equilibrium.batches import Sets

            return Sets(settings.conditions.sets)
        from flowsci.domains.molecules.conditions import list_conditions

        return list_conditions(prepared, settings)

    def decode(
        self, samples: Mapping[str, "torch.Tensor"], batch: "Batch", prepared: "Prepared"
    ) -> "xarray.Dataset":
        """Give a row for each atom of each sample, or for each weighted conformer."""
        if _one_molecule(prepared):
            from flowsci.domains.molecules.equilibrium import export as equilibrium

            return equilibrium.decode(samples, batch, prepared)
        from flowsci.domains.molecules.decode import decode

        return decode(samples, batch, prepared)

    def export(self, samples: "xarray.Dataset", prepared: "Prepared", folder: Path) -> "Exported":
        """Write SDF, Parquet and extended XYZ."""
        if _one_molecule(prepared):
            from flowsci.domains.molecules.equilibrium import export as equilibrium

            return equilibrium.export(samples, prepared, folder)
        from flowsci.domains.molecules.export import export

        return export(samples, prepared, folder)

    def read_samples(self, folder: Path) -> "Generated | Conformers":
        """Read the samples as molecules, or positions, and a table."""
        from flowsci.domains.molecules.equilibrium import export as equilibrium
        from flowsci.domains.molecules.export import read_samples

        if (folder / equilibrium.TABLE).is_file():
            return equilibrium.read_samples(folder)
        return read_samples(folder)

    def evaluate(
        self, samples: Any, prepared: "Prepared", settings: MoleculesEvaluation
    ) -> "Evaluation":
        """Judge the samples beside real molecules, or conformers, of the test split."""
        if _one_molecule(prepared):
            from flowsci.domains.molecules.equilibrium import evaluate as equilibrium

            return equilibrium.evaluate(samples, prepared, settings)
        from flowsci.domains.molecules.evaluate import evaluate

        return evaluate(samples, prepared, settings)

    def figures(
        self, samples: Any, prepared: "Prepared", evaluation: "Evaluation"
    ) -> "Mapping[str, Figure]":
        """Draw molecules and distributions, or profiles and weights of one molecule."""
        if _one_molecule(prepared):
            from flowsci.domains.molecules.equilibrium import figures as equilibrium

            return equilibrium.figures(evaluation)
        from flowsci.domains.molecules.figures import figures

        return figures(samples, prepared, evaluation)


def _one_molecule(prepared: "Prepared") -> bool:
    return "equilibrium" in prepared.statistics


domain = Molecules()
