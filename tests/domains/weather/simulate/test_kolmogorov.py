import numpy as np
import pytest
import torch
import xarray as xr

from flowsci.domains.weather import domain
from flowsci.domains.weather.band import Band
from flowsci.domains.weather.batches import States
from flowsci.domains.weather.data_settings import KolmogorovSimulation, WeatherData
from flowsci.domains.weather.simulate import kolmogorov
from flowsci.domains.weather.simulate.kolmogorov import Turbulence, random_spectrum
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators


def vortices(cells, wave):
    """Give the vorticity of a Taylor-Green vortex."""
    x = torch.arange(cells, dtype=torch.float64) * 2 * torch.pi / cells
    return 2 * wave * torch.cos(wave * x)[:, None] * torch.cos(wave * x)[None]


def derivative(fields, axis):
    """Give the spectral derivative of fields (..., y, x) along an axis."""
    cells = fields.shape[axis]
    waves = torch.fft.fftfreq(cells, 1 / cells, dtype=fields.dtype)
    waves = waves[:, None] if axis == -2 else waves
    return torch.fft.ifft(1j * waves * torch.fft.fft(fields, dim=axis), dim=axis).real


def start(box, seed=0):
    return random_spectrum(box, sample_generators(seed, [0]))


@pytest.mark.parametrize("wave", [1, 3])
def test_a_taylor_green_vortex_decays_as_the_exact_solution(wave):
    box = Turbulence(32, viscosity=0.05, drag=0.2, forcing=0.0, wavenumber=4)
    spectrum = box.spectrum_of(vortices(32, wave)[None])
    for _ in range(50):
        spectrum = box.step(spectrum, 0.02)
    decay = np.exp(-(2 * wave**2 * 0.05 + 0.2) * 1.0)
    torch.testing.assert_close(box.vorticity(spectrum)[0], decay * vortices(32, wave))


def test_the_velocity_is_free_of_divergence_and_its_curl_is_the_vorticity():
    box = Turbulence(48, 0.01, 0.1, 1.0, 4)
    spectrum = start(box)
    u, v = box.velocity(spectrum)[0]
    divergence = derivative(u, -1) + derivative(v, -2)
    assert divergence.abs().max() < 1e-13 * 48
    curl = derivative(v, -1) - derivative(u, -2)
    torch.testing.assert_close(curl, box.vorticity(spectrum)[0])


def test_advection_alone_keeps_energy_and_enstrophy():
    box = Turbulence(32, 0.0, 0.0, 0.0, 4)
    first = spectrum = start(box)
    for _ in range(40):
        spectrum = box.step(spectrum, 0.01)
    assert (spectrum - first).abs().max() > 1
    for quantity in (box.velocity, box.vorticity):
        before, after = quantity(first).square().mean(), quantity(spectrum).square().mean()
        assert after.item() == pytest.approx(before.item(), rel=1e-6)


def test_energy_changes_by_what_the_force_gives_and_friction_takes():
    box = Turbulence(32, 0.02, 0.1, 1.0, 4)
    spectrum, step = start(box), 0.002
    states = [spectrum]
    for _ in range(2):
        states.append(box.step(states[-1], step))
    energies = [0.5 * box.velocity(s).square().sum(1).mean().item() for s in states]
    velocity = box.velocity(states[1])
    y = torch.arange(32, dtype=torch.float64)[:, None] * 2 * torch.pi / 32
    gain = (velocity[:, 0] * torch.sin(4 * y)).mean()
    loss = 0.1 * velocity.square().sum(1).mean() + 0.02 * box.vorticity(states[1]).square().mean()
    rate = (energies[2] - energies[0]) / (2 * step)
    assert rate == pytest.approx((gain - loss).item(), rel=1e-4)


def test_the_solver_is_of_fourth_order():
    box = Turbulence(32, 0.02, 0.1, 1.0, 4)
    ends = []
    for steps in (10, 20, 40):
        spectrum = start(box)
        for _ in range(steps):
            spectrum = box.step(spectrum, 0.8 / steps)
        ends.append(spectrum)
    errors = [(end - ends[2]).abs().max().item() for end in ends[:2]]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(4, abs=0.6)


