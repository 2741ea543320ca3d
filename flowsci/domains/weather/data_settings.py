"""Settings of weather datasets: where fields come from, what is simulated, and the splits."""

import datetime
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from flowsci.settings import DataSettings, Name, Section, Share, Shares


def _as_text(value: object) -> object:
    """Write a date that YAML has recognised as the text that it was."""
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%dT%H:%M")
    return value.isoformat() if isinstance(value, datetime.date) else value


Date = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d{2}-\d{2}(T\d{2}(:00)?)?$"),
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
        if self.west == self.east:
            raise ValueError(
                f"west and east are both {self.west:g}: a box has a width; for all longitudes "
                "write 0 and 360"
            )
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
    simulation: str | None = Field(
        None,
        min_length=1,
        description="What computed the fields, such as 'MPI-ESM1-2-HR, historical', which files, "
        "card and figures then say. By default they are observed or analysed.",
    )
    start: Date | None = Field(None, description="First time that is read.")
    end: Date | None = Field(None, description="Last time that is read.")
    step_hours: int | None = Field(
        None, gt=0, description="Read every so many hours; by default as the files have them."
    )
    region: Box | None = Field(None, description="Cells that are read; by default all.")
    truncation: int | None = Field(
        None,
        gt=0,
        description="Largest degree of spherical harmonics that the fields of a global grid are "
        "taken to have: forecasts are projected on it, and noise may be isotropic. By default not "
        "known: no projection.",
    )
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
            if variable.partner and variable.vector == partner.vector:
                raise ValueError(
                    f"{variable.name} and {variable.partner} are both the part "
                    f"'{variable.vector}' of a wind; one must be 'u', the other 'v'"
                )
        return self

    @model_validator(mode="after")
    def _a_geopotential_is_of_the_orography(self) -> "StoreFields":
        if self.orography_is_geopotential and self.orography is None:
            raise ValueError("orography_is_geopotential: name the variable in orography too")
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
    step_time: float = Field(0.5, gt=0, description="Time between fields, a multiple of time_step.")
    time_step: float = Field(0.02, gt=0, description="Time step of the solver.")
    spin_up_time: float = Field(20.0, ge=0, description="First times, which are dropped.")
    viscosity: float = Field(0.01, gt=0, description="Kinematic viscosity.")
    drag: float = Field(0.1, ge=0, description="Linear drag.")
    forcing: float = Field(1.0, ge=0, description="Amplitude of the stirring force along x.")
    forcing_wavenumber: int = Field(
        4, gt=0, description="Its waves in y: fewer than a third of the cells."
    )

    @model_validator(mode="after")
    def _steps_fill_the_time_between_fields(self) -> "KolmogorovSimulation":
        steps = self.step_time / self.time_step
        if round(steps) < 1 or abs(steps - round(steps)) > 1e-6 * steps:
            raise ValueError(
                f"step_time ({self.step_time:g}) must be a multiple of time_step "
                f"({self.time_step:g})"
            )
        return self

    @model_validator(mode="after")
    def _the_force_is_resolved(self) -> "KolmogorovSimulation":
        if 3 * self.forcing_wavenumber >= self.cells:
            raise ValueError(
                f"forcing_wavenumber ({self.forcing_wavenumber}) must be below a third of cells "
                f"({self.cells}): the 2/3 rule removes the others"
            )
        return self


class RangeSplits(Section):
    """Splits as ranges of time, both ends included."""

    kind: Literal["ranges"] = "ranges"
    train: tuple[Date, Date] = Field(description="First and last time to train on.")
    validation: tuple[Date, Date] = Field(description="Times that choose the model.")
    test: tuple[Date, Date] = Field(description="Times that the model is judged on.")
    gap_days: float = Field(10.0, ge=0, description="Least time between two splits.")


class ShareSplits(Shares):
    """Splits as shares of the time, in the order train, validation, test."""

    kind: Literal["shares"] = "shares"
    train: Share = Field(0.7, description="Share to train on.")
    test: Share = Field(0.2, description="Share that the model is judged on.")
    gap_days: float = Field(10.0, ge=0, description="Time left out between two splits.")


class WeatherData(DataSettings):
    """A dataset of fields on the sphere, on a region of it, or in a periodic box."""

    domain: Literal["weather"]
    fields: SimulatedFields | StoreFields = Field(discriminator="kind")
    splits: RangeSplits | ShareSplits = Field(discriminator="kind")
    simulation: (
        Annotated[SpeedySimulation | KolmogorovSimulation, Field(discriminator="kind")] | None
    ) = Field(None, description="What is simulated, for a `simulate` source.")

    @model_validator(mode="after")
    def _simulations_are_of_their_source(self) -> "WeatherData":
        if self.source.kind == "simulate" and self.fields.kind != "simulated":
            raise ValueError("fields.kind: must be 'simulated' for a 'simulate' source")
        return self
