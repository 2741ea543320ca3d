"""The model of a run: its loss, its ensembles and what is fitted after training."""

from pathlib import Path

import pytest
import torch

import flowsci
from flowsci.domains.weather.network import tasks_of
from flowsci.domains.weather.settings import FlowSettings, WeatherSampling
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.runs import load_run
from tests.domains.weather.models import BOX, REGION, STATISTICS, batch, model

RUNS = Path(flowsci.__file__).parents[1] / "config" / "runs" / "weather"
CONDITIONS = (
    "previous",
    "has_previous",
    "climatology",
    "static",
    "times",
    "valid",
    "observed",
    "observed_mask",
    "coarse",
    "coarse_factor",
    "id",
    "future_climatology",
    "future_times",
    "start_climatology",
)


def settings(steps=1, **changes):
    task = {"kind": "forecast", "rollout_steps": steps}
    return WeatherSampling(**{"samples": 4, "steps": 2, "task": task} | changes)


def conditions(**changes):
    return {name: part for name, part in batch(**changes).items() if name in CONDITIONS}


def draw(built, given, wanted, seed=0):
    generators = sample_generators(seed, range(len(given["previous"]) * wanted.samples))
    with torch.no_grad():
        return built.sample(built.network, given, generators, wanted)


@pytest.mark.parametrize("path", ["linear", "energy"])
@pytest.mark.parametrize("noise", ["white", "isotropic", "matched", "student_t"])
def test_training_lowers_the_loss_and_follows_the_residuals(noise, path):
    built = model(flow=FlowSettings(noise=noise, path=path))
    cases = batch(8)
    cases["target"] = built.band.project(0.6 * cases["previous"][:, -1])
    optimiser = torch.optim.Adam(built.network.parameters(), lr=1e-2)
    built.network.train()
    values = []
    for step in range(12):
        loss = built.loss(built.network, cases, torch.Generator().manual_seed(step))
        assert loss.per_sample.shape == (8,)
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
        values.append(loss.terms["mean"].mean().item())
    assert values[-1] < 0.8 * values[0]
    assert (built.network.residuals.variance[0] < 0.25 * 1.2).all()


@pytest.mark.parametrize("path", ["linear", "energy"])
def test_an_untrained_flow_gives_its_noise_the_scale_of_the_residuals(path):
    built = model(flow=FlowSettings(path=path, noise="matched"), statistics=BOX)
    torch.nn.init.zeros_(built.network.flow.backbone.out.convolution.weight)
    torch.nn.init.zeros_(built.network.flow.backbone.out.convolution.bias)
    given = conditions(cases=2, statistics=BOX)
    wanted = settings(method="runge_kutta_4").model_copy(update={"steps": 16})
    mean = built.foretell(built.network, given)
    generators = sample_generators(0, range(128))
    noise = built.source(built.network, given, 64).sample(mean.repeat_interleave(64, 0), generators)
    with torch.no_grad():
        drawn = built.residuals(built.network, given, mean, noise, wanted)
    # without what the network says, noise comes back as it was
    scaled = noise * built.network.residuals.scale(given).repeat_interleave(64, 0)
    torch.testing.assert_close(drawn, scaled, rtol=0, atol=1e-4)


def test_half_of_a_batch_trains_each_stream_and_validation_judges_both():
    built = model()
    cases, generator = batch(4), torch.Generator().manual_seed(0)
    built.network.train()
    loss = built.loss(built.network, cases, generator)
    assert [len(term) for term in loss.terms.values()] == [2, 2]
    built.network.eval()
    loss = built.loss(built.network, cases, generator)
    assert [len(term) for term in loss.terms.values()] == [4, 4]
    torch.testing.assert_close(loss.errors, loss.terms["mean"] + loss.terms["flow"])


def test_a_case_that_is_left_alone_trains_both_streams():
    built = model()
    built.network.train()
    loss = built.loss(built.network, batch(1), torch.Generator().manual_seed(0))
    assert [len(term) for term in loss.terms.values()] == [1, 1]
    loss.value.backward()
    reached = {
        name.split(".")[0]
        for name, weight in built.network.named_parameters()
        if weight.grad is not None and weight.grad.abs().sum() > 0
    }
    assert {"mean", "flow"} <= reached