def test_the_laminar_flow_stays_what_it_is():
    box = Turbulence(32, 0.5, 0.1, 1.0, 4)
    y = torch.arange(32, dtype=torch.float64) * 2 * torch.pi / 32
    # the force F sin(k y) balances friction where u = F sin(k y) / (nu k^2 + mu)
    laminar = -4 * torch.cos(4 * y)[:, None].expand(32, 32) / (0.5 * 16 + 0.1)
    spectrum = box.spectrum_of(laminar[None])
    for _ in range(20):
        spectrum = box.step(spectrum, 0.01)
    torch.testing.assert_close(box.vorticity(spectrum)[0], laminar)


def settings(chunks=1, **changes):
    simulation = {
        "cells": 16,
        "runs": 5,
        "times": 6,
        "spin_up_time": 0.5,
        "step_time": 0.1,
        "time_step": 0.02,
    }
    return WeatherData(
        domain="weather",
        title="A small set",
        licence="none",
        citation="none",
        source={"kind": "simulate", "chunks": chunks},
        simulation={"kind": "kolmogorov"} | simulation | changes,
        fields={"kind": "simulated"},
        splits={"kind": "shares", "train": 0.6, "validation": 0.2, "test": 0.2},
    )


def simulate(settings, folder):
    """Simulate all chunks and join them."""
    chunks = []
    for chunk in range(settings.source.chunks):
        chunks.append(folder / str(chunk))
        chunks[-1].mkdir(parents=True)
        domain.simulate(settings, chunk, [], chunks[-1])
    domain.join(settings, chunks, folder)
    return folder / kolmogorov.FILE


def test_chunks_change_no_flow_and_the_record_has_one_run_after_the_other(tmp_path):
    whole = simulate(settings(), tmp_path / "whole")
    parts = simulate(settings(chunks=3), tmp_path / "parts")
    raw, again = (kolmogorov.read(path) for path in (whole, parts))
    np.testing.assert_allclose(again.fields, raw.fields, atol=1e-6)
    prepared = domain.prepare([parts], settings())
    assert prepared.arrays.attrs["grid"] == "periodic"
    assert "a simulation" in prepared.arrays.attrs["simulation"]
    assert prepared.counts["times"] == {
        "train": 18,
        "validation": 6,
        "test": 6,
        "in no split": 0,
    }
    assert prepared.counts["gaps in time"] == 4
    # a box has no seasons, which would be those of some flows alone
    assert prepared.arrays["climatology"].sizes["term"] == 1
    times = States(prepared).times(prepared.arrays["time"].values, np.ones(30))
    assert (times == times[0]).all()
    # the band that models project on holds all there is
    band = Band(prepared.statistics)
    assert band.transform is not None
    fields = torch.from_numpy(raw.fields)
    torch.testing.assert_close(band.project(fields), fields, rtol=0, atol=1e-5)
    # divergence at the rounding of single precision
    u, v = torch.from_numpy(raw.fields[7]).double()
    assert (derivative(u, -1) + derivative(v, -2)).abs().max() < 1e-5


def test_an_interrupted_call_goes_on_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(kolmogorov, "TIMES_BETWEEN_STATES", 2)
    simulation = settings().simulation
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for folder in (whole, cut):
        folder.mkdir()
    kolmogorov.simulate(simulation, 0, 0, 1, whole)
    kolmogorov.simulate(simulation.model_copy(update={"times": 4}), 0, 0, 1, cut)
    steps = []
    step = Turbulence.step
    monkeypatch.setattr(Turbulence, "step", lambda *a: steps.append(1) or step(*a))
    kolmogorov.simulate(simulation, 0, 0, 1, cut)
    assert len(steps) == 2 * 5
    expected, found = (xr.load_dataset(f / kolmogorov.FILE)["velocity"] for f in (whole, cut))
    np.testing.assert_array_equal(found, expected)


def test_a_flow_that_diverges_is_named(tmp_path):
    with pytest.raises(FlowsciError, match="diverged at time"):
        simulate(settings(time_step=0.1, forcing=1e6), tmp_path)


def test_more_chunks_than_runs_are_named(tmp_path):
    with pytest.raises(FlowsciError, match=r"source.chunks: 9 are more than the 5 runs"):
        kolmogorov.simulate(KolmogorovSimulation(runs=5), 0, 7, 9, tmp_path)
