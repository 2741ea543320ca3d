"""Futures that meet a newly seen frame, against Bayes' rule in closed form."""

import pytest
import torch

from flowsci.domains.trajectories.update import update
from flowsci.errors import FlowsciError

COUNT = 40_000


def walks(scenes: int, agents: int) -> torch.Tensor:
    """Give random walks (scenes, COUNT, agents, 3 steps, 2 axes) of unit steps."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(scenes, COUNT, agents, 3, 2, generator=generator).cumsum(-2)


def test_the_posterior_of_gaussian_futures_is_found():
    futures = walks(2, 1)
    seen = torch.tensor([[[1.0, -0.5]], [[0.0, 2.0]]])
    chosen, effective = update(futures, seen, 0.5, torch.Generator().manual_seed(1))
    after = futures[torch.arange(2)[:, None], chosen]
    # prior N(0, 1), likelihood N(seen, 1/4): posterior N(0.8 seen, 0.2)
    torch.testing.assert_close(after[..., 0, 0, :].mean(1), 0.8 * seen[:, 0], atol=0.03, rtol=0)
    variance = after[..., 0, 0, :].var(1)
    torch.testing.assert_close(variance, torch.full_like(variance, 0.2), atol=0.02, rtol=0)
    # later steps go on from there
    later = after[..., 0, 2, :].var(1)
    torch.testing.assert_close(later, torch.full_like(later, 2.2), atol=0.15, rtol=0)
    assert ((effective > 0.05 * COUNT) & (effective < COUNT)).all()


def test_scenes_do_not_touch_each_other_and_copies_follow_the_weights():
    futures = walks(3, 2)[:, :50]
    seen = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(2))
    chosen, _ = update(futures, seen, 1.0, torch.Generator().manual_seed(1))
    assert chosen.shape == (3, 50)
    away = (futures[..., 0, :] - seen[:, None]).square().sum((-1, -2))
    expected = 50 * torch.softmax(-away / 2, dim=1)
    copies = torch.stack([torch.bincount(row, minlength=50) for row in chosen])
    assert ((copies - expected).abs() < 1).all()


def test_an_agent_that_was_not_seen_tells_nothing():
    futures = walks(1, 2)[:, :1000]
    seen = torch.tensor([[[0.3, 0.1], [float("nan")] * 2]])
    chosen, effective = update(futures, seen, 0.5, torch.Generator().manual_seed(1))
    alone, same = update(futures[:, :, :1], seen[:, :1], 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(chosen, alone)
    assert torch.equal(effective, same)


def test_what_no_future_foresaw_shows_in_the_effective_sample_size():
    futures = walks(1, 1)[:, :1000]
    _, effective = update(
        futures, torch.full((1, 1, 2), 30.0), 0.1, torch.Generator().manual_seed(1)
    )
    assert effective.item() < 2


def test_probable_futures_count_for_more():
    """Both halves agree alike with what was seen, so that they keep their shares from before."""
    futures = torch.zeros(1, 1000, 1, 3, 2)
    probability = torch.ones(1, 1000)
    probability[:, 900:] = 81.0
    generator = torch.Generator().manual_seed(0)
    chosen, effective = update(futures, torch.zeros(1, 1, 2), 0.2, generator, probability)
    assert (chosen >= 900).double().mean() == pytest.approx(0.9, abs=1e-3)
    assert effective.item() == pytest.approx(9000**2 / (900 + 100 * 81**2), rel=1e-4)


def test_equal_probabilities_change_nothing():
    futures, seen = walks(2, 2)[:, :100], torch.zeros(2, 2, 2)
    plain, equal = (
        update(futures, seen, 1.0, torch.Generator().manual_seed(1), probability)
        for probability in (None, torch.full((2, 100), 0.01))
    )
    assert torch.equal(plain[0], equal[0])
    torch.testing.assert_close(plain[1], equal[1])


@pytest.mark.parametrize(
    ("probability", "message"),
    [
        (torch.ones(3), r"must be \(scenes, futures\), \(1, 3\); it is \(3,\)"),
        (torch.tensor([[0.5, -0.1, 0.6]]), "0 or more"),
        (torch.tensor([[0.5, float("nan"), 0.6]]), "0 or more"),
        (torch.zeros(1, 3), "above 0"),
    ],
)
def test_probabilities_that_are_none_are_refused(probability, message):
    with pytest.raises(FlowsciError, match=message):
        update(walks(1, 1)[:, :3], torch.zeros(1, 1, 2), 1.0, torch.Generator(), probability)


def test_a_spread_of_nothing_is_refused():
    with pytest.raises(FlowsciError, match="spread"):
        update(walks(1, 1)[:, :3], torch.zeros(1, 1, 2), 0.0, torch.Generator())