def test_ensembles_have_the_band_of_the_data_and_a_member_is_its_generators():
    built = model()
    given = conditions(cases=2, steps=3)
    drawn = draw(built, given, settings(3))
    assert drawn["fields"].shape == (2, 4, 3, 3, 8, 16)
    assert drawn["mean"].shape == (2, 1, 3, 8, 16)
    assert drawn["mean_spread"].shape == (2, 3, 8)
    fields = drawn["fields"]
    torch.testing.assert_close(built.band.project(fields), fields, rtol=0, atol=1e-5)
    alone = {name: part[1:] for name, part in given.items()}
    with torch.no_grad():
        again = built.sample(built.network, alone, sample_generators(0, range(4, 8)), settings(3))
    torch.testing.assert_close(again["fields"][0], fields[1], rtol=1e-4, atol=1e-5)


def test_noise_remembers_the_last_step_and_keeps_its_spread(monkeypatch):
    built = model()
    seen, told = [], []
    given = conditions(cases=2, steps=3)

    def draw_noise(network, state, noise, wanted, memory):
        seen.append(noise)
        told.append(memory)
        return torch.zeros_like(noise)

    monkeypatch.setattr(built, "draw", draw_noise)
    draw(built, given, settings(3, samples=16, noise_memory=0.6))
    # the first step's noise remembers nothing
    assert told == [0, 0.6, 0.6]
    first, second, third = (noise.flatten() for noise in seen)
    assert float(second.std()) == pytest.approx(1, abs=0.03)
    assert float(torch.corrcoef(torch.stack([first, second]))[0, 1]) == pytest.approx(0.6, abs=0.03)
    assert float(torch.corrcoef(torch.stack([first, third]))[0, 1]) == pytest.approx(0.36, abs=0.03)


def test_members_beyond_memory_are_streamed(monkeypatch):
    built = model()
    given = conditions(cases=2)
    whole = draw(built, given, settings())["fields"]
    monkeypatch.setattr("flowsci.domains.weather.rollout.ROWS", 2)
    torch.testing.assert_close(
        draw(built, given, settings())["fields"], whole, rtol=1e-4, atol=1e-5
    )


def test_what_is_observed_comes_back_exactly():
    built = model()
    given = conditions()
    given["observed_mask"] = (torch.rand_like(given["observed"]) < 0.3).float()
    given["observed"] = given["observed_mask"] * torch.randn_like(given["observed"])
    fields = draw(built, given, settings(task={"kind": "inpaint"}))["fields"][:, :, 0]
    seen = given["observed_mask"].bool().unsqueeze(1).expand_as(fields)
    assert torch.equal(fields[seen], given["observed"].unsqueeze(1).expand_as(fields)[seen])


def test_global_mass_is_kept_where_asked_for():
    built = model()
    given = conditions(steps=3)
    given["valid"] = torch.ones_like(given["valid"])
    given["valid"][:, 0, 2, 3:6] = 0
    fields = draw(built, given, settings(3, conserve_mass=True))["fields"]
    area = built.area * given["valid"][0, 0]
    area = area / area.sum()
    # of the whole field, not of the anomaly: the climate's own mass changes with the season
    whole = fields + given["future_climatology"][:, None]
    mass = (whole[:, :, :, 0] * area).sum((-2, -1))
    start = given["previous"][:, -1, 0] + given["start_climatology"][:, 0]
    wanted = (start * area).sum((-2, -1))[:, None, None].expand_as(mass)
    torch.testing.assert_close(mass, wanted, rtol=0, atol=1e-5)
    free = draw(built, given, settings(3))["fields"]
    torch.testing.assert_close(fields[:, :, 0, 1:], free[:, :, 0, 1:])
    assert (
        mass - ((free + given["future_climatology"][:, None])[:, :, :, 0] * area).sum((-2, -1))
    ).abs().max() > 0.01


