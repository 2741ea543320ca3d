import torch

from flowsci.domains.molecules.biased import BiasedTransformer
from flowsci.domains.molecules.triangle import Triangle


def made():
    torch.manual_seed(0)
    network = BiasedTransformer(16, 8, 3, heads=4, vectors=4, guide_width=6)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def inputs(n=6):
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, n, 16), (2, n, 3, 4), (2, n * (n - 1) // 2, 8), (2, n, 3), (2, 6))
    return [torch.randn(shape, generator=generator) for shape in shapes]


def turn():
    found = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))[0]
    return found * torch.linalg.det(found)


def test_scalars_are_invariant_and_vectors_equivariant():
    points, vectors, packed, positions, guide = inputs()
    network, pairs, rotation = made(), Triangle(6), turn()
    with torch.no_grad():
        h, v = network(points, vectors, packed, positions, pairs, None, guide)
        turned = torch.einsum("bncv,cd->bndv", vectors, rotation)
        moved = positions @ rotation + torch.tensor([1.0, -2.0, 3.0])
        other, w = network(points, turned, packed, moved, pairs, None, guide)
    assert torch.allclose(other, h, atol=1e-3)
    assert torch.allclose(w, torch.einsum("bncv,cd->bndv", v, rotation), atol=1e-3)
    assert not torch.allclose(v, vectors, atol=1e-2)


def test_a_mirror_image_is_told():
    points, vectors, packed, positions, guide = inputs()
    network, pairs = made(), Triangle(6)
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    with torch.no_grad():
        h, _ = network(points, vectors, packed, positions, pairs, None, guide)
        flipped = vectors * mirror[:, None]
        other, _ = network(points, flipped, packed, positions * mirror, pairs, None, guide)
    assert not torch.allclose(other, h, atol=1e-3)


def test_padding_changes_nothing():
    points, vectors, packed, positions, guide = inputs()
    network = made()
    small, large = Triangle(6), Triangle(8)
    mask = torch.ones(2, 8, dtype=torch.bool)
    mask[:, 6:] = False
    wide = [torch.nn.functional.pad(part, (0, 0, 0, 2)) for part in (points, positions)]
    vectors_wide = torch.nn.functional.pad(vectors, (0, 0, 0, 0, 0, 2))
    dense = torch.nn.functional.pad(small.unpack(packed), (0, 0, 0, 2, 0, 2))
    with torch.no_grad():
        h, v = network(points, vectors, packed, positions, small, None, guide)
        far = network(wide[0], vectors_wide, large.pack(dense), wide[1], large, mask, guide)
    assert torch.allclose(far[0][:, :6], h, atol=1e-4)
    assert torch.allclose(far[1][:, :6], v, atol=1e-4)


def test_large_vectors_grow_no_faster_than_others():
    points, vectors, packed, positions, guide = inputs()
    network = made()
    with torch.no_grad():
        _, v = network(points, 1e4 * vectors, packed, positions, Triangle(6), None, guide)
        _, w = network(points, 1e5 * vectors, packed, positions, Triangle(6), None, guide)
    assert w.abs().max() < 11 * v.abs().max()
