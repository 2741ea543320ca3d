import torch

from flowsci.domains.molecules.triangle import Triangle


def test_packing_goes_there_and_back():
    pairs = Triangle(5)
    dense = torch.randn(2, 5, 5, 3, generator=torch.Generator().manual_seed(0))
    dense = dense + dense.transpose(1, 2)
    dense[:, range(5), range(5)] = 0
    assert torch.equal(pairs.unpack(pairs.pack(dense)), dense)
    assert pairs.pack(dense).shape == (2, len(pairs), 3)


def test_sums_differences_and_pushes_are_those_of_the_partners():
    pairs, x = Triangle(4), torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    first, second = x[:, pairs.first], x[:, pairs.second]
    assert torch.allclose(pairs.sums(x), first + second)
    assert torch.allclose(pairs.between(x), first - second)
    along = torch.randn(2, len(pairs), 3, generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(2, 4, 3)
    expected.index_add_(1, pairs.first, along).index_add_(1, pairs.second, -along)
    assert torch.allclose(pairs.push(along), expected, atol=1e-6)


def test_what_an_entry_collects_leaves_padding_out():
    pairs, mask = Triangle(4), torch.tensor([[True, True, True, False]])
    values = torch.ones(1, len(pairs), 2)
    assert pairs.collect(values).tolist() == [[[3, 3]] * 4]
    assert pairs.collect(values, mask)[0, :3].tolist() == [[2, 2]] * 3
    assert pairs.both(mask).sum() == 3


def test_vectors_between_positions_keep_their_digits_under_autocast():
    x = 10 + torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = Triangle(4).between(x)
    assert torch.equal(found, Triangle(4).between(x))
