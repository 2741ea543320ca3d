"""What a domain answers, and the records that pass between a domain and the stages.

A domain is found through the entry-point group `flowsci.domains`; the stages know only this page.
Importing a domain's package must be light (no torch, no xarray): its rooms are imported by the
methods that need them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from flowsci.settings import (
    DataSettings,
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Section,
)
from flowsci.store.prepared import Prepared
from flowsci.store.samples import Exported

if TYPE_CHECKING:
    import torch
    import xarray
    from matplotlib.figure import Figure

    from flowsci.flow import Loss
    from flowsci.store.metrics import Evaluation


@dataclass(frozen=True)
class Simulated:
    """What a simulation left in its folder: what each file is, and counts for the manifest."""

    files: Mapping[str, str]
    counts: Mapping[str, Any]


Batch = Mapping[str, "torch.Tensor"]
"""Tensors by name, all with the same first dimension; `id` (batch,) int64 names the cases."""


class Batches(Protocol):
    """Training batches by number: batch i is the same on every machine and after every resume."""

    def __len__(self) -> int:
        """Give the number of batches in one pass."""

    def __getitem__(self, index: int) -> Batch:
        """Give batch `index` of an endless sequence of passes, each in an order of its own."""


class Conditions(Protocol):
    """What samples are drawn for: a fixed, ordered list of conditions."""

    def __len__(self) -> int:
        """Give the number of conditions."""

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the conditions with these indices as one batch."""


class Model(Protocol):
    """A domain's network with the objective that trains it and the sampler that uses it."""

    network: "torch.nn.Module"

    def loss(
        self, network: "torch.nn.Module", batch: Batch, generator: "torch.Generator"
    ) -> "Loss":
        """Give the training loss of a batch; `network` may be wrapped for many devices."""

    def sample(
        self,
        network: "torch.nn.Module",
        batch: Batch,
        generators: Sequence["torch.Generator"],
        settings: SamplingSettings,
    ) -> Mapping[str, "torch.Tensor"]:
        """Draw `settings.samples` samples for each condition.

        `generators` holds one generator a sample, condition by condition:
        `generators[c * samples + s]`. The result's tensors are (conditions, samples, ...).
        """

    def calibrate(self, network: "torch.nn.Module", validation: Batches) -> None:
        """Fit what is fitted after training, into buffers of the network.

        `network` holds the weights that training chose, in evaluation mode.
        """

    def learn_from(self, teacher: "Model") -> None:
        """Take the trained model that `loss` then learns from, for a run that names a teacher.

        Raises `FlowsciError` where this model has no use for a teacher, or not for this one.
        """

    def check_data(self, statistics: Mapping[str, Any]) -> None:
        """Raise `FlowsciError` where a dataset with these statistics isn't what was learned.

        Only a model that can tell has this; it is asked before samples are drawn.
        """


class Domain(Protocol):
    """One science: its settings, data, model, measures and formats."""

    name: str
    versions: Mapping[str, int]
    """A number a stage (prepare, train, sample, evaluate); raise it when results change."""
    data_settings: type[DataSettings]
    run_settings: type[RunSettings]
    streams_samples: bool
    """Whether `export` reads samples chunk by chunk, because they may not fit into memory; false
    for a domain that doesn't say."""

    def check_run(self, run: RunSettings, data: DataSettings) -> None:
        """Raise `FlowsciError` where a run's settings do not fit its dataset's.

        Only a domain that can tell has this; it is asked when a run file is read.
        """

    def simulate(
        self, settings: DataSettings, chunk: int, files: Sequence[Path], folder: Path
    ) -> Simulated:
        """Compute one chunk (0-based) of a `simulate` source, from the source's input files.

        `folder` keeps what an interrupted call left: the work goes on from there. Only a domain
        that simulates has this and `join`.
        """

    def join(self, settings: DataSettings, chunks: Sequence[Path], folder: Path) -> Simulated:
        """Make one dataset of the folders of all chunks, in order: what `prepare` then reads."""

    def prepare(self, files: Sequence[Path], settings: DataSettings) -> Prepared:
        """Read the raw files and make the dataset."""

    def batches(self, prepared: Prepared, run: RunSettings, split: str) -> Batches:
        """Give the training batches of a split ("train", "validation")."""

    def model(self, network: Section, flow: Section, statistics: Mapping[str, Any]) -> Model:
        """Build the model of a run with untrained weights."""

    def conditions(self, prepared: Prepared, settings: SamplingSettings) -> Conditions:
        """List what samples are drawn for."""

    def decode(
        self,
        samples: Mapping[str, "torch.Tensor"],
        batch: Batch,
        prepared: Prepared,
    ) -> "xarray.Dataset":
        """Turn sampled tensors into physical quantities.

        Every variable has the leading dimension `row`, along which batches and shards are joined;
        a condition gives one or several rows (the agents of a scene, the atoms of a molecule), so
        a variable names the condition of each row.
        """

    def export(self, samples: "xarray.Dataset", prepared: Prepared, folder: Path) -> Exported:
        """Write the merged samples in the field's formats; say what each file is, and the units."""

    def read_samples(self, folder: Path) -> Any:
        """Open what `export` wrote, as a user would."""

    def evaluate(
        self, samples: Any, prepared: Prepared, settings: EvaluationSettings
    ) -> "Evaluation":
        """Judge samples beside the reference data and parameter-free baselines."""

    def figures(
        self, samples: Any, prepared: Prepared, evaluation: "Evaluation"
    ) -> Mapping[str, "Figure"]:
        """Draw the figures of a run by name; captions stand in `workflow/report/<domain>/`."""
