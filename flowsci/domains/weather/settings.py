"""Settings of weather runs: network, flow, training, tasks, sampling and evaluation."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from flowsci.domains.weather.data_settings import Box, Point
from flowsci.settings import (
    EvaluationSettings,
    Name,
    RunSettings,
    SamplingSettings,
    Section,
    Share,
    Split,
    TrainingSettings,
    kind_of,
    refuse_changed,
)


class UNetSettings(Section):
    """A U-Net on the sphere: longitude wraps, rows beyond a pole come from its other side."""

    kind: Literal["unet"] = "unet"
    width: int = Field(64, gt=0, multiple_of=8, description="Features at the finest resolution.")
    multipliers: list[int] = Field(
        [1, 2], min_length=1, description="Factor on the features of each halved resolution."
    )
    blocks: int = Field(1, gt=0, description="Residual blocks of each resolution.")
    patch: Literal[1, 2] = Field(
        2, description="Cells along each side that the stem joins into one place."
    )
    dropout: float = Field(0.0, ge=0, lt=1, description="Share of features that training drops.")


class TransformerSettings(Section):
    """A vision transformer over patches of the grid."""

    kind: Literal["transformer"] = "transformer"
    width: int = Field(128, gt=0, multiple_of=8, description="Features of a patch.")
    layers: int = Field(6, gt=0, description="Attention layers.")
    heads: int = Field(4, gt=0, description="Attention heads; must divide the width.")
    patch: Literal[1, 2, 4] = Field(4, description="Cells along each side of a patch.")

    @model_validator(mode="after")
    def _heads_divide_the_width(self) -> "TransformerSettings":
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


Noise = Literal["white", "isotropic", "matched", "student_t"]
FlowPath = Literal["linear", "energy"]


class FlowSettings(Section):
    """A mean head, and a flow on its normalised residual."""

    kind: Literal["flow"] = "flow"
    noise: Noise = Field(
        "white",
        description="`white`: independent in every cell; `isotropic`: alike in every direction and "
        "place of a sphere or a box, waves up to the data's truncation with the same variance; "
        "`matched`: isotropic with the spectrum of each channel's residuals; `student_t`: white "
        "with heavy tails, fitted to each channel's residuals.",
    )
    noise_spread: float = Field(1.0, gt=0, description="Standard deviation of the noise.")
    path: FlowPath = Field(
        "linear",
        description="From noise to what the mean leaves: straight, or so that their energy is kept "
        "on the way, that of every scale with `matched` noise.",
    )
    mean_share: Share = Field(0.5, description="Share of a batch that trains the mean.")
    spectral_weight: float = Field(
        0.0,
        ge=0,
        description="Weight of the mean's amplitude and decorrelation loss in spherical harmonics; "
        "needs a global grid of known truncation.",
    )
    divergence: Literal["free", "projected", "learned"] = Field(
        "free",
        description="Divergence of the winds: `projected` takes it out of every forecast, "
        "`learned` lowers it beside the flow's loss, by gradients that don't fight.",
    )
    divergence_weight: float = Field(
        1.0,
        gt=0,
        description="How fast a learned divergence falls beside the flow's loss, for gradients of "
        "unit length.",
    )
    unroll_steps: int = Field(
        1,
        gt=0,
        description="Steps from a training state to the forecast whose divergence is learned; one "
        "takes the clean estimate. Each costs a call of the network.",
    )
    calibration_cases: int = Field(
        48, gt=0, description="Validation cases that the spread's factors are fitted on."
    )

    @model_validator(mode="after")
    def _only_a_learned_divergence_is_weighed(self) -> "FlowSettings":
        if self.divergence != "learned":
            why = f"a divergence that is '{self.divergence}' is not 'learned'"
            refuse_changed(self, ["divergence_weight", "unroll_steps"], "", why)
        return self


class StudentSettings(Section):
    """A one-step ensemble, trained by its fair CRPS; starts from a teacher where there is one."""

    kind: Literal["student"] = "student"
    noise: Noise = Field("white", description="As of a flow.")
    noise_spread: float = Field(1.0, gt=0, description="As of a flow.")
    path: FlowPath = Field("linear", description="As of the teacher's flow, where there is one.")
    members: int = Field(2, gt=1, description="Members whose fair CRPS is the loss.")
    divergence: Literal["free", "projected"] = Field("free", description="As of a flow.")
    mean_share: Share = Field(0.5, description="As of a flow; without a teacher only.")
    spectral_weight: float = Field(0.0, ge=0, description="As of a flow; without a teacher only.")
    calibration_cases: int = Field(48, gt=0, description="As of a flow.")


class TaskWeights(Section):
    """How often each task is drawn in training; weights, not shares."""

    forecast: float = Field(1.0, ge=0, description="The next state from previous ones.")
    downscale: float = Field(0.0, ge=0, description="Fine from coarse fields.")
    inpaint: float = Field(0.0, ge=0, description="Whole fields from some of their cells.")

    @model_validator(mode="after")
    def _some_weight(self) -> "TaskWeights":
        if not self.forecast + self.downscale + self.inpaint > 0:
            raise ValueError("at least one task needs a weight above 0")
        return self


class WeatherTraining(TrainingSettings):
    """Training on pairs of times."""

    batch_size: int = Field(8, gt=0, description="Cases a step and device.")
    lead_hours: list[Annotated[int, Field(gt=0)]] = Field(
        [24], min_length=1, description="Leads that are drawn, each as often."
    )
    tasks: TaskWeights = TaskWeights()


class ForecastTask(Section):
    """An ensemble from two previous states, rolled out."""

    kind: Literal["forecast"] = "forecast"
    lead_hours: int = Field(24, gt=0, description="Lead of one step of the model.")
    rollout_steps: int = Field(1, gt=0, description="Steps, each from the last one's fields.")


class DownscaleTask(Section):
    """Fine fields from their block means."""

    kind: Literal["downscale"] = "downscale"
    factor: Literal[2, 4] = Field(4, description="Cells of a block along each side.")
    given: Path | None = Field(
        None,
        description="CF NetCDF file of the block means to downscale, variables named as the "
        "channels; by default those of the split's own fields.",
    )


class StationsMask(Section):
    """Cells that hold a station are observed."""

    kind: Literal["stations"] = "stations"
    stations: list[Point] | None = Field(
        None, description="Places of the stations; by default drawn at random."
    )
    count: int = Field(50, gt=0, description="Number of stations that are drawn.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")

    @model_validator(mode="after")
    def _given_or_drawn(self) -> "StationsMask":
        if self.stations is not None:
            refuse_changed(self, ["count", "seed"], "", "`stations` are given, and none are drawn")
        return self


class BoxesMask(Section):
    """Cells in one of some boxes are observed."""

    kind: Literal["boxes"] = "boxes"
    boxes: list[Box] = Field(min_length=1, description="Boxes that are observed.")


class HalfGlobeMask(Section):
    """Cells from 0 to 180 degrees east are observed, or the western half of a region."""

    kind: Literal["half_globe"] = "half_globe"


class InpaintTask(Section):
    """Whole fields from what is observed of them."""

    kind: Literal["inpaint"] = "inpaint"
    mask: HalfGlobeMask | StationsMask | BoxesMask = Field(
        HalfGlobeMask(), discriminator="kind", description="Cells that are observed."
    )
    given: Path | None = Field(
        None,
        description="CF NetCDF file of what is observed, on the dataset's grid and missing "
        "elsewhere, variables named as the channels; by default the split's own fields in the "
        "cells of the mask.",
    )

    @model_validator(mode="after")
    def _given_or_masked(self) -> "InpaintTask":
        if self.given is not None:
            refuse_changed(self, ["mask"], "", "the file that is `given` says what is observed")
        return self


class EventTask(Section):
    """A forecast that is guided to an event: a mean over a box above or below a threshold."""

    kind: Literal["event"] = "event"
    lead_hours: int = Field(24, gt=0, description="Lead of one step of the model.")
    rollout_steps: int = Field(1, gt=0, description="Steps to the time of the event.")
    channel: Name = Field(description="Channel of the event.")
    region: Box = Field(description="Box whose area mean is meant.")
    threshold: float | None = Field(
        None, description="The mean lies above this, in the channel's units."
    )
    below: bool = Field(False, description="The event is a mean below the threshold.")
    guided: bool = Field(
        True, description="Draw members around the event; without, as the forecast has them."
    )
    observation: float | None = Field(
        None, description="The mean was observed to be this, in the channel's units."
    )
    observation_error: float | None = Field(
        None, gt=0, description="Standard deviation of the observation's error."
    )

    @model_validator(mode="after")
    def _one_event(self) -> "EventTask":
        if (self.threshold is None) == (self.observation is None):
            raise ValueError("give a threshold or an observation")
        if (self.observation is None) != (self.observation_error is None):
            raise ValueError("observation and observation_error go together")
        if self.threshold is None:
            refuse_changed(self, ["below", "guided"], "", "they are for a threshold")
        return self


Task = Annotated[
    ForecastTask | DownscaleTask | InpaintTask | EventTask, Field(discriminator="kind")
]


class WeatherSampling(SamplingSettings):
    """Ensembles for times of a split."""

    split: Split = Field("test", description="Split whose times are drawn for.")
    task: Task = Field(ForecastTask(), description="What is drawn.")
    starts: int | None = Field(
        None,
        gt=0,
        description="Number of start times, evenly spaced in the split; null, or more "
        "than there are, for all.",
    )
    method: Literal["euler", "midpoint", "heun", "runge_kutta_4"] = Field(
        "heun", description="Solver method."
    )
    batch_size: int = Field(4, gt=0, description="Conditions a batch; changes no sample.")
    calibrated: bool = Field(
        True,
        description="Multiply mean and spread by factors that were fitted on validation, one for "
        "each degree of the harmonics or waves.",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Numbers of the network's products, as a test of stress."
    )
    noise_memory: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Correlation of a member's noise from one step of a rollout to the next: the "
        "errors of a model last longer than a step.",
    )
    conserve_mass: bool = Field(
        False,
        description="Keep the global mean of the channel surface_pressure (air with its vapour) as "
        "it is at each start; forecasts and events on a global grid only.",
    )

    def files(self) -> list[Path]:
        """Name the file of what is given to downscale or to in-paint, if there is one."""
        given = getattr(self.task, "given", None)
        return [] if given is None else [given]

    @model_validator(mode="after")
    def _a_probability_has_an_error(self) -> "WeatherSampling":
        event = isinstance(self.task, EventTask) and self.task.threshold is not None
        if event and self.samples < 2:
            raise ValueError(
                "samples: the probability of an event needs at least two members to say how "
                "uncertain it is"
            )
        return self

    @model_validator(mode="after")
    def _mass_is_of_forecasts(self) -> "WeatherSampling":
        if self.conserve_mass and not isinstance(self.task, ForecastTask | EventTask):
            raise ValueError(
                f"conserve_mass: to {self.task.kind} starts from no state whose mass could be "
                "kept; set it to false"
            )
        return self


class WeatherEvaluation(EvaluationSettings):
    """How ensembles are judged."""

    lead_hours: list[Annotated[int, Field(gt=0)]] = Field(
        [24, 120, 240],
        min_length=1,
        description="Leads that have measures of their own, where the ensembles have them, beside "
        "the first; if they have none, the last. All leads stand in the tables.",
    )
    block_days: float = Field(
        10.0, gt=0, description="Starts in one period of so many days are resampled together."
    )
    functions: int = Field(
        300, gt=0, description="Empirical orthogonal functions of the regression's baseline."
    )
    exceedance: float = Field(
        0.9,
        gt=0,
        lt=1,
        description="Events are values above this quantile of the training climate, cell by cell.",
    )


class WeatherRun(RunSettings):
    """A run of the weather domain."""

    domain: Literal["weather"]
    network: Annotated[
        Annotated[UNetSettings, Tag("unet")] | Annotated[TransformerSettings, Tag("transformer")],
        Discriminator(kind_of("unet")),
    ] = UNetSettings()
    flow: Annotated[
        Annotated[FlowSettings, Tag("flow")] | Annotated[StudentSettings, Tag("student")],
        Discriminator(kind_of("flow")),
    ] = FlowSettings()
    training: WeatherTraining
    sampling: WeatherSampling
    evaluation: WeatherEvaluation = WeatherEvaluation()

    @model_validator(mode="after")
    def _samples_what_the_model_learns(self) -> "WeatherRun":
        task, training = self.sampling.task, self.training
        kind = "forecast" if isinstance(task, EventTask) else task.kind
        if not getattr(training.tasks, kind):
            raise ValueError(
                f"sampling.task.kind: '{task.kind}' needs a model that learns to {kind}; give "
                f"training.tasks.{kind} a weight, or sample another task"
            )
        if isinstance(task, ForecastTask | EventTask):
            known = ", ".join(map(str, training.lead_hours))
            if task.lead_hours not in training.lead_hours:
                raise ValueError(
                    f"sampling.task.lead_hours: {task.lead_hours} is none of the leads that the "
                    f"model learns (training.lead_hours: {known}); take one of them, and reach "
                    "further by rollout_steps"
                )
        return self

    @model_validator(mode="after")
    def _events_start_from_normal_numbers(self) -> "WeatherRun":
        if isinstance(self.sampling.task, EventTask) and self.flow.noise == "student_t":
            raise ValueError(
                "sampling.task.kind: events need Gaussian noise; train with flow.noise 'white', "
                "'isotropic' or 'matched'"
            )
        return self

    @model_validator(mode="after")
    def _a_student_alone_has_a_teacher(self) -> "WeatherRun":
        if self.teacher and not isinstance(self.flow, StudentSettings):
            raise ValueError(
                "teacher: a flow of the kind 'flow' learns from data alone; remove it, or set "
                "flow.kind to 'student'"
            )
        return self

    @model_validator(mode="after")
    def _a_student_says_what_it_does(self) -> "WeatherRun":
        if not isinstance(self.flow, StudentSettings):
            return self
        if (self.sampling.steps, self.sampling.method) != (1, "euler"):
            raise ValueError(
                "sampling: a student draws in one call; set steps to 1 and method to 'euler'"
            )
        refuse_changed(self.sampling, ["grid"], "sampling.", "a student draws in one call")
        if self.teacher:
            names = ["mean_share", "spectral_weight"]
            refuse_changed(self.flow, names, "flow.", "the student's mean is its teacher's")
        return self
