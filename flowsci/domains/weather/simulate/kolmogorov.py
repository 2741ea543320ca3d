"""Kolmogorov flow: two-dimensional turbulence stirred by a sine wave, in a periodic box.

The vorticity w in the box [0, 2 pi)^2 obeys

    dw/dt + u . grad w = nu lap w - mu w - k F cos(k y),

which is Navier-Stokes with the force F sin(k y) along x and a linear drag mu. Fourier-Galerkin in
space with the 2/3 rule; in time the classical Runge-Kutta method of fourth order on the nonlinear
part, with the linear part exact by an integrating factor. The velocity comes from the stream
function, so its Fourier series is free of divergence to rounding. Units are those of the box.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.contract import Simulated
from flowsci.domains.weather.data_settings import KolmogorovSimulation
from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.raw import RawFields
from flowsci.domains.weather.record import Channel
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.progress import progress

FILE = "kolmogorov.nc"
STATE = "state.npz"
TIMES_BETWEEN_STATES = 20
FORMAT = "flowsci Kolmogorov flow 1"
HOURS_BETWEEN_RUNS = 24 * 365
CHANNELS = (
    Channel("u", "", "velocity along x", "1", None, "u", "v"),
    Channel("v", "", "velocity along y", "1", None, "v", "u"),
)


def simulate(
    simulation: KolmogorovSimulation, seed: int, chunk: int, chunks: int, folder: Path
) -> Simulated:
    """Compute every `chunks`-th flow; each starts from noise of its own, by its number."""
    numbers = list(range(simulation.runs))[chunk::chunks]
    if not numbers:
        raise FlowsciError(f"source.chunks: {chunks} are more than the {simulation.runs} runs.")
    box = Turbulence.of(simulation)
    start = random_spectrum(box, sample_generators(seed, numbers))
    steps = round(simulation.step_time / simulation.time_step)
    spin_up = -(-round(simulation.spin_up_time / simulation.time_step) // steps)
    spectrum, kept = _restore(folder / STATE, start)
    with progress("simulating", spin_up + simulation.times, "times") as bar:
        bar.advance(first := len(kept) and spin_up + len(kept))
        for time in range(first, spin_up + simulation.times):
            for _ in range(steps):
                spectrum = box.step(spectrum, simulation.time_step)
            if not spectrum.isfinite().all():
                raise FlowsciError(
                    f"The flow diverged at time {time * simulation.step_time:g}: lower "
                    "simulation.time_step."
                )
            if time >= spin_up:
                kept.append(box.velocity(spectrum).float())
                if len(kept) % TIMES_BETWEEN_STATES == 0:
                    _keep(folder / STATE, spectrum, kept)
            bar.advance()
    fields = torch.stack(kept, dim=1).numpy()
    names = ("run", "time", "component", "y", "x")
    dataset = xr.Dataset(
        {"velocity": (names, fields)},
        {"run": numbers},
        {
            "format": FORMAT,
            "step_time": simulation.step_time,
            "simulation": f"Kolmogorov flow, {simulation.cells} x {simulation.cells}, viscosity "
            f"{simulation.viscosity:g}, drag {simulation.drag:g}: a simulation",
        },
    )
    dataset.to_netcdf(folder / FILE, engine="h5netcdf")
    return Simulated({FILE: "velocities of flows"}, {"runs": len(numbers), "times": len(kept)})


def _restore(path: Path, start: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Give the spectrum and the fields kept so far of an interrupted call, if there was one."""
    if not path.is_file():
        return start, []
    with np.load(path) as state:
        return torch.from_numpy(state["spectrum"]), list(torch.from_numpy(state["kept"]))


def _keep(path: Path, spectrum: Tensor, kept: Sequence[Tensor]) -> None:
    """Write what a call has reached, whole or not at all."""
    partial = path.with_name(f".{path.name}")
    with partial.open("wb") as file:
        np.savez(file, spectrum=spectrum.numpy(), kept=torch.stack(tuple(kept)).numpy())
    partial.replace(path)


def join(chunks: Sequence[Path], folder: Path) -> Simulated:
    """Put the flows of all chunks in the order of their numbers."""
    parts = [xr.load_dataset(chunk / FILE, engine="h5netcdf") for chunk in chunks]
    joined = xr.concat(parts, "run", combine_attrs="identical").sortby("run")
    joined.to_netcdf(folder / FILE, engine="h5netcdf")
    counts = {"runs": joined.sizes["run"], "times of each": joined.sizes["time"]}
    return Simulated({FILE: "velocities (run, time, component, y, x) of flows"}, counts)


def is_ours(path: Path) -> bool:
    """Tell whether a file was written by `join`."""
    try:
        with xr.open_dataset(path, engine="h5netcdf", decode_times=False) as file:
            return file.attrs.get("format") == FORMAT
    except (OSError, ValueError, KeyError):
        return False


