"""The SPEEDY model of the atmosphere, run by jcm (Molteni, Climate Dynamics 20, 175, 2003).

The run starts from rest at one temperature; the boundary conditions are the climatology inside
jcm's package, so sea surface temperatures repeat each year. Days of the spin-up are dropped. The
clock is Gregorian and starts so that the first day kept is 1 January 2000: the dates tell the
season, no weather that was. Needs the extra `simulate`.
"""

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from flowsci.domains.contract import Simulated
from flowsci.domains.weather.data_settings import SpeedySimulation
from flowsci.domains.weather.simulate import encoding
from flowsci.errors import FlowsciError
from flowsci.progress import progress

if TYPE_CHECKING:
    from jcm.model import Model

FIRST_KEPT = np.datetime64("2000-01-01T00", "h")
FILE = "speedy.nc"
RESTART = "restart.msgpack"
SURFACE = "surface.nc"
SIGMA = {c.name: c.level_sigma for c in encoding.CHANNELS if c.level_sigma is not None}
QUANTITIES = {
    "geopotential_500": "geopotential",
    "temperature_850": "temperature",
    "u_wind_850": "u_wind",
    "v_wind_850": "v_wind",
    "specific_humidity_850": "specific_humidity",
}
REFERENCE_PRESSURE_PA = 1e5


def simulate(simulation: SpeedySimulation, folder: Path) -> Simulated:
    """Run the model period by period, keeping each in `folder` with a restart file."""
    started = time.process_time()
    atmosphere = Atmosphere(simulation)
    first = atmosphere.restore(folder / RESTART)
    dropped, periods = spin_up_periods(simulation), kept_periods(simulation)
    atmosphere.surface().to_netcdf(folder / SURFACE, engine="h5netcdf")
    with progress("simulating", dropped + periods, "periods") as bar:
        bar.advance(first)
        for period in range(first, dropped + periods):
            fields = atmosphere.run(period)
            if period >= dropped:
                fields.to_netcdf(folder / period_file(period - dropped), engine="h5netcdf")
            atmosphere.save(folder / RESTART)
            bar.advance()
    names = [period_file(period) for period in range(periods)]
    files = dict.fromkeys(names, "six fields of one period") | {SURFACE: "orography and land"}
    counts = {
        "days": periods * simulation.chunk_days,
        "spin-up days": dropped * simulation.chunk_days,
        "processor seconds of this call": round(time.process_time() - started),
    }
    return Simulated(files, counts)


def join(simulation: SpeedySimulation, chunk: Path, folder: Path) -> Simulated:
    """Encode the fields of all periods as one file."""
    paths = [chunk / period_file(period) for period in range(kept_periods(simulation))]
    fields = xr.concat([xr.load_dataset(path, engine="h5netcdf") for path in paths], "time")
    surface = xr.load_dataset(chunk / SURFACE, engine="h5netcdf")
    last = FIRST_KEPT + np.timedelta64(round(simulation.years * 365.2425 * 24), "h")
    fields = fields.sel(time=slice(None, last)).merge(surface)
    fields.attrs = {
        "title": f"SPEEDY at {simulation.resolution}: a simulation",
        "simulation": (
            f"SPEEDY at {simulation.resolution} with 8 levels, run by jcm 3.0.0: a simulation, no "
            "observation and no reanalysis"
        ),
    }
    encoding.write(folder / FILE, fields, simulation.largest_degree, simulation.rounding_error)
    return Simulated(
        {FILE: "spherical-harmonic coefficients of six fields (CF-like NetCDF)"},
        {"times": fields.sizes["time"], "channels": len(encoding.CHANNELS)},
    )


def spin_up_periods(simulation: SpeedySimulation) -> int:
    """Give the number of periods that are dropped."""
    return math.ceil(simulation.spin_up_days / simulation.chunk_days)


def kept_periods(simulation: SpeedySimulation) -> int:
    """Give the number of periods that hold the years asked for."""
    return math.ceil(simulation.years * 365.2425 / simulation.chunk_days)


def period_file(period: int) -> str:
    """Name the file of a kept period."""
    return f"period_{period:04d}.nc"


