"""Settings of the runs of molecules: network, flow, training, sampling, evaluation."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, Tag, model_validator
from pydantic.types import Discriminator

from flowsci.domains.molecules.condition_settings import (
    CompositionConditions,
    ConditionSettings,
    Property,
    PropertyConditions,
    ScaffoldConditions,
    SmilesConditions,
)
from flowsci.domains.molecules.equilibrium.settings import (
    EquilibriumConditions,
    EquilibriumFlow,
    InternalNetwork,
)
from flowsci.settings import (
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Section,
    TrainingSettings,
    kind_of,
    refuse_changed,
)

Size = Literal["tiny", "small", "base", "large"]


class NetworkSettings(Section):
    """The transformer over the atoms of a molecule; `size` sets what is not given."""

    size: Size = Field("small", description="About 0.5, 1, 7 or 40 million parameters.")
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
    judge: Size | None = Field(
        None,
        description="Size of the net that judges samples by `properties`: the run's teacher, which "
        "is kept with the model.",
    )
    guide: Size | None = Field(
        None,
        description="Size of a net of `properties` that D-Flow follows; it learns beside the flow, "
        "and judges nothing.",
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
        0.0,
        ge=0,
        description="Standard deviation, in Å, of noise in training on what is not given.",
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
        0.1,
        ge=0,
        le=1,
        description="Share of views in which nothing is asked for; of several conditions, each is "
        "left out of half of the others too.",
    )
    fragment_share: float = Field(
        0.5, ge=0, le=1, description="Share of views with a given fragment, where the network can."
    )
    graph_share: float = Field(
        0.3, ge=0, le=1, description="Share of these in which the fragment is the whole graph."
    )


class DFlowSettings(Section):
    """D-Flow: the start is optimised through the sampler against a net of the property."""

    iterations: int = Field(gt=0, description="Most steps of the optimiser.")
    learning_rate: float = Field(0.1, gt=0, description="Step size.")
    tolerance: float = Field(
        0.0,
        ge=0,
        description="A start is moved no more once the net says that its molecule is so close, in "
        "standard deviations of the properties among the training molecules.",
    )


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
    renewal: float = Field(
        0.0,
        ge=0,
        description="How much noise of the positions is renewed, and laid onto them anew, which "
        "undoes errors of geometry: of the noise at t the share ((1 - t') / (1 - t))^renewal stays "
        "until t'.",
    )
    order: Literal["random", "confident"] = Field(
        "random",
        description="Which labels appear first: any, or about those of which the network is "
        "surest, so that in few steps fewer that depend on each other are drawn at once.",
    )
    d_flow: DFlowSettings | None = None

    def files(self) -> list[Path]:
        """Name the file of fragments, where molecules are built around some."""
        fragments = getattr(self.conditions, "fragments", None)
        return [] if fragments is None else [fragments]

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
            names = ["guidance", "temperature", "stochasticity", "renewal", "order", "d_flow"]
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
        # the model of another run has its judge
        own = self.trained_by is None
        if own and (self.network.judge is not None) != (self.teacher is not None):
            raise ValueError(
                "a run that is judged names the judge's size in network.judge and its run in "
                "`teacher`; give both or none"
            )
        if own and self.network.judge is not None and self.training.half != "generator":
            raise ValueError(
                "a run that is judged needs `training: {half: generator}`: what judges it has "
                "learned from the other half of the molecules"
            )
        if isinstance(self.flow, PropertySettings) and self.training.half != "judge":
            raise ValueError(
                "a net that judges needs `training: {half: judge}`: the runs that it judges learn "
                "from the other half of the molecules"
            )
        if (self.network.judge or self.network.guide) and not self.network.properties:
            raise ValueError("network.judge and network.guide tell network.properties; name some")
        if self.network.judge is not None and self.network.fake_atoms:
            raise ValueError("a judge knows no fake atoms: set network.fake_atoms to 0")
        if self.network.guide is not None and self.network.fake_atoms:
            raise ValueError("a guide knows no fake atoms: set network.fake_atoms to 0")
        return self

    @model_validator(mode="after")
    def _no_key_without_effect(self) -> "MoleculesRun":
        if isinstance(self.network, InternalNetwork):
            return self
        if isinstance(self.flow, PropertySettings):
            names = ["composition", "fragments", "fake_atoms", "judge", "guide"]
            refuse_changed(self.network, names, "network.", "a judge sees whole molecules")
        elif self.network.mode == "2d":
            why = "`network.mode: 2d` has no positions"
            names = ["scale_angstrom", "sharpness", "distortion", "positions_weight", "align"]
            refuse_changed(self.flow, names, "flow.", why)
            refuse_changed(self.sampling, ["renewal"], "sampling.", why)
            names = ["posebusters", "posebusters_molecules", "relaxed_molecules"]
            names += ["relaxation_steps", "perceived_molecules"]
            refuse_changed(self.evaluation, names, "evaluation.", why)
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
            if isinstance(self.sampling.conditions, SmilesConditions | ScaffoldConditions):
                why = "renewed noise of one-hots would move those that are told"
                refuse_changed(self.sampling, ["stochasticity"], "sampling.", why)
        follows = self.network.guide is not None and flow.types == "catflow"
        if self.sampling.d_flow is not None and not follows:
            raise ValueError(
                "sampling.d_flow needs a net to follow (`network.guide`) and `flow.types: "
                "catflow`, as labels that jump can't be differentiated"
            )
        if flow.types != "catflow":
            why = "D-Flow alone follows it, and needs `flow.types: catflow`"
            refuse_changed(self.network, ["guide"], "network.", why)
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
