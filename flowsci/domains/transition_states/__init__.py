"""Transition states: reactant and product in, transition state out, with energy and verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowsci.domains.transition_states.settings import (
    FlowSettings,
    NetworkSettings,
    ReactionSampling,
    TransitionStatesData,
    TransitionStatesEvaluation,
    TransitionStatesRun,
)

if TYPE_CHECKING:
    import torch
    import xarray
    from matplotlib.figure import Figure

    from flowsci.domains.contract import Batch, Simulated
    from flowsci.domains.transition_states.batches import ReactionConditions, TrainingBatches
    from flowsci.domains.transition_states.export import Generated
    from flowsci.domains.transition_states.flow import ReactionFlow
    from flowsci.store.metrics import Evaluation
    from flowsci.store.prepared import Prepared
    from flowsci.store.samples import Exported


class TransitionStates:
    """The transition-states domain, as `flowsci.domains.contract.Domain` asks for it."""

    name = "transition_states"
    versions: Mapping[str, int] = {
        "simulate": 2,
        "prepare": 3,
        "train": 4,
        "sample": 3,
        "evaluate": 2,
    }
    data_settings = TransitionStatesData
    run_settings = TransitionStatesRun

    def simulate(
        self, settings: TransitionStatesData, chunk: int, files: Sequence[Path], folder: Path
    ) -> "Simulated":
        """Make the reactions of one chunk of reactants at GFN2-xTB."""
        from flowsci.domains.transition_states.simulate import simulate

        return simulate(settings, chunk, files, folder)

    def join(
        self, settings: TransitionStatesData, chunks: Sequence[Path], folder: Path
    ) -> "Simulated":
        """Make one file of the distinct reactions of all chunks."""
        from flowsci.domains.transition_states.simulate import join

        return join(chunks, folder)

    def prepare(self, files: Sequence[Path], settings: TransitionStatesData) -> "Prepared":
        """Make reactions, bonds, starts and splits from raw files."""
        from flowsci.domains.transition_states.prepare import prepare

        return prepare(files, settings)

    def batches(
        self, prepared: "Prepared", run: TransitionStatesRun, split: str
    ) -> "TrainingBatches":
        """Give the batches of reactions of a split."""
        from flowsci.domains.transition_states.batches import TrainingBatches

        return TrainingBatches(prepared.arrays, split, run.training)

    def model(
        self, network: NetworkSettings, flow: FlowSettings, statistics: Mapping[str, Any]
    ) -> "ReactionFlow":
        """Build the network with its flow."""
        from flowsci.domains.transition_states.flow import ReactionFlow

        return ReactionFlow(network, flow, statistics)

    def conditions(self, prepared: "Prepared", settings: ReactionSampling) -> "ReactionConditions":
        """List the reactions of the split that gets transition states."""
        from flowsci.domains.transition_states.batches import ReactionConditions

        return ReactionConditions(prepared.arrays, settings.split)

    def decode(
        self, samples: Mapping[str, "torch.Tensor"], batch: "Batch", prepared: "Prepared"
    ) -> "xarray.Dataset":
        """Give a row for each atom of each reaction, in Å."""
        from flowsci.domains.transition_states.export import decode

        return decode(samples, batch)

    def export(self, samples: "xarray.Dataset", prepared: "Prepared", folder: Path) -> "Exported":
        """Write extended XYZ, SDF and Parquet."""
        from flowsci.domains.transition_states.export import export

        return export(samples, prepared, folder)

    def read_samples(self, folder: Path) -> "Generated":
        """Read the samples as positions and a table."""
        from flowsci.domains.transition_states.export import read_samples

        return read_samples(folder)

    def evaluate(
        self,
        samples: "Generated",
        prepared: "Prepared",
        settings: TransitionStatesEvaluation,
    ) -> "Evaluation":
        """Judge the samples beside the midpoint, the stress embedding and the reactant."""
        from flowsci.domains.transition_states.evaluate import evaluate

        return evaluate(samples, prepared, settings)

    def figures(
        self, samples: "Generated", prepared: "Prepared", evaluation: "Evaluation"
    ) -> "Mapping[str, Figure]":
        """Draw reactions, errors, confidence and energies."""
        from flowsci.domains.transition_states.figures import figures

        return figures(samples, prepared, evaluation)


domain = TransitionStates()