class Atmosphere:
    """A run of the model that is made period by period."""

    def __init__(self, simulation: SpeedySimulation) -> None:
        self.simulation = simulation
        self.model, self.forcing = _build(simulation)
        self.start = FIRST_KEPT - np.timedelta64(
            spin_up_periods(simulation) * simulation.chunk_days, "D"
        )

    def restore(self, path: Path) -> int:
        """Go on from a restart file, if there is one; give the number of periods behind it."""
        from jcm.checkpoint import load_checkpoint

        self.model.bootstrap_state()
        if not path.is_file():
            return 0
        return round(load_checkpoint(self.model, path) / self.simulation.chunk_days)

    def save(self, path: Path) -> None:
        """Write a restart file, whole or not at all."""
        from jcm.checkpoint import save_checkpoint

        save_checkpoint(self.model, path)

    def run(self, period: int) -> xr.Dataset:
        """Integrate over a period; give its fields (time, latitude, longitude).

        Raises `FlowsciError` where a field isn't finite.
        """
        days, step = self.simulation.chunk_days, self.simulation.step_hours
        predictions = self.model.resume(
            forcing=self.forcing, save_interval=step / 24, total_time=days
        )
        state, levels = predictions.dynamics, np.asarray(self.model.coords.vertical.centers)
        fields = {
            name: np.asarray(getattr(state, quantity))[:, np.abs(levels - SIGMA[name]).argmin()]
            for name, quantity in QUANTITIES.items()
        }
        pressure = np.asarray(state.normalized_surface_pressure) * REFERENCE_PRESSURE_PA
        fields["surface_pressure"] = pressure
        # jcm's own time object is not read: making an array of it does not end
        ends = np.arange(1, days * 24 // step + 1) * np.timedelta64(step, "h")
        times = self.start + np.timedelta64(period * days, "D") + ends
        _check_finite(fields, times)
        variables = {
            name: (("time", "latitude", "longitude"), values.swapaxes(1, 2))
            for name, values in fields.items()
        }
        return xr.Dataset(variables, {"time": times.astype("datetime64[ns]"), **self._horizontal()})

    def surface(self) -> xr.Dataset:
        """Give orography in m and the share of land (latitude, longitude)."""
        terrain, dims = self.model.terrain, ("latitude", "longitude")
        variables = {
            "orography": (dims, np.asarray(terrain.orog).T.astype(np.float32)),
            "land": (dims, np.asarray(terrain.fmask).T.astype(np.float32)),
        }
        return xr.Dataset(variables, self._horizontal())

    def _horizontal(self) -> dict[str, Any]:
        grid = self.model.coords.horizontal
        latitudes, longitudes = (
            np.degrees(np.asarray(values, dtype=np.float64))
            for values in (grid.latitudes, grid.longitudes)
        )
        return {"latitude": latitudes, "longitude": longitudes}


def _build(simulation: SpeedySimulation) -> "tuple[Model, Any]":
    try:
        import jcm
        from jcm.forcing import ForcingData
        from jcm.model import Model
        from jcm.physics.speedy.speedy_coords import get_speedy_coords
        from jcm.terrain import TerrainData
    except ImportError as error:
        raise FlowsciError(
            f"SPEEDY cannot be run: {error}. Install it: pip install -e '.[simulate]'."
        ) from None
    boundary = Path(jcm.__file__).parent / "data" / "bc" / "t30" / "clim"
    coordinates = get_speedy_coords(
        layers=8, spectral_truncation=int(simulation.resolution.removeprefix("T"))
    )
    terrain = TerrainData.from_file(boundary / "terrain.nc", coordinates)
    forcing = ForcingData.from_file(
        boundary / "forcing.nc", coords=coordinates, align_mode="wrap_year"
    )
    days = spin_up_periods(simulation) * simulation.chunk_days
    start = FIRST_KEPT - np.timedelta64(days, "D")
    return Model(coords=coordinates, terrain=terrain, start_time=str(start)[:10]), forcing


def _check_finite(fields: dict[str, np.ndarray], times: np.ndarray) -> None:
    for name, values in fields.items():
        wrong = ~np.isfinite(values).all(axis=(1, 2))
        if wrong.any():
            raise FlowsciError(
                f"The simulation diverged: {name} isn't finite at {times[wrong.argmax()]}. Use "
                "another resolution."
            )
