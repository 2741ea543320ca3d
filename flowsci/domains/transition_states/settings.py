"""Settings of the transition-states domain: datasets and runs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from flowsci.domains.transition_states.chemistry.settings import RefineSettings, SimulationSettings
from flowsci.settings import (
    DataSettings,
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Section,
    Shares,
    Split,
    TrainingSettings,
)


class ShareSplits(Shares):
    """Shares of reactions, drawn at random or by groups that stand on one side."""

    kind: Literal["random", "core", "reactant"] = Field(
        "random",
        description="What is drawn: `random` reactions; `core`, the atoms whose bonds change, with "
        "their bonds; `reactant`, the graph of the reactant. With the last two no reactant graph "
        "is on both sides.",
    )


class FileSplits(Section):
    """Splits as published: the file's name, without folder and endings, says the split."""

    kind: Literal["file"] = "file"
    train: list[str] = Field(["train"], min_length=1, description="Names of training files.")
    validation: list[str] = Field(
        ["val", "validation"], min_length=1, description="Names of validation files."
    )
    test: list[str] = Field(["test"], description="Names of test files.")
    test_from_validation: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of the validation reactions, drawn at random, that become test: for a "
        "published set whose test file is not at hand.",
    )


class TransitionStatesData(DataSettings):
    """A dataset of reactions: reactant, transition state and product in one order of atoms."""

    sources: ClassVar[tuple[str, ...]] = ("wheel", "url", "path", "sample", "simulate")

    domain: Literal["transition_states"]
    level: str = Field(description="Level of theory of the geometries, for protocols and cards.")
    splits: Annotated[ShareSplits | FileSplits, Field(discriminator="kind")] = ShareSplits()
    atom_order: Literal["same", "mapped"] = Field(
        "same",
        description="`same`: reactant, transition state and product list their atoms alike; "
        "`mapped`: the map numbers of the reaction SMILES put them in one order.",
    )
    on_fault: Literal["stop", "skip"] = Field(
        "stop",
        description="What a reaction that cannot be used does: stop, or be counted by its fault "
        "and left out.",
    )
    largest_atoms: int = Field(
        100, gt=1, description="Largest number of atoms of a reaction; memory grows as its square."
    )
    simulation: SimulationSettings | None = Field(
        None, description="How reactions are made, for a `simulate` source."
    )


class NetworkSettings(Section):
    """The transformer over the atoms of a reaction."""

    width: int = Field(128, gt=0, description="Features of an atom.")
    pair_width: int = Field(48, gt=0, description="Features of a pair of atoms.")
    layers: int = Field(5, gt=0, description="Layers; each sees the positions of the last.")
    heads: int = Field(8, gt=0, description="Attention heads; must divide the width.")
    vectors: int = Field(16, gt=0, description="Vectors of an atom.")
    handed: bool = Field(
        True, description="Tell a geometry from its mirror image, by a triple product."
    )
    dropout: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Share of hidden features of atoms and pairs that training drops.",
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "NetworkSettings":
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class FlowSettings(Section):
    """The flow from the stress embedding to the transition state."""

    noise_angstrom: float = Field(
        0.05, gt=0, description="Standard deviation of the noise on the start, per coordinate."
    )
    at_start: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of training times at t = 0; the others are uniform. The start says most "
        "of where the flow goes.",
    )
    own_states: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of the times after t = 0 whose state lies on the way to the network's "
        "own first answer, not to the truth, so that later calls mend the first.",
    )
    distance_weight: float = Field(
        1.0, ge=0, description="Weight of the mean errors of distances beside the RMSD."
    )


class ReactionTraining(TrainingSettings):
    """Training on reactions, each taken forwards or backwards, as it is or as its mirror image."""

    backwards: float = Field(
        0.5, ge=0, le=1, description="Share of training reactions whose ends are swapped."
    )
    mirrored: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of training reactions that are reflected: the energy of a mirror image "
        "is the same.",
    )
    jitter_angstrom: float = Field(
        0.0,
        ge=0,
        description="Standard deviation of noise on the reactant and the product of each training "
        "view, per coordinate: against learning few reactions by heart.",
    )


class ReactionSampling(SamplingSettings):
    """Transition states for every reaction of a split."""

    split: Split = Field("test", description="Split whose reactions get transition states.")
    method: Literal["euler"] = Field("euler", description="Solver method.")
    noise: float = Field(
        1.0,
        ge=0,
        description="Factor on the noise of the start, for every sample but the first of a "
        "reaction, which has none.",
    )

    refine: Literal["none", "gfn2"] = Field(
        "none",
        description="`gfn2` refines every sample to a saddle at GFN2-xTB, so that energy, barrier "
        "and verdict come with it; about half a second of a core for ten atoms.",
    )
    refinement: RefineSettings = RefineSettings()


class TransitionStatesEvaluation(EvaluationSettings):
    """How generated transition states are judged."""

    refine: Literal["none", "gfn2"] = Field(
        "none",
        description="`gfn2` refines each judged sample to a saddle at GFN2-xTB, beside the "
        "midpoint, and asks which reaction it belongs to.",
    )
    refined_reactions: int = Field(
        100, gt=0, description="Number of reactions that are refined, evenly spaced in the split."
    )
    refinement: RefineSettings = RefineSettings()
    processes: int = Field(1, gt=0, description="Processes that refine, one core each.")


class TransitionStatesRun(RunSettings):
    """A run of the transition-states domain."""

    domain: Literal["transition_states"]
    network: NetworkSettings = NetworkSettings()
    flow: FlowSettings = FlowSettings()
    training: ReactionTraining
    sampling: ReactionSampling
    evaluation: TransitionStatesEvaluation = TransitionStatesEvaluation()
