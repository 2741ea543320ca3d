import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsci.errors import FlowsciError
from flowsci.flow import masks


@st.composite
def ragged(draw):
    batch, entries = draw(st.integers(1, 5)), draw(st.integers(1, 6))
    trailing = draw(st.lists(st.integers(1, 4), max_size=2))
    sizes = draw(st.lists(st.integers(1, entries), min_size=batch, max_size=batch))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    x = torch.randn(batch, entries, *trailing, generator=generator, dtype=torch.float64)
    mask = torch.arange(entries) < torch.tensor(sizes)[:, None]
    return x, mask, sizes


@given(ragged())
@settings(max_examples=50, deadline=None)
def test_sums_and_means_are_those_of_the_real_entries(case):
    x, mask, sizes = case
    poisoned = torch.where(masks.expand(mask, x), x, torch.nan)
    for row, size in enumerate(sizes):
        real = x[row, :size]
        torch.testing.assert_close(masks.masked_sum(poisoned, mask)[row], real.sum(0))
        torch.testing.assert_close(masks.masked_mean(poisoned, mask)[row], real.mean(0))
        torch.testing.assert_close(masks.sample_mean(poisoned, mask)[row], real.mean())


@given(ragged())
@settings(max_examples=50, deadline=None)
def test_centring_moves_the_real_entries_and_never_the_padding(case):
    x, mask, sizes = case
    centred = masks.centre(torch.where(masks.expand(mask, x), x, torch.nan), mask)
    assert (centred[~mask] == 0).all()
    for row, size in enumerate(sizes):
        real = x[row, :size]
        torch.testing.assert_close(centred[row, :size], real - real.mean(0))


def test_without_a_mask_every_entry_is_real():
    x = torch.randn(3, 4, 2)
    whole = torch.ones(3, 4, dtype=torch.bool)
    torch.testing.assert_close(masks.centre(x), masks.centre(x, whole))
    torch.testing.assert_close(masks.masked_mean(x, None), masks.masked_mean(x, whole))
    torch.testing.assert_close(masks.sample_mean(x, None), masks.sample_mean(x, whole))


def test_expand_broadcasts_from_the_left_when_all_dimensions_are_equal():
    values = torch.tensor([1.0, 2.0, 3.0])
    product = masks.expand(values, torch.ones(3, 3)) * torch.ones(3, 3)
    assert product[:, 0].tolist() == product[:, 2].tolist() == [1.0, 2.0, 3.0]


def test_expand_names_both_shapes():
    with pytest.raises(FlowsciError, match=r"\(4,\).*\(3, 4\)"):
        masks.expand(torch.ones(4), torch.ones(3, 4))


def test_a_mask_with_an_empty_row_names_the_row():
    mask = torch.tensor([[True, False], [False, False]])
    with pytest.raises(FlowsciError, match=r"rows \[1\]"):
        masks.check(mask, torch.ones(2, 2, 3))


def test_a_mask_of_another_shape_names_both_shapes():
    with pytest.raises(FlowsciError, match=r"\(2, 3\).*\(2, 2, 3\)"):
        masks.check(torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 2, 3))


def test_a_mask_must_be_bool():
    with pytest.raises(FlowsciError, match="bool"):
        masks.check(torch.ones(2, 2), torch.ones(2, 2, 3))


def test_centring_needs_entries():
    with pytest.raises(FlowsciError, match=r"\(3,\)"):
        masks.centre(torch.ones(3))
