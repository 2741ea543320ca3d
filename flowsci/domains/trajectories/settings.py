"""Settings of the trajectories domain: datasets and runs."""

from typing import Annotated, ClassVar, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from flowsci.settings import (
    DataSettings,
    EvaluationSettings,
    RunSettings,
    SamplingSettings,
    Section,
    Share,
    Shares,
    Split,
    TrainingSettings,
    kind_of,
)

Unit = Literal["km", "m", "foot", "pixel"]
CLIMB_GRID_SECONDS = 10
"""Where climbs are read for their level-off time and rate."""


class CleaningSettings(Section):
    """Which raw reports are kept."""

    reports_on_ground: Literal["column", "none"] = Field(
        "column",
        description="The column onground tells reports on the ground, which are dropped; `none`: "
        "the file has no such column and no such report.",
    )
    altitude_spike_m: float = Field(
        300.0, gt=0, description="Largest distance of an altitude from its running median."
    )
    position_spike_km: float = Field(
        2.0, gt=0, description="Largest distance of a position from its running median, per axis."
    )
    median_half_width_rows: int = Field(
        15, gt=0, description="Rows before and after a report that its running median spans."
    )


class AdsbTracks(Section):
    """ADS-B reports of aircraft, as JSON records: icao24, callsign, timestamp (ms), longitude,
    latitude (degrees), altitude (feet), onground."""

    kind: Literal["adsb"] = "adsb"
    origin_longitude_degrees: float = Field(
        ge=-180, le=360, description="Longitude of the origin of east, north, up."
    )
    origin_latitude_degrees: float = Field(
        ge=-90, le=90, description="Latitude of the origin of east, north, up."
    )
    flight_gap_seconds: float = Field(
        600.0, gt=0, description="A longer silence of an aircraft begins a new flight."
    )
    clock_seconds: float = Field(2.0, gt=0, description="Spacing of the points of a track.")
    interpolation_gap_seconds: float = Field(
        4.0, gt=0, description="Largest gap between reports that a track is interpolated across."
    )
    cleaning: CleaningSettings = CleaningSettings()


class FrameTracks(Section):
    """Text files of frame, id, x, y, as of ETH and UCY; a file is a recording."""

    kind: Literal["frames"] = "frames"
    unit: Unit = Field(description="Unit of x and y.")
    frames_a_step: int = Field(10, gt=0, description="Frames between annotated ones.")
    step_seconds: float = Field(0.4, gt=0, description="Time between annotated frames.")
    gap_seconds: float = Field(
        10.0, gt=0, description="An id that is seen again after a longer gap is another agent."
    )


class SddTracks(Section):
    """Annotations of the Stanford Drone Dataset; a file is a recording."""

    kind: Literal["sdd"] = "sdd"
    unit: Unit = Field("pixel", description="Unit of the boxes.")
    frames_a_step: int = Field(12, gt=0, description="Frames between those that are kept.")
    step_seconds: float = Field(0.4, gt=0, description="Time between those that are kept.")
    gap_seconds: float = Field(
        10.0, gt=0, description="An id that is seen again after a longer gap is another agent."
    )
    labels: list[str] = Field(
        ["Pedestrian"], min_length=1, description="Kinds of agents that are kept."
    )


class SequenceTracks(Section):
    """Arrays (sequences, steps, agents, 2) as `.npy`, such as plays of the NBA."""

    kind: Literal["sequences"] = "sequences"
    unit: Unit = Field(description="Unit of the positions.")
    step_seconds: float = Field(gt=0, description="Time between steps.")


class TableTracks(Section):
    """A table of one's own, CSV or Parquet: track, time (s), x, y; z, recording, label if any."""

    kind: Literal["table"] = "table"
    unit: Unit = Field(description="Unit of x, y and z.")
    clock_seconds: float = Field(gt=0, description="Spacing of the points of a track.")
    interpolation_gap_seconds: float = Field(
        gt=0, description="Largest gap between rows that a track is interpolated across."
    )
    gap_seconds: float = Field(gt=0, description="A longer silence of a track begins a new one.")


TracksSettings = AdsbTracks | FrameTracks | SddTracks | SequenceTracks | TableTracks


