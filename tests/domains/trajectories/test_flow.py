import pytest
import torch

from flowsci.domains.trajectories import domain, flow
from flowsci.domains.trajectories.density import FutureDensity
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.modes import density_of
from flowsci.domains.trajectories.settings import FlowSettings, NetworkSettings
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators


def draw(model, prepared, settings, batches):
    """Sample the first scenes in the given batches; one table of rows."""
    conditions = domain.conditions(prepared, settings)
    rows = []
    for indices in batches:
        count = settings.samples
        wanted = [i * count + s for i in indices for s in range(count)]
        batch = conditions.batch(indices)
        with torch.no_grad():
            drawn = model.sample(
                model.network, batch, sample_generators(settings.seed, wanted), settings
            )
        rows.append(domain.decode(drawn, batch, prepared)["positions"].values)
    return torch.cat([torch.from_numpy(part) for part in rows])


@pytest.mark.parametrize("head", ["flow", "modes", "density"])
def test_samples_do_not_depend_on_batch_or_shard(model, prepared, run_settings, head):
    changes = {"split": "validation", "head": head}
    settings = run_settings.sampling.model_copy(update=changes)
    whole = draw(model, prepared, settings, [[0, 1, 2, 3, 4]])
    parts = draw(model, prepared, settings, [[0], [1, 2], [3, 4]])
    assert torch.allclose(whole, parts, atol=1e-5, rtol=0)
    assert whole.std(dim=1).mean() > 0.01


@pytest.mark.parametrize("head", ["flow", "modes", "density"])
def test_futures_are_the_same_without_their_densities(model, prepared, run_settings, head):
    settings = run_settings.sampling.model_copy(update={"head": head})
    batch = domain.conditions(prepared, settings).batch([0, 1])
    drawn = []
    for densities in (True, False):
        wanted = settings.model_copy(update={"densities": densities})
        generators = sample_generators(0, range(2 * settings.samples))
        drawn.append(model.sample(model.network, batch, generators, wanted))
    assert torch.equal(drawn[0]["positions"], drawn[1]["positions"])
    assert set(drawn[0]) - set(drawn[1]) == {
        *("style_weight", "mode_weight", "mean", "scale", "rest_scale")
    }


def test_samples_do_not_depend_on_the_agents_of_other_scenes(model, prepared, run_settings):
    settings = run_settings.sampling
    conditions = domain.conditions(prepared, settings)
    batch = dict(conditions.batch([0]))
    wide = dict(batch)
    for name in ("observed", "mask"):
        wide[name] = torch.cat([batch[name], torch.zeros_like(batch[name])], dim=1)
    generators = [sample_generators(0, range(settings.samples)) for _ in range(2)]
    with torch.no_grad():
        narrow_drawn = model.sample(model.network, batch, generators[0], settings)["positions"]
        wide_drawn = model.sample(model.network, wide, generators[1], settings)["positions"]
    agents = batch["mask"].shape[1]
    assert torch.allclose(narrow_drawn, wide_drawn[:, :, :agents], atol=1e-5, rtol=0)


def test_the_history_is_encoded_once_a_sampling_call(model, prepared, run_settings, monkeypatch):
    calls = []
    encode = model.network.encode
    monkeypatch.setattr(model.network, "encode", lambda c: calls.append(1) or encode(c))
    draw(model, prepared, run_settings.sampling, [[0, 1]])
    assert len(calls) == 1


@pytest.mark.parametrize("head", ["flow", "modes", "density"])
def test_crowded_scenes_are_taken_few_at_a_time_and_no_sample_changes(
    model, prepared, run_settings, monkeypatch, head
):
    settings = run_settings.sampling.model_copy(update={"head": head})
    whole = draw(model, prepared, settings, [[0, 1, 2, 3]])
    agents = domain.conditions(prepared, settings).batch([0, 1, 2, 3])["mask"].shape[1]
    monkeypatch.setattr(flow, "PAIRS_AT_ONCE", 2 * agents**2)
    monkeypatch.setattr(flow, "FUTURE_PAIRS_AT_ONCE", 4 * agents**2)
    sizes = {"encode": [], "velocity": []}
    encode, velocity = model.network.encode, model.network.velocity
    monkeypatch.setattr(
        model.network, "encode", lambda c: sizes["encode"].append(len(c["mask"])) or encode(c)
    )
    monkeypatch.setattr(
        model.network,
        "velocity",
        lambda x, t, c: sizes["velocity"].append(len(x)) or velocity(x, t, c),
    )
    parts = draw(model, prepared, settings, [[0, 1, 2, 3]])
    assert torch.allclose(whole, parts, atol=1e-5, rtol=0)
    assert sizes["encode"] == [2, 2]
    # three futures of two scenes: two of each, then one
    assert set(sizes["velocity"]) == ({4, 2} if head == "flow" else set())


