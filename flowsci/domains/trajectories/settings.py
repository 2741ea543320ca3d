"""Settings of the trajectories domain: datasets and runs."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from flowsci.settings import (
    DataSettings,
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Section,
    TrainingSettings,
    kind_of,
)

Split = Literal["train", "validation", "test"]
Share = Annotated[float, Field(gt=0, lt=1)]


class CleaningSettings(Section):
    """Which raw reports are kept."""

    altitude_spike_m: float = Field(
        300.0, gt=0, description="Largest distance of an altitude from its running median."
    )
    position_spike_km: float = Field(
        2.0, gt=0, description="Largest distance of a position from its running median, per axis."
    )
    median_half_width_rows: int = Field(
        15, gt=0, description="Rows before and after a report that its running median spans."
    )


class TrackSettings(Section):
    """How reports become tracks on a common clock."""

    origin_longitude_degrees: float = Field(
        ge=-180, le=360, description="Longitude of the origin of east, north, up."
    )
    origin_latitude_degrees: float = Field(
        ge=-90, le=90, description="Latitude of the origin of east, north, up."
    )
    flight_gap_seconds: float = Field(
        600.0, gt=0, description="A longer silence of an aircraft begins a new flight."
    )
    clock_seconds: int = Field(2, gt=0, description="Spacing of the points of a track.")
    interpolation_gap_seconds: float = Field(
        4.0, gt=0, description="Largest gap between reports that a track is interpolated across."
    )


class WindowSettings(Section):
    """How tracks are cut into scenes of observed and predicted steps."""

    step_seconds: int = Field(10, gt=0, description="Time between steps.")
    observed_steps: int = Field(8, ge=2, description="Steps that the model sees.")
    predicted_steps: int = Field(12, gt=0, description="Steps that the model predicts.")
    training_stride_seconds: int = Field(
        10, gt=0, description="Time between the starts of training scenes."
    )
    stride_seconds: int = Field(
        10, gt=0, description="Time between the starts of validation and test scenes."
    )
    acceleration_limit_m_s2: float = Field(
        8.0,
        gt=0,
        description="A window with a larger mean acceleration between steps is an error of the "
        "data and dropped.",
    )


class SplitSettings(Section):
    """Shares of aircraft; all flights of an aircraft stand on one side."""

    train: Share = Field(0.70, description="Share of aircraft to train on.")
    validation: Share = Field(0.15, description="Share of aircraft that choose the model.")
    test: Share = Field(0.15, description="Share of aircraft that the model is judged on.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> "SplitSettings":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must sum to 1; they sum to {total:g}")
        return self


class TrajectoriesData(DataSettings):
    """A dataset of aircraft tracks."""

    domain: Literal["trajectories"]
    cleaning: CleaningSettings = CleaningSettings()
    tracks: TrackSettings
    windows: WindowSettings = WindowSettings()
    splits: SplitSettings = SplitSettings()

    @model_validator(mode="after")
    def _times_fit_the_clock(self) -> "TrajectoriesData":
        clock = self.tracks.clock_seconds
        for name in ("step_seconds", "training_stride_seconds", "stride_seconds"):
            if getattr(self.windows, name) % clock:
                raise ValueError(f"windows.{name} must be a multiple of tracks.clock_seconds")
        return self


class NetworkSettings(Section):
    """The transformer over agents."""

    width: int = Field(64, gt=0, multiple_of=2, description="Features of an agent.")
    heads: int = Field(4, gt=0, description="Attention heads; must divide the width.")
    encoder_layers: int = Field(2, ge=0, description="Layers that encode the history, once.")
    decoder_layers: int = Field(2, gt=0, description="Layers that are called at every solver step.")
    modes: int = Field(
        20, ge=0, description="Futures that an agent's mixture consists of; 0 for no mixture."
    )
    styles: int = Field(
        4, gt=0, description="Styles of a scene, in which its agents' modes go together."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in training.")
    locations: bool = Field(
        True,
        description="Tell the network where an agent is and heads: learns one place's ways, at "
        "the price of invariance to shift and turn.",
    )
    location_frequencies: int = Field(
        3, ge=0, description="Waves an axis that resolve the location, each twice as short."
    )

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "NetworkSettings":
        if self.width % self.heads:
            raise ValueError(f"heads ({self.heads}) must divide width ({self.width})")
        return self


class FlowSettings(Section):
    """The flow on offsets from constant velocity."""

    kind: Literal["flow"] = "flow"
    coefficients: int = Field(
        12, gt=0, description="Principal components of the offset that the flow lives on."
    )
    draws: int = Field(
        4, gt=0, description="Times and noises drawn for each scene of a training batch."
    )
    last_step_weight: float = Field(
        0.5, ge=0, description="Weight of the last distance beside the mean one, for the modes."
    )
    scene_weight: float = Field(
        0.25, ge=0, description="Weight of the mode that is best for a scene as a whole."
    )
    likelihood_weight: float = Field(
        0.1, ge=0, description="Weight of the likelihood, from which spreads and weights learn."
    )


class StudentSettings(Section):
    """A one-step student of a trained flow, for a run that names a teacher."""

    kind: Literal["student"] = "student"
    coefficients: int = Field(12, gt=0, description="As in the teacher's run.")
    futures: int = Field(
        20, gt=0, description="Futures of a scene that the student says, in one call, in training."
    )
    teacher_futures: int = Field(
        20, gt=0, description="Futures of the same scene that the teacher draws to compare with."
    )
    teacher_steps: int = Field(5, gt=0, description="Steps of the teacher's solver (Heun).")
    scene_weight: float = Field(
        0.25, ge=0, description="Weight of whole scenes beside single agents in the comparison."
    )
    precision_weight: float = Field(
        0.5,
        ge=0,
        description="Weight of the nearest teacher's future of each student's, beside the nearest "
        "student's of each teacher's.",
    )


class SceneTraining(TrainingSettings):
    """Training on scenes that are varied, because flights are few."""

    most_agents: int = Field(
        6,
        gt=0,
        description="A training scene keeps a random number of its agents, up to this one.",
    )
    shift_km: float = Field(
        2.0,
        ge=0,
        description="Standard deviation of a random shift, east and north, of a training scene.",
    )
    shift_up_km: float = Field(
        0.06,
        ge=0,
        description="Standard deviation of a random shift upwards: barometric altitude moves with "
        "the pressure of the day.",
    )
    stretch: float = Field(
        0.1,
        ge=0,
        description="Standard deviation of the logarithm of a random factor on the speed of each "
        "agent of a training scene.",
    )
    unlocated: float = Field(
        0.4,
        ge=0,
        le=1,
        description="Share of training scenes whose place is hidden from the network; half of "
        "these are mirrored.",
    )


class SceneSampling(SamplingSettings):
    """Futures for every scene of a split."""

    split: Split = Field("test", description="Split whose scenes are continued.")
    head: Literal["flow", "modes", "density"] = Field(
        "flow",
        description="Draw by the flow, take the means of the likeliest modes, or draw from the "
        "mixture, whose density is exact.",
    )
    method: Literal["euler", "midpoint", "heun", "runge_kutta_4"] = Field(
        "heun", description="Solver method."
    )


class TrajectoriesEvaluation(EvaluationSettings):
    """How futures are judged."""

    miss_radius_km: float = Field(
        1.0, gt=0, description="A window is missed where no sample ends this close to the truth."
    )


class TrajectoriesRun(RunSettings):
    """A run of the trajectories domain."""

    domain: Literal["trajectories"]
    network: NetworkSettings = NetworkSettings()
    flow: Annotated[
        Annotated[FlowSettings, Tag("flow")] | Annotated[StudentSettings, Tag("student")],
        Discriminator(kind_of("flow")),
    ] = FlowSettings()
    training: SceneTraining
    sampling: SceneSampling
    evaluation: TrajectoriesEvaluation = TrajectoriesEvaluation()

    @model_validator(mode="after")
    def _students_have_teachers(self) -> "TrajectoriesRun":
        if isinstance(self.flow, StudentSettings) != (self.teacher is not None):
            raise ValueError(
                "a run with flow.kind 'student' names its `teacher`, and no other run does"
            )
        return self
