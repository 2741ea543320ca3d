import pytest
import torch

from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.flow.generators import normal, restore_states, save_states, uniform


@pytest.mark.parametrize("draw", [normal, uniform])
def test_a_row_depends_on_its_index_only(draw):
    whole = draw((8, 3), sample_generators(5, range(8)))
    shard = draw((3, 3), sample_generators(5, [6, 2, 7]))
    assert torch.equal(whole[[6, 2, 7]], shard)


def test_seeds_and_indices_give_different_rows():
    rows = [normal((1, 4), sample_generators(seed, [index])) for seed in (0, 1) for index in (0, 1)]
    assert len({tuple(row.flatten().tolist()) for row in rows}) == 4


def test_one_generator_is_one_call():
    one, same = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
    assert torch.equal(normal((4, 2), one), torch.randn(4, 2, generator=same))


def test_a_draw_takes_dtype_from_a_floating_like_only():
    generator = torch.Generator().manual_seed(0)
    assert normal((2,), generator, like=torch.zeros(2, dtype=torch.float64)).dtype is torch.float64
    assert uniform((2,), generator, like=torch.zeros(2, dtype=torch.long)).dtype is torch.float32


def test_the_number_of_generators_must_be_the_batch():
    with pytest.raises(FlowsciError, match="3 generators for a batch of 4"):
        normal((4, 2), sample_generators(0, range(3)))


def test_states_can_be_put_back():
    generators = sample_generators(0, range(3))
    states = save_states(generators)
    first = normal((3, 2), generators)
    restore_states(generators, states)
    assert torch.equal(first, normal((3, 2), generators))


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    normal((4, 2), sample_generators(0, range(4)))
    assert torch.equal(before, torch.get_rng_state())