def test_the_loss_falls_when_it_is_trained_on(prepared, run_settings):
    network = NetworkSettings(width=32, heads=2, encoder_layers=1, decoder_layers=1, dropout=0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = domain.model(network, FlowSettings(coefficients=6), prepared.statistics)
        batch = domain.batches(prepared, run_settings, "train")[0]
        generator = torch.Generator().manual_seed(0)
        optimiser = torch.optim.Adam(model.network.parameters(), lr=3e-3)
        losses = []
        for _ in range(150):
            loss = model.loss(model.network, batch, generator)
            optimiser.zero_grad()
            loss.value.backward()
            optimiser.step()
            losses.append(loss.value.item())
    assert loss.per_sample.shape == batch["id"].shape
    assert sum(losses[-20:]) < 0.5 * sum(losses[:20])


def test_the_modes_are_the_likeliest_ones_and_their_chances_sum_to_one(
    model, prepared, run_settings
):
    settings = run_settings.sampling.model_copy(update={"head": "modes", "samples": 20})
    batch = domain.conditions(prepared, settings).batch([0, 1])
    with torch.no_grad():
        every = model.sample(model.network, batch, [], settings)
        few = model.sample(model.network, batch, [], settings.model_copy(update={"samples": 3}))
    mask = batch["mask"]
    share = (every["probability"] * mask.unsqueeze(1)).sum(-1)
    assert (share.diff(dim=1) <= 1e-6).all()
    assert torch.equal(few["positions"], every["positions"][:, :3])
    for drawn in (every, few):
        total = drawn["probability"].sum(1)
        assert torch.allclose(total, torch.ones_like(total))
    settings = settings.model_copy(update={"samples": 21})
    with pytest.raises(FlowsciError, match=r"tells 20 modes, 21 are asked"):
        model.sample(model.network, batch, [], settings)


def test_the_chance_of_a_joint_sample_is_that_all_agents_take_its_mode(
    model, prepared, run_settings
):
    settings = run_settings.sampling.model_copy(update={"head": "modes", "samples": 20})
    batch = domain.conditions(prepared, settings).batch([0, 1])
    with torch.no_grad():
        said = model.sample(model.network, batch, [], settings)
        few = model.sample(model.network, batch, [], settings.model_copy(update={"samples": 3}))
    for scene, mask in enumerate(batch["mask"]):
        weight, style = said["mode_weight"][scene, mask, :20], said["style_weight"][scene]
        order = (weight @ style).sum(0).argsort(descending=True)
        every = (weight.prod(0) @ style)[order]
        torch.testing.assert_close(said["scene_probability"][scene], every / every.sum())
        torch.testing.assert_close(few["scene_probability"][scene].sum(), torch.tensor(1.0))


def test_draws_of_the_density_follow_the_mixture_that_was_said(model, prepared, run_settings):
    """Through each coefficient's distribution function, draws are uniform."""
    settings = run_settings.sampling.model_copy(update={"head": "density", "samples": 400})
    batch = domain.conditions(prepared, settings).batch([0])
    with torch.no_grad():
        said = model.sample(model.network, batch, sample_generators(0, range(400)), settings)
    mask = batch["mask"]
    frames = agent_frames(batch["observed"])[mask].unsqueeze(1)
    drawn = model.basis.encode(frames, said["positions"].transpose(1, 2)[mask], 3)
    weight = (said["mode_weight"] * said["style_weight"][:, None, None]).sum(-1)[mask]
    mean, scale = (said[name][mask][..., :3] for name in ("mean", "scale"))
    normal = torch.distributions.Normal(mean.unsqueeze(1), scale.unsqueeze(1))
    level = (normal.cdf(drawn.unsqueeze(2)) * weight[:, None, :, None]).sum(2)
    assert (level.mean(1) - 0.5).abs().max() < 0.06
    assert (level.var(1) - 1 / 12).abs().max() < 0.02


def test_each_draw_of_the_density_tells_its_own(model, prepared, run_settings):
    """Of two scenes that differ in agents, in the precision of the network."""
    settings = run_settings.sampling.model_copy(update={"head": "density", "samples": 50})
    batch = domain.conditions(prepared, settings).batch([0, 1])
    with torch.no_grad():
        context = model.network.encode(batch)
        density = density_of(model.network.modes(context), context, model.basis)
        said = model.sample(model.network, batch, sample_generators(0, range(100)), settings)
    mask = batch["mask"]
    positions, logs = (said[n].transpose(1, 2)[mask] for n in ("positions", "log_density"))
    torch.testing.assert_close(density.log_density(positions), logs)


def test_draws_of_the_density_are_made_at_once(model, prepared, run_settings, monkeypatch):
    calls = []
    draw = FutureDensity.draw
    monkeypatch.setattr(FutureDensity, "draw", lambda *a: calls.append(1) or draw(*a))
    settings = run_settings.sampling.model_copy(update={"head": "density", "samples": 50})
    batch = domain.conditions(prepared, settings).batch([0, 1])
    with torch.no_grad():
        model.sample(model.network, batch, sample_generators(0, range(100)), settings)
    assert len(calls) == 1


def test_calibration_finds_the_spread_of_the_validation_futures(prepared, run_settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = domain.model(run_settings.network, run_settings.flow, prepared.statistics)
    validation = domain.batches(prepared, run_settings, "validation")
    network = model.network.eval()

    def misfit():
        with torch.no_grad():
            losses = [
                model.loss(network, validation[i], torch.Generator().manual_seed(0))
                for i in range(len(validation))
            ]
        return sum(float(loss.terms["likelihood"].sum()) for loss in losses)

    before = misfit()
    with torch.no_grad():
        model.calibrate(network, validation)
    assert misfit() < before
    factor = network.modes.log_factor.clone()
    with torch.no_grad():
        model.calibrate(network, validation)
    assert torch.allclose(network.modes.log_factor, factor, atol=0.05)


def test_a_flow_has_no_use_for_a_teacher(model):
    with pytest.raises(FlowsciError, match="learns from data alone"):
        model.learn_from(model)


@pytest.mark.parametrize(
    ("name", "other"),
    [("length_unit", "m"), ("observed_steps", 3), ("predicted_steps", 99), ("places", ["other"])],
)
def test_a_dataset_unlike_that_of_training_is_refused(model, prepared, name, other):
    model.check_data(prepared.statistics)
    with pytest.raises(FlowsciError, match=f"its {name} is .*Name a dataset like the model's"):
        model.check_data({**prepared.statistics, name: other})
