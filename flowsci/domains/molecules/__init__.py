"""Molecules: atoms, bonds, charges and geometry from one flow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.domains.molecules.settings import (
    FlowSettings,
    MoleculesData,
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

    from flowsci.domains.contract import Batch, Conditions, Model
    from flowsci.domains.molecules.batches import TrainingBatches
    from flowsci.domains.molecules.export import Generated
    from flowsci.store.metrics import Evaluation
    from flowsci.store.prepared import Prepared
    from flowsci.store.samples import Exported


class Molecules:
    """The molecules domain, as `flowsci.domains.contract.Domain` asks for it."""

    name = "molecules"
    versions: Mapping[str, int] = {"prepare": 1, "train": 1, "sample": 1, "evaluate": 1}
    data_settings = MoleculesData
    run_settings = MoleculesRun

    def prepare(self, files: Sequence[Path], settings: MoleculesData) -> "Prepared":
        """Make graphs, positions, properties and splits from raw files."""
        from flowsci.domains.molecules.prepare import prepare

        return prepare(files, settings)

    def batches(self, prepared: "Prepared", run: MoleculesRun, split: str) -> "TrainingBatches":
        """Give the batches of molecules of a split."""
        from flowsci.domains.molecules.batches import TrainingBatches

        return TrainingBatches(prepared, split, run)

    def model(
        self,
        network: NetworkSettings,
        flow: FlowSettings | PropertySettings,
        statistics: Mapping[str, Any],
    ) -> "Model":
        """Build the network with its flow, or the net that judges properties."""
        from flowsci.domains.molecules.flow import build_model

        return build_model(network, flow, statistics)

    def conditions(self, prepared: "Prepared", settings: MoleculesSampling) -> "Conditions":
        """List what molecules are asked for."""
        from flowsci.domains.molecules.conditions import list_conditions

        return list_conditions(prepared, settings)

    def decode(
        self, samples: Mapping[str, "torch.Tensor"], batch: "Batch", prepared: "Prepared"
    ) -> "xarray.Dataset":
        """Give a row for each atom of each sample."""
        from flowsci.domains.molecules.decode import decode

        return decode(samples, batch, prepared)

    def export(self, samples: "xarray.Dataset", prepared: "Prepared", folder: Path) -> "Exported":
        """Write SDF, Parquet and extended XYZ."""
        from flowsci.domains.molecules.export import export

        return export(samples, prepared, folder)

    def read_samples(self, folder: Path) -> "Generated":
        """Read the samples as molecules and a table."""
        from flowsci.domains.molecules.export import read_samples

        return read_samples(folder)

    def evaluate(
        self, samples: "Generated", prepared: "Prepared", settings: MoleculesEvaluation
    ) -> "Evaluation":
        """Judge the samples beside real molecules of the test split."""
        from flowsci.domains.molecules.evaluate import evaluate

        return evaluate(samples, prepared, settings)

    def figures(
        self, samples: "Generated", prepared: "Prepared", evaluation: "Evaluation"
    ) -> "Mapping[str, Figure]":
        """Draw molecules, distributions, and targets beside what was achieved."""
        from flowsci.domains.molecules.figures import figures

        return figures(samples, prepared, evaluation)


domain = Molecules()
