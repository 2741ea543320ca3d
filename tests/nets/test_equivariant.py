import torch

from flowsci.nets.equivariant import DistanceFeatures, EquivariantTransformer, PointCloud
from flowsci.nets.pairs import Pairs
from flowsci.nets.times import TimeFeatures


def made(handed=True):
    torch.manual_seed(0)
    network = EquivariantTransformer(16, 8, 3, heads=4, vectors=4, handed=handed)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def cloud(seed=0):
    generator = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    pairs = Pairs.of(mask)
    points = torch.randn(2, 6, 16, generator=generator) * mask[..., None]
    positions = torch.randn(2, 6, 3, generator=generator) * mask[..., None]
    features = torch.randn(len(pairs.first), 8, generator=generator)
    guide = torch.randn(2, 16, generator=generator)
    return PointCloud(points, features, positions), pairs, mask, guide


def rotation():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    return turn * torch.linalg.det(turn)


def test_scalars_are_invariant_and_positions_equivariant():
    network, (start, pairs, mask, guide) = made(), cloud()
    turn, shift = rotation(), torch.tensor([1.0, 2.0, -3.0])
    moved = (start.positions @ turn + shift) * mask[..., None]
    with torch.no_grad():
        plain = network(start, pairs, mask, guide)
        other = network(PointCloud(start.points, start.pairs, moved), pairs, mask, guide)
    expected = (plain.positions @ turn + shift) * mask[..., None]
    assert torch.allclose(other.positions, expected, atol=1e-3)
    assert torch.allclose(other.points[mask], plain.points[mask], atol=1e-3)
    assert torch.allclose(other.pairs, plain.pairs, atol=1e-3)
    assert not torch.allclose(plain.positions, start.positions, atol=1e-2)


def test_a_mirror_image_is_told_only_where_it_is_asked_for():
    start, pairs, mask, guide = cloud()
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    for handed in (True, False):
        network = made(handed)
        with torch.no_grad():
            plain = network(start, pairs, mask, guide)
            image = PointCloud(start.points, start.pairs, start.positions * mirror)
            other = network(image, pairs, mask, guide)
        same = torch.allclose(other.points[mask], plain.points[mask], atol=1e-3)
        assert same is not handed


def test_padding_stays_zero_and_changes_nothing():
    network, (start, pairs, mask, guide) = made(), cloud()
    alone = PointCloud(start.points[1:, :4], start.pairs[pairs.first >= 6], start.positions[1:, :4])
    with torch.no_grad():
        together = network(start, pairs, mask, guide)
        single = network(alone, Pairs.of(mask[1:, :4]), mask[1:, :4], guide[1:])
    assert torch.allclose(together.positions[1, :4], single.positions[0], atol=1e-4)
    assert (together.positions[1, 4:] == 0).all()


def test_pairs_are_packed_once_each_and_back():
    mask = torch.tensor([[True, True, True], [True, True, False]])
    pairs = Pairs.of(mask)
    assert len(pairs.first) == 4
    dense = torch.arange(18.0).reshape(2, 3, 3)
    dense = dense + dense.mT
    both = mask[:, :, None] & mask[:, None, :] & ~torch.eye(3, dtype=torch.bool)
    assert torch.equal(pairs.unpack(pairs.pack(dense)), dense * both)


def test_pushes_are_equal_and_opposite():
    _, pairs, mask, _ = cloud()
    along = torch.randn(len(pairs.first), 3, generator=torch.Generator().manual_seed(0))
    pushed = pairs.push(along, torch.zeros(*mask.shape, 3))
    assert torch.allclose(pushed.sum(1), torch.zeros(2, 3), atol=1e-5)
    assert (pushed[~mask] == 0).all()


def test_features_of_distances_and_times_tell_values_apart():
    distance = torch.linspace(0.7, 8.0, 50)
    features = DistanceFeatures()(distance)
    assert torch.equal(torch.cdist(features, features).argsort(1)[:, 0], torch.arange(50))
    t = torch.linspace(0, 1, 11)
    assert torch.linalg.matrix_rank(TimeFeatures(8)(t)) > 4


def test_dropout_varies_training_alone():
    start, pairs, mask, guide = cloud()
    torch.manual_seed(0)
    network = EquivariantTransformer(16, 8, 2, heads=4, vectors=4, dropout=0.3)
    with torch.no_grad():
        one, other = (network(start, pairs, mask, guide).points for _ in range(2))
        network.eval()
        still = [network(start, pairs, mask, guide).points for _ in range(2)]
    assert not torch.allclose(one, other)
    assert torch.equal(*still)