def read(path: Path) -> RawFields:
    """Read the flows one after the other; a step of the record's clock counts as one hour."""
    with xr.open_dataset(path, engine="h5netcdf") as file:
        velocity, attributes = file["velocity"].values, file.attrs
    runs, times, _, rows, columns = velocity.shape
    hours = np.arange(times) + max(HOURS_BETWEEN_RUNS, 2 * times) * np.arange(runs)[:, None]
    return RawFields(
        fields=velocity.reshape(runs * times, 2, rows, columns),
        hours=hours.reshape(-1),
        channels=CHANNELS,
        grid=Grid.periodic(rows, columns),
        # the 2/3 rule keeps waves below a third of the cells
        truncation=(rows - 1) // 3,
        calendar="360_day",
        simulation=f"{attributes['simulation']}; a step of the record is "
        f"{attributes['step_time']:g} units of time",
    )


class Turbulence:
    """The equation in Fourier space; a state is the spectrum (batch, ky, kx >= 0) of w."""

    def __init__(
        self, cells: int, viscosity: float, drag: float, forcing: float, wavenumber: int
    ) -> None:
        self.cells = cells
        along_y = torch.fft.fftfreq(cells, 1 / cells, dtype=torch.float64)[:, None]
        along_x = torch.fft.rfftfreq(cells, 1 / cells, dtype=torch.float64)[None]
        self.square = along_x**2 + along_y**2
        self.kept = (along_x < cells / 3) & (along_y.abs() < cells / 3)
        self.inverse = torch.where(self.square > 0, 1 / self.square.clamp(min=1), 0.0)
        self.gradient = torch.stack(
            (1j * along_x.expand_as(self.square), 1j * along_y.expand_as(self.square))
        )
        self.linear = -viscosity * self.square - drag
        y = torch.arange(cells, dtype=torch.float64) * 2 * torch.pi / cells
        curl = -wavenumber * forcing * torch.cos(wavenumber * y)
        self.forcing = torch.fft.rfft2(curl[:, None].expand(cells, cells)) * self.kept

    @classmethod
    def of(cls, simulation: KolmogorovSimulation) -> "Turbulence":
        """Make the equation of a dataset file."""
        return cls(
            simulation.cells,
            simulation.viscosity,
            simulation.drag,
            simulation.forcing,
            simulation.forcing_wavenumber,
        )

    def velocity(self, spectrum: Tensor) -> Tensor:
        """Give the velocity (batch, 2, y, x) along x and along y."""
        stream = spectrum * self.inverse
        parts = torch.stack((self.gradient[1] * stream, -self.gradient[0] * stream), dim=-3)
        return torch.fft.irfft2(parts, s=(self.cells, self.cells))

    def tendency(self, spectrum: Tensor) -> Tensor:
        """Give the change of the vorticity by advection and forcing."""
        slope = torch.fft.irfft2(self.gradient * spectrum[..., None, :, :], s=(self.cells,) * 2)
        advection = (self.velocity(spectrum) * slope).sum(-3)
        return self.forcing - torch.fft.rfft2(advection) * self.kept

    def step(self, spectrum: Tensor, time_step: float) -> Tensor:
        """Go on by one time step."""
        half = torch.exp(self.linear * time_step / 2)
        first = self.tendency(spectrum)
        second = self.tendency(half * (spectrum + time_step / 2 * first))
        third = self.tendency(half * spectrum + time_step / 2 * second)
        fourth = self.tendency(half * (half * spectrum + time_step * third))
        middle = half * (second + third)
        return half**2 * spectrum + time_step / 6 * (half**2 * first + 2 * middle + fourth)

    def vorticity(self, spectrum: Tensor) -> Tensor:
        """Give the vorticity (batch, y, x)."""
        return torch.fft.irfft2(spectrum, s=(self.cells, self.cells))

    def spectrum_of(self, vorticity: Tensor) -> Tensor:
        """Give the spectrum of a vorticity (batch, y, x), without what the 2/3 rule removes."""
        return torch.fft.rfft2(vorticity) * self.kept


def random_spectrum(box: Turbulence, generators: Sequence[torch.Generator]) -> Tensor:
    """Give smooth random vorticity of root mean square 1, one flow a generator."""
    noise = torch.stack(
        [torch.randn(box.cells, box.cells, generator=g, dtype=torch.float64) for g in generators]
    )
    spectrum = box.spectrum_of(noise) * torch.exp(-box.square / 32) * (box.square > 0)
    size = box.vorticity(spectrum).square().mean((-2, -1), keepdim=True).sqrt()
    return spectrum / size
