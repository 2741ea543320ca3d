"""Winds without divergence, and gradients that don't fight."""

import numpy as np
import pytest
import torch
from torch import nn

from flowsci.domains.weather.grids import gauss_latitudes
from flowsci.domains.weather.physics import Winds, arrive, conflict_free, with_gradient
from flowsci.domains.weather.settings import FlowSettings
from flowsci.errors import FlowsciError
from flowsci.flow import CleanPrediction, GaussianField, Linear, Spherical
from tests.domains.weather.models import BOX, REGION, STATISTICS, model

SPHERE = {
    **STATISTICS,
    "latitude": gauss_latitudes(16)[0].tolist(),
    "longitude": (np.arange(32) * 11.25).tolist(),
}


@pytest.mark.parametrize("statistics", [BOX, SPHERE], ids=["box", "sphere"])
def test_projected_winds_have_no_divergence_and_stay_when_projected_again(statistics):
    winds = Winds(statistics)
    shape = len(statistics["latitude"]), len(statistics["longitude"])
    fields = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    projected = winds.project(fields)
    assert winds.divergence(projected).abs().max() < 2e-5 * winds.divergence(fields).abs().max()
    torch.testing.assert_close(winds.project(projected), projected, rtol=0, atol=2e-5)
    torch.testing.assert_close(projected[:, 0], fields[:, 0])


def test_rotation_has_no_divergence_and_a_known_flow_has_its_own():
    winds = Winds(SPHERE)
    latitude, longitude = np.meshgrid(
        np.radians(SPHERE["latitude"]), np.radians(SPHERE["longitude"]), indexing="ij"
    )
    fields = torch.zeros(1, 3, 16, 32)
    spread = SPHERE["anomaly_spread"]
    # the wind that solid rotation makes
    fields[0, 1] = torch.tensor(np.cos(latitude)) / spread[1]
    torch.testing.assert_close(winds.project(fields), fields, rtol=0, atol=1e-5)
    # gradient of sin(lat): v = cos(lat), divergence = -2 sin(lat)
    fields = torch.zeros(1, 3, 16, 32)
    fields[0, 2] = torch.tensor(np.cos(latitude)) / spread[2]
    wanted = torch.tensor(-2 * np.sin(latitude) / spread[1], dtype=torch.float32)
    torch.testing.assert_close(winds.divergence(fields)[0, 0], wanted, rtol=0, atol=1e-4)
    assert winds.project(fields).abs().max() < 1e-5
    # gradient of sin(lat)^2: v = 2 sin(lat) cos(lat), divergence = 2 - 6 sin(lat)^2
    fields[0, 2] = torch.tensor(np.sin(2 * latitude)) / spread[2]
    wanted = torch.tensor((2 - 6 * np.sin(latitude) ** 2) / spread[1]).float()
    torch.testing.assert_close(winds.divergence(fields)[0, 0], wanted, rtol=0, atol=1e-4)
    # gradient of cos(lat) cos(lon): u = -sin(lon), v = -sin(lat) cos(lon)
    fields[0, 1] = torch.tensor(-np.sin(longitude)) / spread[1]
    fields[0, 2] = torch.tensor(-np.sin(latitude) * np.cos(longitude)) / spread[2]
    wanted = torch.tensor(-2 * np.cos(latitude) * np.cos(longitude) / spread[1]).float()
    torch.testing.assert_close(winds.divergence(fields)[0, 0], wanted, rtol=0, atol=1e-4)


REGULAR = {**SPHERE, "grid": "regular", "latitude": (-84.375 + 11.25 * np.arange(16)).tolist()}


@pytest.mark.parametrize("statistics", [REGION, REGULAR], ids=["region", "regular"])
def test_grids_without_a_projection_are_refused_before_training(statistics):
    with pytest.raises(FlowsciError, match=f"Gaussian grid; .* '{statistics['grid']}'. Set it to"):
        model(flow=FlowSettings(divergence="projected"), statistics=statistics)


def test_fields_without_winds_have_no_divergence():
    dry = [{**channel, "vector": None, "partner": None} for channel in STATISTICS["channels"]]
    with pytest.raises(FlowsciError, match="the dataset has no winds; set it to 'free'"):
        Winds({**STATISTICS, "channels": dry})


def test_the_joined_gradient_follows_both_losses():
    weights = nn.Parameter(torch.tensor([1.0, 2.0, -1.0]))
    a, b = torch.tensor([1.0, 0.2, 0.0]), torch.tensor([-0.9, 0.1, 0.3])
    (joined,) = conflict_free([weights @ a, 100 * weights @ b], [weights])
    assert a @ b < 0
    unit = [g / g.norm() for g in (a, b)]
    assert joined @ unit[0] > 0
    assert float(joined @ unit[0]) == pytest.approx(float(joined @ unit[1]), rel=1e-4)
    (slower,) = conflict_free([weights @ a, 100 * weights @ b], [weights], 0.2)
    assert float(slower @ unit[1]) == pytest.approx(float(0.2 * slower @ unit[0]), rel=1e-4)
    value = with_gradient(torch.tensor(7.0), [joined], [weights])
    value.backward()
    assert value.item() == 7
    torch.testing.assert_close(weights.grad, joined)


@pytest.mark.parametrize("path", [Linear(), Spherical()], ids=["linear", "energy"])
def test_unrolled_steps_arrive_nearer_to_a_sample(path):
    # data of deviation 0.5 around 2: the exact flow maps noise z to 2 + z / 2
    field = GaussianField(torch.tensor([2.0]), torch.tensor([0.5]), path)
    noise = torch.linspace(-2, 2, 9)[:, None]
    start = torch.full((9,), 0.05)
    wanted = 2 + noise / 2
    c = path(start).expand(noise)
    x = c.beta * 2 + (c.alpha**2 + c.beta**2 / 4).sqrt() * noise
    arrived = {n: arrive(field, field(x, start), n) for n in (1, 4, 64)}
    torch.testing.assert_close(arrived[1], field(x, start).clean)
    errors = [(a - wanted).square().mean().sqrt().item() for a in arrived.values()]
    assert errors[1] < 0.4 * errors[0]
    assert errors[2] < 0.02


def test_gradients_reach_every_unrolled_step():
    scale, calls = torch.tensor([1.0], requires_grad=True), []
    exact = GaussianField(torch.tensor([2.0]), torch.tensor([0.5]))

    def field(x, t):
        calls.append(t[0].item())
        return CleanPrediction(exact(x, t).clean * scale, x, t, exact.path)

    t = torch.full((3,), 0.2)
    arrive(field, field(torch.ones(3, 1), t), 4).sum().backward()
    assert calls == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert scale.grad.abs() > 0
