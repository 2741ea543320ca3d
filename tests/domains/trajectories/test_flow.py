import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.flow import OffsetBasis
from flowsci.domains.trajectories.frames import constant_velocity
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import FlowSettings, NetworkSettings
from flowsci.flow import sample_generators


@pytest.fixture(scope="module")
def windows(prepared):
    training = Scenes.of_split(prepared.arrays, "train")
    positions = training.positions_of(training.all_windows()).double()
    return positions[:, :8], positions[:, 8:]


def test_all_components_give_the_future_back(prepared, windows):
    observed, future = windows
    basis = OffsetBasis(prepared.statistics, 36)
    offsets = basis.decode(observed, basis.encode(observed, future))
    assert torch.allclose(observed[:, -1:] + offsets, future, atol=1e-4)


def test_coefficients_have_mean_zero_and_unit_variance_in_training(prepared, windows):
    coefficients = OffsetBasis(prepared.statistics, 4).encode(*windows)
    assert torch.allclose(coefficients.mean(0), torch.zeros(4).double(), atol=1e-3)
    assert torch.allclose(coefficients.var(0, unbiased=False), torch.ones(4).double(), atol=1e-3)


def test_a_few_components_lose_little_and_more_lose_less(prepared, windows):
    observed, future = windows
    lost = []
    for count in (1, 4, 12):
        basis = OffsetBasis(prepared.statistics, count)
        back = observed[:, -1:] + basis.decode(observed, basis.encode(observed, future))
        lost.append((back - future).norm(dim=-1).mean())
    missed = (constant_velocity(observed, 12) - future).norm(dim=-1).mean()
    assert lost[0] > lost[1] > lost[2]
    assert lost[2] < 0.01 * missed


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


def test_samples_do_not_depend_on_batch_or_shard(model, prepared, run_settings):
    settings = run_settings.sampling.model_copy(update={"split": "validation"})
    whole = draw(model, prepared, settings, [[0, 1, 2, 3, 4]])
    parts = draw(model, prepared, settings, [[0], [1, 2], [3, 4]])
    assert torch.allclose(whole, parts, atol=1e-5, rtol=0)
    assert whole.std(dim=1).mean() > 0.01


def test_samples_do_not_depend_on_the_agents_of_other_scenes(model, prepared, run_settings):
    settings = run_settings.sampling
    conditions = domain.conditions(prepared, settings)
    batch = dict(conditions.batch([0]))
    wide = dict(batch)
    for name in ("observed", "flight", "mask"):
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