class ClimbSettings(Section):
    """Which windows are climbs, and how their altitudes are charted; others are dropped.

    A climb rises at `least_rate_m_s` or faster when last seen; it levels off where the next
    `over_seconds` are slower than that.
    """

    least_rate_m_s: float = Field(
        1.524, gt=0, description="Least rate of climb: 300 ft/min is 1.524 m/s."
    )
    over_seconds: int = Field(
        30, gt=0, multiple_of=10, description="Time that the least rate is a mean over."
    )
    last_seconds: int = Field(
        10, gt=0, description="The rate must be as high over this last part of what is observed."
    )
    sag_limit_m: float = Field(
        30.0, ge=0, description="A window that sinks further than this in its future is dropped."
    )
    width_m_s: float = Field(
        0.5, gt=0, description="How near its bounds a rate is stretched, so that it has none."
    )
    level_rate_m_s: float = Field(
        0.02, gt=0, description="Slower steps count as this rate: level flight climbs a little."
    )
    most_rate_m_s: float = Field(35.0, gt=0, description="Bound of the rate of climb.")

    @model_validator(mode="after")
    def _rates_rise(self) -> "ClimbSettings":
        if not self.level_rate_m_s < self.least_rate_m_s < self.most_rate_m_s:
            raise ValueError("level_rate_m_s, least_rate_m_s and most_rate_m_s must rise")
        return self


class WindowSettings(Section):
    """How tracks are cut into scenes of observed and predicted steps."""

    step_seconds: float = Field(10.0, gt=0, description="Time between steps.")
    observed_steps: int = Field(8, ge=2, description="Steps that the model sees.")
    predicted_steps: int = Field(12, gt=0, description="Steps that the model predicts.")
    training_stride_seconds: float = Field(
        10.0, gt=0, description="Time between the starts of training scenes."
    )
    stride_seconds: float = Field(
        10.0, gt=0, description="Time between the starts of validation and test scenes."
    )
    least_agents: int = Field(
        1, gt=0, description="A scene of fewer agents is dropped, with its windows."
    )
    acceleration_limit_m_s2: float | None = Field(
        None,
        gt=0,
        description="A window with a larger mean acceleration between steps is an error of the "
        "data and dropped; null for no limit.",
    )
    climb: ClimbSettings | None = Field(
        None, description="Keep climbs only, and chart their altitudes so that futures rise."
    )

    @model_validator(mode="after")
    def _climbs_can_level_off(self) -> "WindowSettings":
        horizon = self.predicted_steps * self.step_seconds
        if self.climb is not None and horizon < self.climb.over_seconds:
            raise ValueError(
                f"a future of {horizon:g} s shows no one level off, which takes climb.over_seconds "
                f"({self.climb.over_seconds} s); predict more steps"
            )
        if self.climb is not None and horizon % CLIMB_GRID_SECONDS:
            raise ValueError(
                f"a future of {horizon:g} s is no multiple of {CLIMB_GRID_SECONDS} s, at which "
                "climbs are read; change step_seconds or predicted_steps"
            )
        return self


class SharesSplit(Shares):
    """Shares of agents by name, such as aircraft; all tracks of a name stand on one side.

    Of ADS-B reports and tables, in all files; names in other files are those of a recording.
    """

    kind: Literal["shares"] = "shares"
    train: Share = Field(0.70, description="Share to train on.")
    validation: Share = Field(0.15, description="Share that chooses the model.")
    test: Share = Field(0.15, description="Share that the model is judged on.")

    def describe(self) -> str:
        """Say it for the card."""
        return "Agents, with all their tracks, are split into train, validation and test."


class HeldOutSplit(Section):
    """Whole recordings are held out; of the others, the last share of time validates."""

    kind: Literal["held_out"] = "held_out"
    test: list[str] = Field(min_length=1, description="Recordings (files) that are held out.")
    validation_share: Share = Field(
        0.2, description="Last share of every other recording's time, which chooses the model."
    )

    def describe(self) -> str:
        """Say it for the card."""
        return (
            f"Held out for testing: {', '.join(self.test)}; the last {self.validation_share:.0%} "
            "of the time of each other recording validates."
        )


class NamedSplit(Section):
    """Recordings by split."""

    kind: Literal["named"] = "named"
    train: list[str] = Field(min_length=1, description="Recordings to train on.")
    validation: list[str] = Field(min_length=1, description="Recordings that choose the model.")
    test: list[str] = Field(min_length=1, description="Recordings that the model is judged on.")

    def describe(self) -> str:
        """Say it for the card."""
        return "Whole recordings are split into train, validation and test."


class TrajectoriesData(DataSettings):
    """A dataset of tracks."""

    sources: ClassVar[tuple[str, ...]] = ("wheel", "url", "path", "sample")

    domain: Literal["trajectories"]
    tracks: TracksSettings = Field(discriminator="kind")
    windows: WindowSettings = WindowSettings()
    splits: SharesSplit | HeldOutSplit | NamedSplit = Field(SharesSplit(), discriminator="kind")
    places: dict[str, list[str]] = Field(
        {},
        description="Recordings of each place, if there are several places: what a network learns "
        "of where agents go holds for other recordings of the same place, in the same coordinates. "
        "None for one place.",
    )

    @model_validator(mode="after")
    def _places_differ(self) -> "TrajectoriesData":
        named = [recording for recordings in self.places.values() for recording in recordings]
        if len(named) > len(set(named)):
            raise ValueError("places: a recording stands in two places")
        return self


