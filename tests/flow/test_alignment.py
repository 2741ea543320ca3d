from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsci.errors import FlowsciError
from flowsci.flow.alignment import (
    permutation_between,
    permute,
    rotate,
    rotation_between,
    superpose,
)


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def proper_rotations(batch, d=3, seed=0):
    q, _ = torch.linalg.qr(normal(batch, d, d, seed=seed))
    return torch.cat([q[..., :-1], q[..., -1:] * torch.det(q)[:, None, None]], dim=-1)


def centred(x):
    return x - x.mean(1, keepdim=True)


@pytest.mark.parametrize("d", [2, 3, 5])
def test_rotated_copies_are_superposed_exactly(d):
    x, q = normal(6, 7, d), proper_rotations(6, d)
    target = rotate(x, q) + normal(6, 1, d, seed=2)
    torch.testing.assert_close(rotation_between(x, target), q)
    torch.testing.assert_close(superpose(x, target), target)


def test_autocast_takes_no_digits_from_positions():
    x, target = normal(2, 7, 3).float(), normal(2, 7, 3, seed=1).float()
    expected = superpose(x, target)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(superpose(x, target), expected)


def test_mirror_images_are_rotated_and_never_reflected():
    x = normal(20, 9, 3)
    mirrored = x * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    rotation = rotation_between(x, mirrored)
    torch.testing.assert_close(torch.det(rotation), torch.ones(20, dtype=torch.float64))
    assert (superpose(x, mirrored) - mirrored).abs().amax((1, 2)).min() > 0.1


def test_rotation_beats_every_other_rotation_tried():
    x, y, weights = centred(normal(1, 6, 3)), centred(normal(1, 6, 3, seed=1)), normal(1, 6).exp()
    share = (weights / weights.sum())[..., None]
    x, y = x - (share * x).sum(1, keepdim=True), y - (share * y).sum(1, keepdim=True)
    best = (share * (rotate(x, rotation_between(x, y, weights=weights)) - y) ** 2).sum()
    skew = 0.05 * normal(500, 3, 3, seed=4)
    near = torch.linalg.matrix_exp(skew - skew.mT) @ rotation_between(x, y, weights=weights)
    for tried in (proper_rotations(500, seed=3), near):
        costs = (share * (rotate(x.expand(500, 6, 3), tried) - y) ** 2).sum((1, 2))
        assert best < costs.min()
    assert costs.min() < 1.01 * best


@pytest.mark.parametrize("points", [1, 2])
def test_degenerate_systems_get_a_proper_rotation(points):
    x, y = normal(4, points, 3), normal(4, points, 3, seed=1)
    rotation = rotation_between(x, y)
    eye = torch.eye(3, dtype=torch.float64).expand(4, 3, 3)
    torch.testing.assert_close(rotation @ rotation.mT, eye)
    torch.testing.assert_close(torch.det(rotation), torch.ones(4, dtype=torch.float64))


def test_padding_is_ignored_whatever_stands_there():
    x, q = normal(5, 8, 3), proper_rotations(5)
    mask = torch.arange(8) < torch.tensor([3, 4, 5, 8, 8])[:, None]
    target = rotate(x, q)
    x[~mask], target[~mask] = float("nan"), 1e9
    torch.testing.assert_close(rotation_between(x, target, mask), q)
    moved = superpose(x, target, mask)
    torch.testing.assert_close(moved[mask], target[mask])
    assert (moved[~mask] == 0).all()


def test_rotation_is_equivariant():
    x, y, q, r = normal(9, 7, 3), normal(9, 7, 3, seed=1), proper_rotations(9), proper_rotations(9)
    moved = rotation_between(rotate(x, r), rotate(y, q))
    torch.testing.assert_close(moved, q @ rotation_between(x, y) @ r.mT, rtol=0, atol=1e-5)


def test_gradient_reaches_the_positions():
    x = normal(2, 5, 3).requires_grad_()
    y = normal(2, 5, 3, seed=1)
    assert torch.autograd.gradcheck(lambda x: superpose(x, y), (x,))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 6), d=st.integers(1, 3), data=st.data())
def test_permutation_has_the_least_cost_within_classes_and_mask(n, d, data):
    x, y = normal(1, n, d, seed=n), normal(1, n, d, seed=100 + d)
    classes = torch.tensor([data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))])
    real = data.draw(st.integers(1, n))
    mask = (torch.arange(n) < real)[None]
    found = permutation_between(x, y, mask, classes)
    allowed = [
        p
        for p in permutations(range(n))
        if all(p[k] == k for k in range(real, n))
        and all(classes[0, p[k]] == classes[0, k] for k in range(n))
    ]
    costs = [((x[0, list(p)] - y[0])[:real] ** 2).sum() for p in allowed]
    assert tuple(found[0].tolist()) in allowed
    torch.testing.assert_close(((permute(x, found)[0] - y[0])[:real] ** 2).sum(), min(costs))


def test_permuted_copies_are_recovered():
    x = normal(4, 10, 3)
    shuffle = torch.stack([torch.randperm(10, generator=torch.Generator()) for _ in range(4)])
    torch.testing.assert_close(
        permute(x, permutation_between(x, permute(x, shuffle))), permute(x, shuffle)
    )


def test_bad_input_is_named():
    x = normal(2, 4, 3)
    with pytest.raises(FlowsciError, match=r"\(2, 4, 3\) and \(2, 5, 3\)"):
        rotation_between(x, normal(2, 5, 3))
    with pytest.raises(FlowsciError, match=r"no real entry in rows \[0, 1\]"):
        rotation_between(x, x, torch.zeros(2, 4, dtype=torch.bool))
    with pytest.raises(FlowsciError, match="weights must not be negative"):
        rotation_between(x, x, weights=-torch.ones(2, 4))
    with pytest.raises(FlowsciError, match=r"classes of shape \(4,\)"):
        permutation_between(x, x, classes=torch.zeros(4))
    x[1, 0, 0] = float("nan")
    for align in (rotation_between, permutation_between):
        with pytest.raises(FlowsciError, match=r"systems \[1\] hold NaN"):
            align(x, normal(2, 4, 3))