@pytest.mark.parametrize("statistics", [REGION, BOX, {**STATISTICS, "channels": None}])
def test_mass_without_a_globe_or_a_surface_pressure_is_refused(statistics):
    if statistics["channels"] is None:
        first = {**STATISTICS["channels"][0], "name": "mean_sea_level_pressure"}
        statistics = {**STATISTICS, "channels": [first, *STATISTICS["channels"][1:]]}
    given = conditions(statistics=statistics)
    with pytest.raises(FlowsciError, match="conserve_mass: needs a channel surface_pressure on a"):
        draw(model(statistics=statistics), given, settings(conserve_mass=True))


def test_a_diverging_rollout_is_stopped_and_named():
    built = model()
    built.network.carry.data.fill_(400.0)
    given = conditions(steps=4)
    given["id"] = torch.tensor([70, 71, 72])
    with pytest.raises(FlowsciError, match="step 1, first member 0 of case 70"):
        draw(built, given, settings(4))


@pytest.mark.parametrize(
    ("name", "calls"), [("full", 8), ("full_4_calls", 4), ("full_2_calls", 2), ("full_1_call", 1)]
)
def test_runs_of_the_full_model_ask_it_as_often_as_they_say(name, calls):
    run = load_run(RUNS / f"{name}.yaml")
    assert run.model == "full"
    built, asked = model(), []
    built.network.flow.register_forward_hook(lambda *_: asked.append(1))
    wanted = run.settings.sampling.model_copy(update={"samples": 2, "task": settings().task})
    draw(built, conditions(cases=1), wanted)
    assert len(asked) == calls


def test_one_step_of_the_midpoint_rule_keeps_the_noise_and_heuns_loses_half():
    built = model(flow=FlowSettings(noise="matched"))
    torch.nn.init.zeros_(built.network.flow.backbone.out.convolution.weight)
    torch.nn.init.zeros_(built.network.flow.backbone.out.convolution.bias)
    given = conditions(cases=1)
    mean, scale = (f(given) for f in (built.network.foretell, built.network.residuals.scale))
    noise = torch.randn(1, 3, 8, 16, generator=torch.Generator().manual_seed(0))
    for method, kept in (("midpoint", 1.0), ("heun", 0.5), ("euler", 0.0)):
        with torch.no_grad():
            wanted = settings(method=method).model_copy(update={"steps": 1})
            drawn = built.residuals(built.network, given, mean, noise, wanted)
        torch.testing.assert_close(drawn, kept * noise * scale, rtol=0, atol=1e-5)


def test_a_flow_refuses_a_teacher():
    with pytest.raises(FlowsciError, match="learns from data alone"):
        model().learn_from(model())


def test_divergence_is_projected_out_of_every_forecast():
    built = model(flow=FlowSettings(divergence="projected"))
    fields = draw(built, conditions(steps=2), settings(2))["fields"]
    scale = built.winds.divergence(torch.randn_like(fields)).abs().max()
    assert built.winds.divergence(fields).abs().max() < 1e-5 * scale
    # and they stay in the band of the data
    torch.testing.assert_close(built.band.project(fields), fields, rtol=0, atol=1e-4)


def test_cells_without_a_value_weigh_nothing_in_the_spectral_loss():
    built, given = model(flow=FlowSettings(spectral_weight=1.0)), batch()
    given["valid"] = given["valid"].clone()
    given["valid"][:, 0, 2, 3] = 0
    with torch.no_grad():
        before = built.loss(built.network, given, torch.Generator().manual_seed(0)).terms["mean"]
        given["target"][:, 0, 2, 3] += 100
        after = built.loss(built.network, given, torch.Generator().manual_seed(0)).terms["mean"]
    torch.testing.assert_close(after, before)


def test_the_learned_divergence_weighs_by_area():
    built, given = model(flow=FlowSettings(divergence="learned")), batch()
    with torch.no_grad():
        said = built.foretell(built.network, given)
        squares = built.winds.divergence(said).square()[:, 0]
        terms = built.loss(built.network, given, torch.Generator().manual_seed(0)).terms
    wanted = (squares * built.area).sum((1, 2))
    torch.testing.assert_close(terms["mean_divergence"], wanted)


