"""Weather: ensembles, downscaling, in-painting and events from one trained core."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.domains.weather.data_settings import WeatherData
from flowsci.domains.weather.settings import (
    FlowSettings,
    StudentSettings,
    TransformerSettings,
    UNetSettings,
    WeatherEvaluation,
    WeatherRun,
    WeatherSampling,
)

if TYPE_CHECKING:
    import torch
    import xarray
    from matplotlib.figure import Figure

    from flowsci.domains.contract import Batch, Simulated
    from flowsci.domains.weather.batches import TrainingBatches, WeatherConditions
    from flowsci.domains.weather.export import Generated
    from flowsci.domains.weather.flow import WeatherFlow
    from flowsci.domains.weather.given import GivenConditions
    from flowsci.store.metrics import Evaluation
    from flowsci.store.prepared import Prepared
    from flowsci.store.samples import Exported


class Weather:
    """The weather domain, as `flowsci.domains.contract.Domain` asks for it."""

    name = "weather"
    versions: Mapping[str, int] = {
        "simulate": 1,
        "prepare": 5,
        "train": 6,
        "sample": 4,
        "evaluate": 3,
    }
    data_settings = WeatherData
    run_settings = WeatherRun
    streams_samples = True

    def simulate(
        self, settings: WeatherData, chunk: int, files: Sequence[Path], folder: Path
    ) -> "Simulated":
        """Run the atmosphere or the turbulence that the dataset file names."""
        from flowsci.domains.weather.simulate import simulate

        return simulate(settings, chunk, folder)

    def join(self, settings: WeatherData, chunks: Sequence[Path], folder: Path) -> "Simulated":
        """Make one encoded file of the simulation."""
        from flowsci.domains.weather.simulate import join

        return join(settings, chunks, folder)

    def prepare(self, files: Sequence[Path], settings: WeatherData) -> "Prepared":
        """Make fields, climatology, statistics and splits from raw files."""
        from flowsci.domains.weather.prepare import prepare

        return prepare(files, settings)

    def batches(self, prepared: "Prepared", run: WeatherRun, split: str) -> "TrainingBatches":
        """Give the batches of cases of a split."""
        from flowsci.domains.weather.batches import TrainingBatches

        return TrainingBatches(prepared, split, run.training)

    def model(
        self,
        network: UNetSettings | TransformerSettings,
        flow: FlowSettings | StudentSettings,
        statistics: Mapping[str, Any],
    ) -> "WeatherFlow":
        """Build the network with its mean head and flow, or the one-step student."""
        from flowsci.domains.weather.flow import WeatherFlow
        from flowsci.domains.weather.student import WeatherStudent

        kind = WeatherStudent if isinstance(flow, StudentSettings) else WeatherFlow
        return kind(network, flow, statistics)

    def conditions(
        self, prepared: "Prepared", settings: WeatherSampling
    ) -> "WeatherConditions | GivenConditions":
        """List the times that are drawn for, of the split or of a file of the user's."""
        from flowsci.domains.weather.batches import WeatherConditions
        from flowsci.domains.weather.given import GivenConditions

        kind = GivenConditions if settings.files() else WeatherConditions
        return kind(prepared, settings)

    def decode(
        self, samples: Mapping[str, "torch.Tensor"], batch: "Batch", prepared: "Prepared"
    ) -> "xarray.Dataset":
        """Give a row for each start, in physical units."""
        from flowsci.domains.weather.export import decode

        return decode(samples, batch, prepared)

    def export(self, samples: "xarray.Dataset", prepared: "Prepared", folder: Path) -> "Exported":
        """Write CF Zarr and NetCDF."""
        from flowsci.domains.weather.export import export

        return export(samples, prepared, folder)

    def read_samples(self, folder: Path) -> "Generated":
        """Open the samples lazily."""
        from flowsci.domains.weather.export import read_samples

        return read_samples(folder)

    def evaluate(
        self, samples: "Generated", prepared: "Prepared", settings: WeatherEvaluation
    ) -> "Evaluation":
        """Judge the samples beside persistence, climatology, regression and the dressed mean."""
        from flowsci.domains.weather.evaluate import evaluate

        return evaluate(samples, prepared, settings)

    def figures(
        self, samples: "Generated", prepared: "Prepared", evaluation: "Evaluation"
    ) -> "Mapping[str, Figure]":
        """Draw maps, spectra, rank histograms and skill by lead."""
        from flowsci.domains.weather.figures import figures

        return figures(samples, prepared, evaluation)


domain = Weather()
