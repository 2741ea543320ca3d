import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsci.errors import FlowsciError
from flowsci.flow import ExactDivergence, Hutchinson, sample_generators

DOUBLE = torch.float64


def velocity_of(x: torch.Tensor) -> torch.Tensor:
    """A velocity whose entries depend on all the others of their sample."""
    flat = x.reshape(len(x), -1)
    mixed = torch.tanh(flat) * flat.sum(1, keepdim=True) + flat.roll(1, 1) ** 2 * flat
    return mixed.reshape(x.shape)


def traces(x: torch.Tensor) -> torch.Tensor:
    rows = [torch.func.jacrev(lambda row: velocity_of(row[None])[0])(row) for row in x]
    return torch.stack([row.reshape(x[0].numel(), -1).trace() for row in rows])


def divergence(rule, x, generators=None, create_graph=False):
    x = x.clone().requires_grad_()
    return rule(velocity_of(x), x, rule.directions(x, generators), create_graph)


@settings(deadline=None, max_examples=25)
@given(
    shape=st.lists(st.integers(1, 4), min_size=0, max_size=3),
    batch=st.integers(1, 4),
    rows=st.one_of(st.none(), st.integers(1, 5)),
)
def test_the_exact_divergence_is_the_trace_for_any_shape(shape, batch, rows):
    x = torch.randn(batch, *shape, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    torch.testing.assert_close(divergence(ExactDivergence(rows), x), traces(x))


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("probes", [1, 3])
def test_hutchinson_is_unbiased_and_more_probes_vary_less(probes, gaussian):
    x = torch.randn(1, 2, 2, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)
    many = x.expand(20_000, 2, 2)
    found = divergence(Hutchinson(probes, gaussian), many, torch.Generator().manual_seed(2))
    error = found.std() / len(many) ** 0.5
    assert abs(found.mean() - traces(x)[0]) < 4 * error
    single = divergence(Hutchinson(1, gaussian), many, torch.Generator().manual_seed(3))
    assert abs(found.var() * probes / single.var() - 1) < 0.1


def test_signs_are_exact_for_independent_entries():
    x = torch.randn(5, 3, dtype=DOUBLE).requires_grad_()
    rule = Hutchinson()
    found = rule(x**3, x, rule.directions(x, torch.Generator().manual_seed(0)), False)
    torch.testing.assert_close(found, (3 * x**2).sum(1))


def test_probes_belong_to_samples():
    x = torch.randn(7, 3, dtype=DOUBLE)
    whole = Hutchinson(2).directions(x, sample_generators(3, range(7)))
    part = Hutchinson(2).directions(x[4:6], sample_generators(3, range(4, 6)))
    for one, other in zip(whole, part, strict=True):
        assert torch.equal(one[4:6], other)


def test_a_state_of_one_number_a_sample_has_a_divergence():
    x = torch.randn(4, dtype=DOUBLE)
    for rule in (ExactDivergence(), Hutchinson(), Hutchinson(2)):
        torch.testing.assert_close(divergence(rule, x, torch.Generator().manual_seed(0)), traces(x))


@pytest.mark.parametrize("rule", [ExactDivergence(), ExactDivergence(2), Hutchinson(2)])
def test_the_divergence_can_be_differentiated(rule):
    x = torch.randn(3, 3, dtype=DOUBLE).requires_grad_()
    directions = rule.directions(x, torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(lambda x: rule(velocity_of(x), x, directions, True), (x,))


def test_bad_input_is_named():
    x = torch.zeros(2, 3, requires_grad=True)
    with pytest.raises(FlowsciError, match="can't be differentiated"):
        ExactDivergence()(velocity_of(x).detach(), x, [], False)
    with pytest.raises(FlowsciError, match="Hutchinson is random"):
        Hutchinson().directions(x, None)
    with pytest.raises(FlowsciError, match="probes must be at least 1"):
        Hutchinson(0)
    with pytest.raises(FlowsciError, match="rows must be at least 1"):
        ExactDivergence(-1)