@pytest.mark.parametrize("unroll_steps", [1, 3])
def test_a_small_step_lowers_both_the_flows_loss_and_the_divergence(unroll_steps):
    built = model(flow=FlowSettings(divergence="learned", unroll_steps=unroll_steps))
    cases = batch(8)
    built.network.train()

    def judged():
        loss = built.loss(built.network, cases, torch.Generator().manual_seed(0))
        terms = {name: term.mean().item() for name, term in loss.terms.items()}
        error = terms["mean"] + terms["flow"]
        return loss, error, terms["mean_divergence"] + terms["flow_divergence"]

    # the residuals' moments, which both are measured in, move at every call
    moments = built.network.residuals.variance.clone()
    loss, error, divergence = judged()
    assert loss.value.item() == pytest.approx(error, rel=1e-5)
    loss.value.backward()
    built.network.residuals.variance.copy_(moments)
    with torch.no_grad():
        for weight in built.network.parameters():
            weight.sub_(1e-4 * weight.grad)
    _, error_after, divergence_after = judged()
    assert error_after < error
    assert divergence_after < divergence


def test_each_task_has_moments_of_its_own():
    built = model(flow=FlowSettings(noise="matched"))
    cases = batch(6)
    cases["coarse_factor"] = torch.tensor([0.0, 0, 2, 4, 0, 0])
    cases["observed_mask"] = torch.zeros_like(cases["observed_mask"])
    cases["observed_mask"][4:] = 1
    assert tasks_of(cases).tolist() == [0, 0, 1, 1, 2, 2]
    before = built.network.residuals.variance.clone()
    built.network.train()
    some = {name: part[:4] for name, part in cases.items()}
    built.loss(built.network, {n: p.flip(0) for n, p in some.items()}, torch.Generator())
    changed = (built.network.residuals.variance != before).any(1)
    assert changed.tolist() == [True, False, False]


@pytest.mark.parametrize("statistics", [REGION, BOX], ids=["region", "box"])
def test_a_spectral_loss_without_spherical_harmonics_is_refused(statistics):
    with pytest.raises(FlowsciError, match=r"flow.spectral_weight: .*'(region|periodic)'"):
        model(flow=FlowSettings(spectral_weight=1.0), statistics=statistics)


def test_the_spectral_loss_adds_to_the_means():
    cases, terms = batch(4), []
    for weight in (0.0, 1.0):
        built = model(flow=FlowSettings(spectral_weight=weight))
        terms.append(built.loss(built.network, cases, torch.Generator().manual_seed(0)).terms)
    assert (terms[1]["mean"] > terms[0]["mean"]).all()
    torch.testing.assert_close(terms[1]["flow"], terms[0]["flow"])


def test_cells_without_a_value_weigh_nothing_in_scale_and_calibration():
    built, cases = model(statistics=REGION), batch(16, REGION)
    cases["valid"][:, 0, :, :5] = 0
    cases["target"] = cases["target"] * cases["valid"]
    said = built.foretell(built.network, cases).detach()
    error = ((said - cases["target"])[:, 0, :, 5:].square() * built.area[:, 5:]).sum((1, 2))
    wanted = (error / built.area[:, 5:].sum()).sqrt()
    scale = built._residual(built.network, cases, remember=False)[2]
    torch.testing.assert_close(scale[:, 0, 0, 0], wanted)
    built.calibrate(built.network, [cases])
    first = (cases["target"] - said)[:, 0, :, 5:].square().mean((0, 2)).sqrt()
    torch.testing.assert_close(built.network.residuals.mean_spread[0, 0], first)
    before = built.network.residuals.gain[0, 0].clone()
    # what stands there is of no account
    cases["target"][:, 0, :, :5] = 50.0
    built.calibrate(built.network, [cases])
    torch.testing.assert_close(built.network.residuals.gain[0, 0], before)
