"""Settings of the weather domain: datasets and runs."""

import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator

from flowsci.settings import (
    DataSettings,
    EvaluationSettings,
    Name,
    RunSettings,
    SamplingSettings,
    Section,
    TrainingSettings,
    kind_of,
)

Split = Literal["train", "validation", "test"]
Share = Annotated[float, Field(gt=0, lt=1)]


def _as_text(value: object) -> object:
    """Write a date that YAML has recognised as the text that it was."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M")
    return value.isoformat() if isinstance(value, datetime.date) else value


Date = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}(:\d{2})?)?$"),
    BeforeValidator(_as_text),
]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=360)]


class Box(Section):
    """A box in latitude and longitude; it may cross the dateline or Greenwich."""

    south: Latitude = Field(description="Southern edge in degrees.")
    north: Latitude = Field(description="Northern edge in degrees.")
    west: Longitude = Field(description="Western edge in degrees.")
    east: Longitude = Field(description="Eastern edge in degrees; smaller than west to wrap.")

    @model_validator(mode="after")
    def _south_is_south(self) -> "Box":
        if self.south >= self.north:
            raise ValueError(f"south ({self.south:g}) must be below north ({self.north:g})")
        return self


class Point(Section):
    """A place, such as a station."""

    latitude: Latitude = Field(description="Degrees north.")
    longitude: Longitude = Field(description="Degrees east.")


class VariableSettings(Section):
    """One field of the dataset: a variable of the files, at one level where it has levels."""

    name: Name = Field(description="Name of the channel, such as temperature_850.")
    source_name: str = Field(description="Name of the variable in the files.")
    units: str = Field(
        description="Units that the file must state; others stop the stage, none are converted."
    )
    level_hpa: float | None = Field(
        None, gt=0, description="Level in hPa, for a variable that has levels."
    )
    vector: Literal["u", "v"] | None = Field(
        None, description="Eastward or northward part of a wind, which changes sign over a pole."
    )
    partner: Name | None = Field(None, description="Channel of the wind's other part.")

    @model_validator(mode="after")
    def _winds_have_partners(self) -> "VariableSettings":
        if (self.vector is None) != (self.partner is None):
            raise ValueError(f"{self.name}: vector and partner go together")
        return self


class SimulatedFields(Section):
    """What a simulation of this domain has left; it says itself what it holds."""

    kind: Literal["simulated"] = "simulated"


class StoreFields(Section):
    """CF NetCDF files or Zarr stores, read chunk by chunk."""

    kind: Literal["store"] = "store"
    variables: list[VariableSettings] = Field(
        min_length=1, description="Fields of the dataset, in order."
    )
    start: Date | None = Field(None, description="First time that is read.")
    end: Date | None = Field(None, description="Last time that is read.")
    step_hours: int | None = Field(
        None, gt=0, description="Read every so many hours; by default as the files have them."
    )
    region: Box | None = Field(None, description="Cells that are read; by default all.")
    orography: str | None = Field(
        None, description="Variable of the files that holds the height of the surface in m."
    )
    orography_is_geopotential: bool = Field(
        False, description="The orography is a geopotential in m2 s-2, not a height."
    )
    land: str | None = Field(
        None, description="Variable of the files that holds the share of land, 0 to 1."
    )

    @model_validator(mode="after")
    def _partners_exist(self) -> "StoreFields":
        by_name = {variable.name: variable for variable in self.variables}
        if len(by_name) < len(self.variables):
            raise ValueError("two variables have the same name")
        for variable in self.variables:
            partner = by_name.get(variable.partner or variable.name)
            if partner is None or (variable.partner and partner.partner != variable.name):
                raise ValueError(f"{variable.name} and {variable.partner} must be partners")
        return self


class SpeedySimulation(Section):
    """The SPEEDY model of the atmosphere, as jcm runs it."""

    kind: Literal["speedy"] = "speedy"
    years: float = Field(5.5, gt=0, description="Years that are kept.")
    step_hours: int = Field(12, gt=0, le=24, description="Time between fields that are kept.")
    resolution: Literal["T21", "T31"] = Field(
        "T21", description="T21 has 64 x 32 cells, T31 96 x 48."
    )
    spin_up_days: int = Field(90, ge=0, description="First days, which are dropped.")
    chunk_days: int = Field(
        30, gt=0, description="Days between restart files; one length, so that it compiles once."
    )
    truncation: int | None = Field(
        None,
        gt=0,
        description="Largest degree of the coefficients kept; by default one more than the "
        "model's, which is all there is.",
    )
    rounding_error: float = Field(
        0.012,
        gt=0,
        description="Error (rms) of the rounded coefficients, in units of the standard deviation "
        "of the daily change.",
    )

    @property
    def largest_degree(self) -> int:
        """Largest degree of the coefficients that are kept."""
        return self.truncation or int(self.resolution.removeprefix("T")) + 1

    @model_validator(mode="after")
    def _periods_hold_steps(self) -> "SpeedySimulation":
        if self.chunk_days * 24 % self.step_hours:
            raise ValueError("step_hours must divide chunk_days")
        return self


class KolmogorovSimulation(Section):
    """Two-dimensional turbulence stirred by a sine wave, in a doubly periodic box of side 2 pi."""

    kind: Literal["kolmogorov"] = "kolmogorov"
    cells: int = Field(64, ge=16, multiple_of=4, description="Cells along each side.")
    runs: int = Field(32, ge=3, description="Independent flows, one after the other in the record.")
    times: int = Field(100, ge=4, description="Fields kept of each flow.")
    step_time: float = Field(0.5, gt=0, description="Time between fields.")
    time_step: float = Field(0.02, gt=0, description="Time step of the solver.")
    spin_up_time: float = Field(20.0, ge=0, description="First times, which are dropped.")
    viscosity: float = Field(0.01, gt=0, description="Kinematic viscosity.")
    drag: float = Field(0.1, ge=0, description="Linear drag.")
    forcing: float = Field(1.0, ge=0, description="Amplitude of the stirring force along x.")
    forcing_wavenumber: int = Field(4, gt=0, description="Its waves in y.")


class RangeSplits(Section):
    """Splits as ranges of time, both ends included."""

    kind: Literal["ranges"] = "ranges"
    train: tuple[Date, Date] = Field(description="First and last time to train on.")
    validation: tuple[Date, Date] = Field(description="Times that choose the model.")
    test: tuple[Date, Date] = Field(description="Times that the model is judged on.")
    gap_days: float = Field(10.0, ge=0, description="Least time between two splits.")


class ShareSplits(Section):
    """Splits as shares of the time, in the order train, validation, test."""

    kind: Literal["shares"] = "shares"
    train: Share = Field(0.70, description="Share of time to train on.")
    validation: Share = Field(0.10, description="Share that chooses the model.")
    test: Share = Field(0.20, description="Share that the model is judged on.")
    gap_days: float = Field(10.0, ge=0, description="Time left out between two splits.")

    @model_validator(mode="after")
    def _sum_to_one(self) -> "ShareSplits":
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, validation and test must sum to 1; they sum to {total:g}")
        return self


class WeatherData(DataSettings):
    """A dataset of fields on the sphere, on a region of it, or in a periodic box."""

    domain: Literal["weather"]
    fields: SimulatedFields | StoreFields = Field(discriminator="kind")
    splits: RangeSplits | ShareSplits = Field(discriminator="kind")
    simulation: (
        Annotated[SpeedySimulation | KolmogorovSimulation, Field(discriminator="kind")] | None
    ) = Field(None, description="What is simulated, for a `simulate` source.")


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
        description="Weight of the mean's amplitude and decorrelation loss in spherical harmonics.",
    )
    divergence: Literal["free", "projected", "learned"] = Field(
        "free",
        description="Divergence of the winds: `projected` takes it out of every forecast, "
        "`learned` lowers it beside the flow's loss, by gradients that don't fight.",
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


class StudentSettings(Section):
    """A one-step ensemble, trained by its fair CRPS; starts from a teacher where there is one."""

    kind: Literal["student"] = "student"
    noise: Noise = Field("white", description="As of a flow.")
    noise_spread: float = Field(1.0, gt=0, description="As of a flow.")
    path: FlowPath = Field("linear", description="As of the teacher's flow, where there is one.")
    members: int = Field(2, gt=1, description="Members whose fair CRPS is the loss.")
    divergence: Literal["free", "projected"] = Field("free", description="As of a flow.")
    mean_share: Share = Field(0.5, description="As of a flow, where there is no teacher.")
    spectral_weight: float = Field(0.0, ge=0, description="As of a flow.")
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


class StationsMask(Section):
    """Cells that hold a station are observed."""

    kind: Literal["stations"] = "stations"
    stations: list[Point] | None = Field(
        None, description="Places of the stations; by default drawn at random."
    )
    count: int = Field(50, gt=0, description="Number of stations that are drawn.")
    seed: int = Field(0, ge=0, description="Seed of the draw.")


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


class EventTask(Section):
    """A forecast that is guided to an event: a mean over a box beyond a threshold."""

    kind: Literal["event"] = "event"
    lead_hours: int = Field(24, gt=0, description="Lead of one step of the model.")
    rollout_steps: int = Field(1, gt=0, description="Steps to the time of the event.")
    channel: Name = Field(description="Channel of the event.")
    region: Box = Field(description="Box whose area mean is meant.")
    threshold: float | None = Field(
        None, description="The mean lies above this, in the channel's units."
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
        return self


Task = Annotated[
    ForecastTask | DownscaleTask | InpaintTask | EventTask, Field(discriminator="kind")
]


class WeatherSampling(SamplingSettings):
    """Ensembles for times of a split."""

    split: Split = Field("test", description="Split whose times are drawn for.")
    task: Task = Field(ForecastTask(), description="What is drawn.")
    starts: int | None = Field(
        None, gt=0, description="Number of start times, evenly spaced in the split; null for all."
    )
    method: Literal["euler", "midpoint", "heun", "runge_kutta_4"] = Field(
        "heun", description="Solver method."
    )
    batch_size: int = Field(4, gt=0, description="Conditions a batch; changes no sample.")
    calibrated: bool = Field(
        True, description="Multiply the spread by the factors that were fitted on validation."
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
        False, description="Keep the global mean of the surface pressure of each start."
    )


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
