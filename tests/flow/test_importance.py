import math

import pytest
import torch
from laws import gaussian

from flowsci.errors import FlowsciError
from flowsci.flow import (
    Likelihood,
    effective_sample_size,
    log_normaliser,
    log_weights,
    resample,
    weighted_mean,
)

DOUBLE = torch.float64


@pytest.mark.parametrize("scale", [-1000.0, 0.0, 1000.0])
def test_the_effective_sample_size_counts_equal_weights(scale):
    weights = torch.full((10,), -math.inf, dtype=DOUBLE)
    for count in (1, 4, 10):
        weights[:count] = scale
        assert float(effective_sample_size(weights)) == pytest.approx(count)


@pytest.mark.parametrize("ratio", [0.7, 0.9, 1.2])
def test_the_effective_share_of_two_normals_is_its_closed_form(ratio):
    x = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    target = -0.5 * (x / ratio) ** 2 - math.log(ratio)
    share = effective_sample_size(log_weights(target, -0.5 * x**2)) / len(x)
    assert float(share) == pytest.approx(ratio * math.sqrt(2 - ratio**2), abs=0.01)


def test_a_flow_reweighed_gives_the_target_and_its_constant():
    field = gaussian()
    like = torch.zeros(20_000, 2, dtype=DOUBLE)
    with torch.no_grad():
        drawn = Likelihood(field).sample(like, torch.Generator().manual_seed(0))
    mean, std = torch.tensor([1.1, -1.8], dtype=DOUBLE), 0.45
    x = drawn.state
    weights = log_weights(3.0 - 0.5 * (((x - mean) / std) ** 2).sum(1), drawn.log_density)
    error = math.sqrt(1 / float(effective_sample_size(weights)))
    assert float(log_normaliser(weights)) == pytest.approx(
        3.0 + math.log(2 * math.pi * std**2), abs=4 * error
    )
    assert float((weighted_mean(x, weights) - mean).abs().max()) < 4 * std * error
    chosen = x[resample(weights, len(x), torch.Generator().manual_seed(1))]
    assert float((chosen.mean(0) - mean).abs().max()) < 6 * std * error


def test_resampling_keeps_counts_within_one():
    weights = torch.tensor([0.0, 1.0, -math.inf, 2.0], dtype=DOUBLE)
    counts = torch.bincount(resample(weights, 100, torch.Generator().manual_seed(0)), minlength=4)
    assert int(counts.sum()) == 100
    assert counts[2] == 0
    assert float((counts - 100 * weights.softmax(0)).abs().max()) < 1


def test_bad_weights_are_named():
    with pytest.raises(FlowsciError, match=r"\(2,\) and \(3,\)"):
        log_weights(torch.zeros(2), torch.zeros(3))
    for wrong in (torch.tensor([0.0, math.nan]), torch.full((3,), -math.inf), torch.zeros(2, 2)):
        with pytest.raises(FlowsciError, match="log-weights"):
            effective_sample_size(wrong)
    with pytest.raises(FlowsciError, match="3 values and 2 weights"):
        weighted_mean(torch.zeros(3), torch.zeros(2))


@pytest.mark.parametrize("values", [[0, 1, 1, 5], [False, True, True, True]])
def test_means_of_whole_numbers_are_not_rounded(values):
    found = weighted_mean(torch.tensor(values), torch.zeros(4))
    assert float(found) == pytest.approx(sum(values) / 4)
