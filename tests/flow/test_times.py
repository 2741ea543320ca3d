import pytest
import torch
from catalogue import TIMES, name

from flowsci.errors import FlowsciError
from flowsci.flow import Beta, ImportanceByLoss, LogitNormal


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("times", TIMES, ids=name)
def test_times_lie_in_the_unit_interval_and_follow_their_generator(times):
    t = times.sample(5000, seeded())
    assert t.shape == (5000,)
    assert ((t >= 0) & (t <= 1)).all()
    assert torch.equal(t, times.sample(5000, seeded()))
    assert not torch.equal(t, times.sample(5000, seeded(1)))


def test_logit_normal_is_normal_in_logits():
    logits = torch.logit(LogitNormal(0.5, 0.8).sample(40000, seeded()).double())
    assert logits.mean().item() == pytest.approx(0.5, abs=0.02)
    assert logits.std().item() == pytest.approx(0.8, abs=0.02)


def test_beta_has_its_mean_and_variance():
    t = Beta(1.5, 3.0).sample(40000, seeded()).double()
    assert t.mean().item() == pytest.approx(1 / 3, abs=0.004)
    assert t.var().item() == pytest.approx(4.5 / (4.5**2 * 5.5), rel=0.03)


def test_importance_draws_where_the_loss_is_large_and_weights_keep_the_mean():
    times = ImportanceByLoss.start(10)
    assert torch.equal(times.weights(torch.rand(5)), torch.ones(5))
    t = torch.linspace(0, 1, 2001)
    times = times.observed(t, 5 * t**2)
    drawn = times.sample(100000, seeded())
    assert (drawn > 0.9).float().mean() > 2.5 * (drawn < 0.5).float().mean() / 5
    weights = times.weights(drawn)
    assert weights.max() <= 1 / times.floor + 1e-5
    assert weights.mean().item() == pytest.approx(1, abs=0.02)
    assert (weights * 5 * drawn**2).mean().item() == pytest.approx(5 / 3, rel=0.02)


def test_importance_lowers_the_variance_of_the_loss():
    times = ImportanceByLoss.start(32).observed(
        torch.linspace(0, 1, 5000), torch.linspace(0, 1, 5000) ** 3
    )
    uniform, drawn = torch.rand(50000, generator=seeded()), times.sample(50000, seeded())
    assert (times.weights(drawn) * drawn**3).var() < 0.3 * (uniform**3).var()


def test_old_losses_fade_and_the_record_is_not_changed():
    times = ImportanceByLoss.start(2, decay=0.5)
    once = times.observed(torch.tensor([0.1]), torch.tensor([3.0]))
    twice = once.observed(torch.tensor([1.0]), torch.tensor([2.0]))
    assert times.squares.tolist() == [0, 0]
    assert once.squares.tolist() == [9, 0]
    assert twice.squares.tolist() == [4.5, 4]


@pytest.mark.parametrize(
    "make",
    [
        lambda: Beta(0.0, 1.0),
        lambda: LogitNormal(0.0, -1.0),
        lambda: ImportanceByLoss(torch.zeros(3), torch.zeros(4)),
        lambda: ImportanceByLoss.start(4, floor=0.0),
        lambda: ImportanceByLoss.start(4).observed(torch.zeros(3), torch.zeros(4)),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(FlowsciError):
        make()
