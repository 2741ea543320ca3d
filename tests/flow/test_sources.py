import math

import pytest
import torch
from catalogue import SOURCES, name

from flowsci.errors import FlowsciError
from flowsci.flow import (
    Categorical,
    CentredGaussian,
    ConditionPlusNoise,
    Gaussian,
    NormMatchedGaussian,
    StudentT,
    sample_generators,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def like_of(source, batch):
    if isinstance(source, Categorical):
        return torch.zeros(batch, 6, dtype=torch.long)
    return torch.zeros(batch, 6, 3)


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_a_sample_does_not_depend_on_its_batch_or_shard(source):
    like = like_of(source, 64)
    whole = source.sample(like, sample_generators(3, range(64)), None, like)
    assert whole.shape == like.shape
    assert whole.dtype == like.dtype
    for batch in (1, 7, 16):
        for start in range(0, 64, batch):
            rows = range(start, min(start + batch, 64))
            part = like[: len(rows)]
            shard = source.sample(part, sample_generators(3, rows), None, part)
            torch.testing.assert_close(shard, whole[rows.start : rows.stop], rtol=0, atol=1e-6)


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_padding_is_exactly_zero(source):
    if isinstance(source, NormMatchedGaussian):
        pytest.skip("takes no mask, and says so")
    like, mask = like_of(source, 4), torch.arange(6) < torch.tensor([1, 3, 6, 2])[:, None]
    x0 = source.sample(like, seeded(), mask, like + 1)
    assert (x0[~mask] == 0).all()


@pytest.mark.parametrize("source", SOURCES, ids=name)
def test_a_mask_with_an_empty_row_raises(source):
    like, mask = like_of(source, 2), torch.zeros(2, 6, dtype=torch.bool)
    with pytest.raises(FlowsciError, match="mask"):
        source.sample(like, seeded(), mask, like)


def test_a_centred_gaussian_has_no_centre_of_mass_and_n_minus_one_degrees_of_freedom():
    mask = torch.arange(6) < torch.tensor([2, 5, 6])[:, None].repeat(4000, 1)
    like = torch.zeros(12000, 6, 3, dtype=torch.float64)
    x0 = CentredGaussian(2.0).sample(like, seeded(), mask)
    torch.testing.assert_close(x0.sum(1), torch.zeros(12000, 3, dtype=torch.float64))
    freedom = 3 * (mask.sum(1) - 1)
    ratio = (x0**2).sum((1, 2)) / (4 * freedom)
    assert abs(ratio.mean() - 1) < 0.02


def test_a_single_real_entry_stands_at_the_origin():
    mask = torch.tensor([[True, False]])
    assert (CentredGaussian().sample(torch.zeros(1, 2, 3), seeded(), mask) == 0).all()


def test_the_norm_matches_the_data():
    data = 3 * torch.randn(4000, 5, generator=seeded()) + 1
    source = NormMatchedGaussian.fit(data)
    x0 = source.sample(torch.zeros(40000, 5), seeded(1))
    assert x0.norm(dim=1).mean().item() == pytest.approx(data.norm(dim=1).mean().item(), rel=0.01)


def test_pruned_directions_are_left_and_the_others_stay_alike():
    source = NormMatchedGaussian(2.0).pruned(torch.tensor([[5.0, 0.0]]), math.cos(math.pi / 4))
    x0 = source.sample(torch.zeros(20000, 2), sample_generators(0, range(20000)))
    angle = torch.atan2(x0[:, 1], x0[:, 0])
    assert (angle.abs() >= math.pi / 4).all()
    # the kept angles are uniform over three quarters of the circle
    share = ((angle.abs() > math.pi / 2).float().mean()).item()
    assert share == pytest.approx(2 / 3, abs=0.015)


def test_pruning_everything_raises():
    directions = torch.tensor([[1.0], [-1.0]])
    source = NormMatchedGaussian(1.0, attempts=5).pruned(directions, 0.5)
    with pytest.raises(FlowsciError, match="rejected"):
        source.sample(torch.zeros(3, 1), seeded())


def test_student_t_has_the_moments_of_its_law():
    x0 = StudentT(8.0, 1.5).sample(torch.zeros(200000, 1), seeded())
    assert x0.var().item() == pytest.approx(1.5**2 * 8 / 6, rel=0.02)
    kurtosis = (x0**4).mean() / x0.var() ** 2
    assert kurtosis.item() == pytest.approx(3 * 6 / 4, rel=0.15)


def test_student_t_tails_can_be_fitted():
    data = StudentT(3.0, 2.0).sample(torch.zeros(10000, 1), seeded())
    fitted = StudentT.fit(data)
    assert fitted.degrees == pytest.approx(3.0, rel=0.08)
    assert fitted.scale == pytest.approx(2.0, rel=0.03)


@pytest.mark.parametrize("shape", [(20000, 2), (20000, 2, 3)])
def test_categories_have_their_probabilities(shape):
    counts = torch.tensor([1.0, 5.0, 2.0])
    source = Categorical.marginal(counts)
    one_hot = len(shape) == 3
    like = torch.zeros(shape) if one_hot else torch.zeros(shape, dtype=torch.long)
    x0 = source.sample(like, seeded())
    index = x0.argmax(-1) if one_hot else x0
    found = torch.bincount(index.flatten(), minlength=3) / index.numel()
    torch.testing.assert_close(found, counts / 8, rtol=0, atol=0.012)


def test_the_masked_source_is_the_extra_class():
    x0 = Categorical.masked(4).sample(torch.zeros(5, 2, dtype=torch.long), seeded())
    assert (x0 == 4).all()


def test_the_condition_plus_noise_stays_near_the_condition():
    condition = {"now": torch.full((20000, 2), 7.0)}
    source = ConditionPlusNoise(0.3, lambda known: known["now"])
    x0 = source.sample(torch.zeros(20000, 2), seeded(), None, condition)
    assert x0.mean().item() == pytest.approx(7, abs=0.01)
    assert x0.std().item() == pytest.approx(0.3, rel=0.02)


@pytest.mark.parametrize("condition", [None, torch.zeros(3, 5)])
def test_a_condition_that_does_not_fit_raises(condition):
    with pytest.raises(FlowsciError, match="condition"):
        ConditionPlusNoise(1.0).sample(torch.zeros(3, 4), seeded(), None, condition)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gaussian(0.0),
        lambda: Gaussian(float("nan")),
        lambda: CentredGaussian(-1.0),
        lambda: StudentT(0.0),
        lambda: NormMatchedGaussian(1.0).pruned(torch.ones(1, 2), 1.5),
        lambda: Categorical(torch.tensor([0.5, 0.2])),
        lambda: Categorical.marginal(torch.zeros(3)),
        lambda: StudentT.fit(torch.zeros(10)),
    ],
)
def test_a_source_that_is_no_distribution_is_refused(make):
    with pytest.raises(FlowsciError):
        make()


def test_the_score_of_a_source_that_is_not_gaussian_is_refused():
    with pytest.raises(FlowsciError, match="not Gaussian"):
        StudentT(3.0).moments()


@pytest.mark.parametrize("directions", [torch.eye(5), torch.ones(2, 4, 1)], ids=["other", "more"])
def test_directions_of_another_shape_name_both_shapes(directions):
    source = NormMatchedGaussian(1.0).pruned(directions, 0.5)
    with pytest.raises(FlowsciError, match=r"\(\d, .*\(3, 4\)"):
        source.sample(torch.zeros(3, 4), torch.Generator())


def test_a_direction_without_a_length_is_refused():
    with pytest.raises(FlowsciError, match="length zero"):
        NormMatchedGaussian(1.0).pruned(torch.zeros(1, 4), 0.5)
