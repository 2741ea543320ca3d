"""Trajectories: futures of many agents at once: aircraft, pedestrians, players."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.domains.trajectories.settings import (
    FlowSettings,
    NetworkSettings,
    SceneSampling,
    StudentSettings,
    TrajectoriesData,
    TrajectoriesEvaluation,
    TrajectoriesRun,
    lengths_missing,
)
from flowsci.errors import FlowsciError

if TYPE_CHECKING:
    import pandas
    import torch
    import xarray
    from matplotlib.figure import Figure

    from flowsci.domains.contract import Batch
    from flowsci.domains.trajectories.batches import SceneConditions, TrainingBatches
    from flowsci.domains.trajectories.flow import SceneFlow
    from flowsci.store.metrics import Evaluation
    from flowsci.store.prepared import Prepared
    from flowsci.store.samples import Exported


class Trajectories:
    """The trajectories domain, as `flowsci.domains.contract.Domain` asks for it."""

    name = "trajectories"
    versions: Mapping[str, int] = {"prepare": 6, "train": 5, "sample": 5, "evaluate": 6}
    data_settings = TrajectoriesData
    run_settings = TrajectoriesRun

    def check_run(self, run: TrajectoriesRun, data: TrajectoriesData) -> None:
        """Ask for the lengths of a run over pixels: what fits metres fits no picture."""
        missing = lengths_missing(run)
        if missing and getattr(data.tracks, "unit", None) == "pixel":
            raise FlowsciError(
                f"{', '.join(missing)}: the positions of the dataset '{run.data}' are in pixels, "
                "for which these lengths have no default; give them, in pixels."
            )

    def prepare(self, files: Sequence[Path], settings: TrajectoriesData) -> "Prepared":
        """Make tracks, scenes and statistics from files of tracks."""
        from flowsci.domains.trajectories.prepare import prepare

        return prepare(files, settings)

    def batches(self, prepared: "Prepared", run: TrajectoriesRun, split: str) -> "TrainingBatches":
        """Give the batches of scenes of a split."""
        from flowsci.domains.trajectories.batches import TrainingBatches

        return TrainingBatches(prepared.arrays, split, run.training)

    def model(
        self,
        network: NetworkSettings,
        flow: FlowSettings | StudentSettings,
        statistics: Mapping[str, Any],
    ) -> "SceneFlow":
        """Build the network with its flow, or with the one-step student of a flow."""
        from flowsci.domains.trajectories.flow import SceneFlow
        from flowsci.domains.trajectories.student import SceneStudent

        kind = SceneStudent if isinstance(flow, StudentSettings) else SceneFlow
        return kind(network, flow, statistics)

    def conditions(self, prepared: "Prepared", settings: SceneSampling) -> "SceneConditions":
        """List the scenes of the split that is continued."""
        from flowsci.domains.trajectories.batches import SceneConditions

        return SceneConditions(prepared.arrays, settings.split)

    def decode(
        self, samples: Mapping[str, "torch.Tensor"], batch: "Batch", prepared: "Prepared"
    ) -> "xarray.Dataset":
        """Give a row for each agent of each scene."""
        from flowsci.domains.trajectories.export import decode

        return decode(samples, batch)

    def export(self, samples: "xarray.Dataset", prepared: "Prepared", folder: Path) -> "Exported":
        """Write Parquet and GeoJSON."""
        from flowsci.domains.trajectories.export import export

        return export(samples, prepared, folder)

    def read_samples(self, folder: Path) -> "pandas.DataFrame":
        """Read the samples as a table."""
        from flowsci.domains.trajectories.export import read_samples

        return read_samples(folder)

    def evaluate(
        self,
        samples: "pandas.DataFrame",
        prepared: "Prepared",
        settings: TrajectoriesEvaluation,
    ) -> "Evaluation":
        """Judge the samples beside constant velocity."""
        from flowsci.domains.trajectories.evaluate import evaluate

        return evaluate(samples, prepared, settings)

    def figures(
        self, samples: "pandas.DataFrame", prepared: "Prepared", evaluation: "Evaluation"
    ) -> "Mapping[str, Figure]":
        """Draw scenes, errors and calibration."""
        from flowsci.domains.trajectories.figures import figures

        return figures(samples, prepared, evaluation)


domain = Trajectories()
