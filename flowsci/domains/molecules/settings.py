"""Settings of the molecules domain: datasets and runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, Tag, model_validator
from pydantic.types import Discriminator

from flowsci.domains.molecules.equilibrium.settings import (
    EquilibriumConditions,
    EquilibriumFlow,
    EquilibriumSettings,
    InternalNetwork,
)
from flowsci.settings import (
    DataSettings,
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Section,
    Shares,
    Split,
    TrainingSettings,
    is_changed,
    kind_of,
)

Property = Literal["mu", "alpha", "homo", "lumo", "gap", "cv"]


def refuse_changed(section: BaseModel, names: Sequence[str], prefix: str, why: str) -> None:
    """Raise `ValueError` where one of these keys, of which nothing comes, is not its default."""
    changed = [f"{prefix}{name}" for name in names if is_changed(section, name)]
    if changed:
        raise ValueError(f"{', '.join(changed)} without effect: {why}; leave out what has none")


class ShareSplits(Shares):
    """Shares of molecules, drawn at random; molecules of one graph stand on one side."""

    kind: Literal["shares"] = "shares"


class PermutationSplits(Section):
    """Numbers of molecules in the order of NumPy's `RandomState(seed).permutation` of all rows.

    With 100,000, 17,748 and 13,083 it is the split of Cormorant and EDM on QM9. It is drawn before
    rows are dropped, so that no cause of dropping moves a molecule to another side.
    """

    kind: Literal["permutation"] = "permutation"
    train: int = Field(gt=0, description="Molecules to train on.")
    validation: int = Field(gt=0, description="Molecules that choose the model.")
    test: int = Field(gt=0, description="Molecules that the model is judged on.")


class ConformerSettings(Section):
    """Positions for molecules that come without: ETKDG of RDKit, then MMFF94."""

    count: int = Field(1, gt=0, description="Conformers of each molecule; each becomes a record.")
    force_field: Literal["mmff", "none"] = Field(
        "mmff", description="`mmff` relaxes every conformer; `none` keeps it as ETKDG gives it."
    )
    steps: int = Field(500, gt=0, description="Most steps of the relaxation.")


class MoleculesData(DataSettings):
    """A dataset of molecules: atoms, Kekulé bonds, formal charges, and positions if any."""

    domain: Literal["molecules"]
    level: str = Field(
        "", description="Level of theory of geometries and properties, for protocols and cards."
    )
    mode: Literal["3d", "2d"] = Field(
        "3d", description="`3d`: graphs with positions; `2d`: graphs alone."
    )
    hydrogens: Literal["explicit", "add", "none"] = Field(
        "explicit",
        description="`explicit`: as the source gives them, and a molecule that lacks some is a "
        "fault; `add`: missing ones are added, with positions where there are any; `none`: left "
        "out, for `2d` only.",
    )
    splits: Annotated[
        ShareSplits | PermutationSplits,
        Field(discriminator="kind"),
    ] = ShareSplits()
    properties: dict[str, str] = Field(
        {},
        description="Properties to keep and the unit each has in the source, by the name of its "
        "column or field: Debye, Bohr^3, Hartree, eV, kcal/mol, cal/(mol K) or 1. QM9's own "
        "readers know theirs.",
    )
    most_heavy_atoms: int | None = Field(
        None, gt=0, description="Leave out molecules with more heavy atoms; all without it."
    )
    largest_atoms: int = Field(
        200,
        gt=0,
        description="Largest number of atoms of a molecule; memory grows as its square. A larger "
        "one is a fault.",
    )
    on_fault: Literal["stop", "skip"] = Field(
        "stop",
        description="What a molecule that cannot be used does: stop, or be counted by its fault "
        "and left out.",
    )
    conformers: ConformerSettings = ConformerSettings()
    # not said where there is none: the datasets of many molecules stay as they were made
    simulation: EquilibriumSettings | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="Which molecule's conformers are made, at what temperature, for a `simulate` "
        "source.",
    )
    processes: int = Field(2, gt=0, description="Processes that read, one core each.")

    @model_validator(mode="after")
    def _graphs_alone_without_hydrogens(self) -> "MoleculesData":
        if self.hydrogens == "none" and self.mode == "3d":
            raise ValueError("`hydrogens: none` is for `mode: 2d`; positions need every atom")
        return self

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> "MoleculesData":
        if self.mode == "2d":
            refuse_changed(self, ["conformers"], "", "`mode: 2d` has no positions")
        if self.simulation is not None:
            names = ["mode", "hydrogens", "properties", "most_heavy_atoms", "largest_atoms"]
            names += ["on_fault", "conformers"]
            refuse_changed(self, names, "", "`simulation` makes one whole molecule in space")
        return self

    @model_validator(mode="after")
    def _simulation_where_it_is_simulated(self) -> "MoleculesData":
        if (self.source.kind == "simulate") != (self.simulation is not None):
            raise ValueError(
                "a source of the kind `simulate` and the section `simulation` go together; give "
                "both or none"
            )
        return self


class NetworkSettings(Section):
    """The transformer over the atoms of a molecule; `size` sets what is not given."""

    size: Literal["tiny", "small", "base", "large"] = Field(
        "small", description="About 0.5, 1, 7 or 40 million parameters."
    )
    mode: Literal["3d", "2d"] = Field(
        "3d", description="`3d`: graphs with positions; `2d`: graphs alone."
    )
    width: int | None = Field(None, gt=0, description="Features of an atom.")
    pair_width: int | None = Field(None, gt=0, description="Features of a pair of atoms.")
    layers: int | None = Field(None, gt=0, description="Layers.")
    heads: int | None = Field(None, gt=0, description="Attention heads; must divide the width.")
    vectors: int | None = Field(None, gt=0, description="Vectors of an atom.")
    pair_updates: int | None = Field(
        None, ge=0, description="How often the features of pairs are computed anew."
    )
    properties: list[Property] = Field([], description="Properties that can be asked for.")
    judge: Literal["tiny", "small", "base", "large"] | None = Field(
        None,
        description="Size of the net that judges samples by `properties`: the run's teacher, which "
        "is kept with the model.",
    )
    composition: bool = Field(False, description="Numbers of atoms an element can be asked for.")
    fragments: bool = Field(
        False, description="Fragments, and whole graphs without positions, can be given."
    )
    fake_atoms: int = Field(
        0,
        ge=0,
        description="Most places that a molecule may leave empty, so that its number of atoms is "
        "free: what is asked for is then the least number of places.",
    )


class FlowSettings(Section):
    """The flow from noise to molecules."""

    kind: Literal["flow"] = "flow"
    types: Literal["masked", "catflow"] = Field(
        "masked",
        description="How atom types, bonds and charges flow: `masked`, a discrete flow from a mask "
        "token; `catflow`, noised one-hots with a cross-entropy of the endpoint.",
    )
    self_conditioning: bool = Field(
        True, description="The network sees its own last prediction, in half of training views."
    )
    align: bool = Field(
        True, description="Permute the noise and turn it onto the molecule in training."
    )
    scale_angstrom: float = Field(
        1.5, gt=0, description="Standard deviation of the noise, about that of the positions."
    )
    times: Literal["uniform", "middle"] = Field(
        "uniform",
        description="Times of training: all alike, or more in the `middle`, where the noised "
        "one-hots of catflow are decided (logit-normal, mean 0.2, deviation 0.8).",
    )
    label_power: float = Field(
        1.0, ge=1, description="Labels appear as time to this power: above 1 after the positions."
    )
    sharpness: float = Field(
        30.0, gt=0, description="Largest weight of the positions' loss, which grows towards t = 1."
    )
    distortion: float = Field(
        0.0, ge=0, description="Standard deviation, in Å, of noise on known positions in training."
    )
    positions_weight: float = Field(1.0, ge=0, description="Weight of the loss of positions.")
    atoms_weight: float = Field(0.2, ge=0, description="Weight of the loss of atom types.")
    charges_weight: float = Field(0.2, ge=0, description="Weight of the loss of charges.")
    bonds_weight: float = Field(0.4, ge=0, description="Weight of the loss of bonds.")

    @model_validator(mode="after")
    def _power_of_masked_labels(self) -> "FlowSettings":
        if self.types == "catflow":
            refuse_changed(self, ["label_power"], "", "`types: catflow` has no times of labels")
        return self


class PropertySettings(Section):
    """No flow: a net that judges `network.properties`, the teacher of the runs that it judges."""

    kind: Literal["property"] = "property"


class MoleculesTraining(TrainingSettings):
    """Training on molecules in batches of like size."""

    pair_budget: int = Field(
        30_000, gt=0, description="Most pairs of atoms in a batch; `batch_size` is the other limit."
    )
    half: Literal["all", "generator", "judge"] = Field(
        "all",
        description="Which half of the training molecules is seen: a judge of properties is "
        "trained on the other half than the generator.",
    )
    validation_molecules: int = Field(
        4000, gt=0, description="Most validation molecules that choose the weights, evenly spaced."
    )
    unconditional: float = Field(
        0.1, ge=0, le=1, description="Share of views in which each condition is left out."
    )
    fragment_share: float = Field(
        0.5, ge=0, le=1, description="Share of views with a given fragment, where the network can."
    )
    graph_share: float = Field(
        0.3, ge=0, le=1, description="Share of these in which the fragment is the whole graph."
    )


class CountConditions(Section):
    """Nothing is asked for but a number of atoms: as in training, or the same for all."""

    kind: Literal["counts"] = "counts"
    molecules: int = Field(gt=0, description="Number of conditions.")
    atoms: int | None = Field(
        None, gt=0, description="Atoms of each; without it drawn from the training molecules."
    )


class PropertyConditions(Section):
    """Properties that molecules of a split have, or values that are the same for all."""

    kind: Literal["properties"] = "properties"
    molecules: int = Field(gt=0, description="Number of conditions.")
    names: list[Property] = Field(min_length=1, description="Properties that are asked for.")
    values: list[float] | None = Field(
        None, description="A value each, in the dataset's units; without it those of molecules."
    )
    split: Split = Field("test", description="Split whose molecules give the values.")

    @model_validator(mode="after")
    def _a_value_each(self) -> "PropertyConditions":
        if self.values is not None and len(self.values) != len(self.names):
            raise ValueError(f"{len(self.names)} names need as many values, not {self.values}")
        if self.values is not None:
            refuse_changed(self, ["split"], "", "`values` say what is asked for")
        return self


class CompositionConditions(Section):
    """Numbers of atoms of each element, as formulas."""

    kind: Literal["composition"] = "composition"
    formulas: list[str] = Field(min_length=1, description="Formulas such as C7H10O2.")


class SmilesConditions(Section):
    """Molecules whose conformers are wanted."""

    kind: Literal["smiles"] = "smiles"
    smiles: list[str] = Field([], description="SMILES of the molecules.")
    split: Split | None = Field(None, description="Take the molecules of this split instead.")
    molecules: int | None = Field(None, gt=0, description="As many of the split, evenly spaced.")

    @model_validator(mode="after")
    def _one_origin(self) -> "SmilesConditions":
        if bool(self.smiles) == (self.split is not None):
            raise ValueError("give either smiles or split")
        if self.split is None:
            refuse_changed(self, ["molecules"], "", "it chooses among those of a `split`")
        return self


class ScaffoldConditions(Section):
    """Fragments that every sample contains exactly, as given."""

    kind: Literal["scaffold"] = "scaffold"
    fragments: Path | None = Field(None, description="SDF file of fragments with positions.")
    split: Split | None = Field(
        None, description="Take ring systems of this split's molecules instead."
    )
    molecules: int | None = Field(None, gt=0, description="As many of the split, evenly spaced.")
    atoms: int | None = Field(
        None, gt=0, description="Atoms of the whole molecule; without it drawn, or free."
    )

    @model_validator(mode="after")
    def _one_origin(self) -> "ScaffoldConditions":
        if (self.fragments is None) == (self.split is None):
            raise ValueError("give either fragments or split")
        if self.split is None:
            refuse_changed(self, ["molecules"], "", "it chooses among those of a `split`")
        return self


ConditionSettings = Annotated[
    Annotated[CountConditions, Tag("counts")]
    | Annotated[PropertyConditions, Tag("properties")]
    | Annotated[CompositionConditions, Tag("composition")]
    | Annotated[SmilesConditions, Tag("smiles")]
    | Annotated[ScaffoldConditions, Tag("scaffold")]
    | Annotated[EquilibriumConditions, Tag("equilibrium")],
    Discriminator(kind_of("counts")),
]


class DFlowSettings(Section):
    """D-Flow: the start is optimised through the sampler against a net of the property."""

    iterations: int = Field(gt=0, description="Steps of the optimiser.")
    learning_rate: float = Field(0.5, gt=0, description="Step size.")


class MoleculesSampling(SamplingSettings):
    """Molecules for a list of conditions."""

    method: Literal["euler", "runge_kutta_4"] = Field(
        "euler",
        description="Solver method; `runge_kutta_4` for equilibrium conformers, whose densities "
        "need it, `euler` for all else.",
    )
    conditions: ConditionSettings
    guidance: float | None = Field(
        None, ge=0, description="Scale of classifier-free guidance; 1, as without, guides nothing."
    )
    temperature: float = Field(1.0, gt=0, description="Temperature of the categories.")
    stochasticity: float = Field(
        0.0,
        ge=0,
        description="How much labels move beyond what is needed, which undoes errors: the rate of "
        "their jumps, or of the noise that is renewed in those of catflow.",
    )
    order: Literal["random", "confident"] = Field(
        "random",
        description="Which labels appear first: any, or about those of which the network is "
        "surest, so that in few steps fewer that depend on each other are drawn at once.",
    )
    d_flow: DFlowSettings | None = None

    @model_validator(mode="after")
    def _method_of_the_conditions(self) -> "MoleculesSampling":
        exact = isinstance(self.conditions, EquilibriumConditions)
        if exact != (self.method == "runge_kutta_4"):
            raise ValueError(
                "`method: runge_kutta_4` and `conditions: {kind: equilibrium}` go together"
            )
        return self

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> "MoleculesSampling":
        if isinstance(self.conditions, EquilibriumConditions):
            names = ["guidance", "temperature", "stochasticity", "order", "d_flow"]
            refuse_changed(self, names, "", "the density of equilibrium conformers is exact")
        asks = isinstance(self.conditions, PropertyConditions | CompositionConditions)
        if self.guidance not in (None, 1) and not asks:
            raise ValueError(
                "guidance strengthens properties or a composition, and `conditions` ask for "
                "neither; leave it out, or name their kind"
            )
        if self.d_flow is not None and not isinstance(self.conditions, PropertyConditions):
            raise ValueError(
                "d_flow moves the start towards properties, and `conditions` ask for none; leave "
                "it out, or give `conditions: {kind: properties}`"
            )
        if self.d_flow is not None and self.stochasticity:
            raise ValueError(
                "d_flow differentiates through the sampler, and a stochastic one moves on its own; "
                "set stochasticity to 0"
            )
        return self


class MoleculesEvaluation(EvaluationSettings):
    """How generated molecules are judged, beside real ones of the test split."""

    reference_molecules: int = Field(
        10_000, gt=1, description="Most test molecules beside the samples, evenly spaced."
    )
    posebusters: Literal["none", "fast", "full"] = Field(
        "fast",
        description="PoseBusters' tests of single molecules; `full` adds the energy beside that of "
        "RDKit's conformers, which takes seconds a molecule.",
    )
    posebusters_molecules: int = Field(
        1_000, gt=0, description="Most samples, and test molecules, that PoseBusters looks at."
    )
    relaxed_molecules: int = Field(
        200,
        ge=0,
        description="Most valid samples, and test molecules, that are relaxed at GFN2-xTB; about "
        "0.1 s of a core each.",
    )
    relaxation_steps: int = Field(300, gt=0, description="Most steps of a relaxation.")
    perceived_molecules: int = Field(
        1_000,
        ge=0,
        description="Most samples, and test molecules, whose bonds are perceived from positions.",
    )
    fcd: bool = Field(
        True, description="Compute the Fréchet ChemNet distance; about 3 ms of a core a molecule."
    )
    processes: int = Field(1, gt=0, description="Processes that judge, one core each.")


def _network_kind(value: Any) -> str:
    """Tell networks apart: only that of one molecule's conformers says its kind."""
    if isinstance(value, dict):
        return value.get("kind", "transformer")
    return getattr(value, "kind", "transformer")