class NetworkSettings(Section):
    """The transformer over agents."""

    width: int = Field(64, gt=0, multiple_of=2, description="Features of an agent.")
    heads: int = Field(4, gt=0, description="Attention heads; must divide the width.")
    encoder_layers: int = Field(2, ge=0, description="Layers that encode the history, once.")
    decoder_layers: int = Field(2, gt=0, description="Layers that are called at every solver step.")
    modes: int = Field(
        20, ge=0, description="Futures of an agent that are told at once; 0 for no mixture."
    )
    further_modes: int = Field(
        8, ge=0, description="Modes of the mixture beyond these, for what none of them comes near."
    )
    styles: int = Field(
        4, gt=0, description="Styles of a scene, in which its agents' modes go together."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in training.")
    locations: bool = Field(
        True,
        description="Tell the network where an agent is and heads: learns one place's ways, at "
        "the price of invariance to shift and turn. Where training has not been, it is not told.",
    )
    location_frequencies: int = Field(
        3, ge=0, description="Waves an axis that resolve the location, each twice as short."
    )
    nearest: int = Field(
        0, ge=0, description="An agent sees itself and its nearest, so many in all; 0 for everyone."
    )
    wind: bool = Field(
        False, description="Tell the network the wind at the agent, where the dataset knows it."
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
        12,
        gt=0,
        description="Principal components of the offset that the flow lives on; all, where there "
        "are fewer.",
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
        1.0, ge=0, description="Weight of the mixture's likelihood, in nats a number of the future."
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
    """Training on scenes that are varied, because recordings are few.

    Lengths are in the dataset's unit.
    """

    most_agents: int = Field(6, gt=0, description="Agents that a training scene keeps at most.")
    neighbours: bool = Field(
        False,
        description="Keep an agent and those who are nearest to it, and show crowded scenes more "
        "often, each agent about once a pass; otherwise keep a random number of random agents.",
    )
    shift: float = Field(
        2.0,
        ge=0,
        description="Standard deviation of a random shift of a training scene along the horizontal "
        "axes, in the dataset's unit; to be given where that is a pixel.",
    )
    shift_up: float = Field(
        0.06,
        ge=0,
        description="The same upwards, if there is such an axis: barometric altitude moves with "
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
        "these are mirrored, and all of them scaled and reversed as follows.",
    )
    scale: float = Field(
        1.0,
        ge=1,
        description="Largest factor on all lengths of an unlocated scene, and its inverse the "
        "smallest; log-uniform between.",
    )
    reversed: float = Field(
        0.0, ge=0, le=1, description="Share of unlocated scenes that run backwards in time."
    )
    jitter: float = Field(
        0.0,
        ge=0,
        description="Largest standard deviation of noise on the observed positions, in the "
        "dataset's unit; most agents get little (the fourth power of a uniform number times this).",
    )
    jitter_future: bool = Field(
        False, description="Give the future the same noise, so that noisy tracks are forecast so."
    )
    sway: float = Field(
        1.0,
        ge=1,
        description="Largest factor on how far the agents of half of the unlocated scenes stray "
        "from the straight line through their observed steps, and its inverse the smallest; "
        "log-uniform between.",
    )
    alone: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of training scenes whose agents do not see each other, so that the "
        "network can do without a crowd like those that it knows.",
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
    densities: bool = Field(
        True, description="Say the mixture of modes beside the futures, if the network has one."
    )


class TrajectoriesEvaluation(EvaluationSettings):
    """How futures are judged."""

    miss_radius: float = Field(
        1.0,
        gt=0,
        description="A window is missed where no sample ends this close to the truth; in the "
        "dataset's unit of length; to be given where that is a pixel.",
    )
    collision_radius: float = Field(
        0.2,
        gt=0,
        description="Agents that come closer than this collide; in the dataset's unit of length; "
        "to be given where that is a pixel.",
    )
    density_draws: int = Field(
        500, ge=20, description="Draws of a density that tell how probable the truth is in it."
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

    @model_validator(mode="after")
    def _the_head_is_there(self) -> "TrajectoriesRun":
        if self.trained_by is None and not self.network.modes and self.sampling.head != "flow":
            raise ValueError(
                f"sampling.head: '{self.sampling.head}' draws from modes, and network.modes is 0; "
                "give it modes, or draw by the head 'flow'"
            )
        return self


def lengths_missing(run: TrajectoriesRun) -> list[str]:
    """Name the lengths in the dataset's unit that a run leaves to their defaults, if it uses them.

    Those that are 0 by default fit every unit; `shift_up` has a dataset with heights alone.
    """
    lengths = {"evaluation": ["miss_radius", "collision_radius"], "training": ["shift"]}
    if run.trained_by is not None:
        del lengths["training"]
    return [
        f"{section}.{name}"
        for section, names in lengths.items()
        for name in names
        if name not in getattr(run, section).model_fields_set
    ]
