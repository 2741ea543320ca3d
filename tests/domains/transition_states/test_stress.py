import itertools

import torch

from flowsci.domains.transition_states import stress
from flowsci.flow import superpose


def system(batch=3, atoms=7):
    generator = torch.Generator().manual_seed(0)
    mask = torch.arange(atoms) < torch.tensor([[atoms], [5], [4]])[:batch]
    x = torch.randn(batch, atoms, 3, generator=generator, dtype=torch.float64) * 2
    return x * mask[..., None], mask


def test_distances_of_a_geometry_give_it_back():
    x, mask = system()
    near = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)).double()
    found = stress.embed(stress.distances(x), near * mask[..., None], mask, iterations=2000)
    assert ((superpose(found, x, mask) - x)[mask]).abs().max() < 1e-3
    assert (found[~mask] == 0).all()


def test_each_iteration_lowers_the_stress():
    x, mask = system()
    target = stress.distances(x) * 1.2
    pairs = stress.pair_mask(mask)
    weights = torch.where(pairs, 1.0, 0.0).double()

    def value(positions):
        return (((stress.distances(positions) - target) * pairs) ** 2).sum()

    states = [
        stress.majorise(target, weights, x.flip(0) * mask[..., None], mask, k) for k in range(6)
    ]
    values = [value(state) for state in states]
    assert all(after < before for before, after in itertools.pairwise(values))


def test_the_start_turns_with_the_reactant_and_does_not_care_about_the_products_frame():
    x, mask = system()
    generator = torch.Generator().manual_seed(2)
    away = 0.5 * torch.randn(x.shape, generator=generator, dtype=torch.float64)
    y = (x + away) * mask[..., None]
    turn = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    turn = turn * torch.linalg.det(turn)
    plain = stress.start_between(x, y, mask)
    moved = stress.start_between(x @ turn, (y + 4) @ turn.T * mask[..., None], mask)
    assert torch.allclose(moved, plain @ turn, atol=1e-8)


def test_targets_are_between_the_ends_and_nearer_to_the_shorter():
    x, _ = system()
    y = x.flip(0)
    target = stress.target_distances(x, y)
    d_x, d_y = stress.distances(x), stress.distances(y)
    assert (target <= torch.maximum(d_x, d_y) + 1e-9).all()
    assert (target <= (d_x + d_y) / 2 + 1e-9).all()
    assert (target >= torch.minimum(d_x, d_y) - 1e-9).all()


def test_gradients_are_finite_where_atoms_coincide():
    x, mask = system()
    target = stress.distances(x).requires_grad_()
    start = torch.zeros_like(x)
    start[:, 0, 0] = 1.0
    weights = torch.where(stress.pair_mask(mask), 1.0, 0.0).double()
    stress.majorise(target, weights, start, mask, 3).square().sum().backward()
    assert target.grad.isfinite().all()