class MoleculesRun(RunSettings):
    """A run of the molecules domain."""

    domain: Literal["molecules"]
    network: Annotated[
        Annotated[NetworkSettings, Tag("transformer")]
        | Annotated[InternalNetwork, Tag("internal")],
        Discriminator(_network_kind),
    ] = NetworkSettings()
    flow: Annotated[
        Annotated[FlowSettings, Tag("flow")]
        | Annotated[PropertySettings, Tag("property")]
        | Annotated[EquilibriumFlow, Tag("equilibrium")],
        Discriminator(kind_of("flow")),
    ] = FlowSettings()
    training: MoleculesTraining
    sampling: MoleculesSampling
    evaluation: MoleculesEvaluation = MoleculesEvaluation()

    @model_validator(mode="after")
    def _equilibrium_or_not(self) -> "MoleculesRun":
        parts = {
            "network: {kind: internal}": isinstance(self.network, InternalNetwork),
            "flow: {kind: equilibrium}": isinstance(self.flow, EquilibriumFlow),
            "sampling.conditions: {kind: equilibrium}": isinstance(
                self.sampling.conditions, EquilibriumConditions
            ),
        }
        if len(set(parts.values())) > 1:
            raise ValueError(f"{', '.join(parts)} go together; give all or none")
        if isinstance(self.flow, EquilibriumFlow):
            for name, section, common in (
                ("training", self.training, TrainingSettings),
                ("evaluation", self.evaluation, EvaluationSettings),
            ):
                # `processes` says what may be used, which is no wish
                others = {*common.model_fields, "processes"}
                own = [key for key in type(section).model_fields if key not in others]
                refuse_changed(section, own, f"{name}.", "conformers of one molecule need none")
        return self

    @model_validator(mode="after")
    def _judged_by_a_teacher(self) -> "MoleculesRun":
        if isinstance(self.network, InternalNetwork):
            return self
        if (self.network.judge is not None) != (self.teacher is not None):
            raise ValueError(
                "a run that is judged names the judge's size in network.judge and its run in "
                "`teacher`; give both or none"
            )
        if self.network.judge is not None and self.network.fake_atoms:
            raise ValueError("a judge knows no fake atoms: set network.fake_atoms to 0")
        return self

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> "MoleculesRun":
        if isinstance(self.network, InternalNetwork):
            return self
        if isinstance(self.flow, PropertySettings):
            names = ["composition", "fragments", "fake_atoms", "judge"]
            refuse_changed(self.network, names, "network.", "a judge sees whole molecules")
        elif self.network.mode == "2d":
            names = ["scale_angstrom", "sharpness", "distortion", "positions_weight"]
            refuse_changed(self.flow, names, "flow.", "`network.mode: 2d` has no positions")
        return self

    @model_validator(mode="after")
    def _samples_as_it_is_trained(self) -> "MoleculesRun":
        # the model of another run is held against what is asked for when it samples
        flow = self.flow
        if self.trained_by is not None or not isinstance(flow, FlowSettings):
            return self
        lacking = _lacking(self.network, self.sampling.conditions)
        if lacking is not None:
            raise ValueError(
                f"sampling.conditions of the kind '{self.sampling.conditions.kind}' need "
                f"`network.{lacking}`: only what training shows can be asked for; set it, or "
                "sample the model of a run that has it (`trained_by`)"
            )
        if flow.types == "catflow":
            why = "one-hots of `flow.types: catflow` appear all at once"
            refuse_changed(self.sampling, ["order"], "sampling.", why)
        judged = self.network.judge is not None and flow.types == "catflow"
        if self.sampling.d_flow is not None and not judged:
            raise ValueError(
                "sampling.d_flow needs a judge (`network.judge` and `teacher`) and `flow.types: "
                "catflow`, as labels that jump can't be differentiated"
            )
        return self


def _lacking(network: NetworkSettings, conditions: Any) -> str | None:
    """Say which key of the network what is asked for needs, where it is not so."""
    if isinstance(conditions, SmilesConditions | ScaffoldConditions) and not network.fragments:
        return "fragments: true"
    if isinstance(conditions, CompositionConditions) and not network.composition:
        return "composition: true"
    if isinstance(conditions, PropertyConditions):
        wanted = dict.fromkeys([*network.properties, *conditions.names])
        if len(wanted) > len(network.properties):
            return f"properties: [{', '.join(wanted)}]"
    return None
