import math
import pickle
import time
from dataclasses import dataclass
from itertools import pairwise, permutations

import pytest
import torch
from catalogue import label
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from flowsci.errors import FlowsciError
from flowsci.flow import couplings
from flowsci.flow.alignment import rotate
from flowsci.flow.couplings import (
    Aligned,
    Coupling,
    EntropicTransport,
    Given,
    Independent,
    OptimalTransport,
    Pairing,
    WithinConditions,
    assign,
    sinkhorn,
    squared_distances,
)

EVERY = [
    Independent(),
    Given(),
    OptimalTransport(),
    EntropicTransport(0.5),
    WithinConditions(),
    WithinConditions(EntropicTransport(0.5)),
    Aligned(),
    Aligned(OptimalTransport(), permute=False),
    Aligned(rotate=False),
    Aligned(WithinConditions()),
]


def normal(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cost(x0, x1):
    return (x0 - x1).square().flatten(1).sum(1)


def turns(batch, seed=0):
    q, _ = torch.linalg.qr(normal(batch, 3, 3, seed=seed))
    return q * torch.det(q)[:, None, None]


@pytest.mark.parametrize("coupling", EVERY, ids=label)
@settings(max_examples=10, deadline=None)
@given(batch=st.integers(1, 9), n=st.integers(1, 6), data=st.data())
def test_every_row_and_entry_is_used_once(coupling, batch, n, data):
    counts = torch.tensor(data.draw(st.lists(st.integers(1, n), min_size=batch, max_size=batch)))
    mask = torch.arange(n) < counts[:, None]
    classes = torch.randint(2, (batch, n), generator=seeded(batch))
    x0, x1 = normal(batch, n, 3), normal(batch, n, 3, seed=1)
    pairing = coupling(x0, x1, classes, seeded(), mask)
    assert sorted(pairing.source_index.tolist()) == list(range(batch))
    if not isinstance(coupling, Independent | Given):
        assert (mask[pairing.source_index] == mask).all()
    if pairing.permutation is not None:
        assert (pairing.permutation.sort(1).values == torch.arange(n)).all()
        assert (classes.gather(1, pairing.permutation) == classes).all()
        assert (mask.gather(1, pairing.permutation) == mask).all()
    assert pairing.source(x0).shape == x1.shape


@pytest.mark.parametrize("coupling", EVERY, ids=label)
def test_couplings_travel_to_a_worker_and_repeat_there(coupling):
    x0, x1 = normal(8, 4, 3), normal(8, 4, 3, seed=1)
    classes = torch.zeros(8, 4, dtype=torch.long)
    sent = pickle.loads(pickle.dumps(coupling))
    assert sent == coupling
    here, there = (c(x0, x1, classes, seeded(3)).source(x0) for c in (coupling, sent))
    assert torch.equal(here, there)


@dataclass(frozen=True)
class PairedBatch:
    """What a loader's worker makes of rows of data."""

    coupling: Coupling

    def __call__(self, rows):
        x1 = torch.stack(rows)
        x0 = torch.randn(x1.shape, generator=seeded(len(rows)), dtype=x1.dtype)
        return x0, x1, self.coupling(x0, x1, torch.zeros(x1.shape[:2]), seeded())


def test_pairs_are_made_in_a_loaders_worker():
    collate = PairedBatch(Aligned(WithinConditions(EntropicTransport(0.5))))
    loader = DataLoader(normal(16, 4, 3), batch_size=8, num_workers=1, collate_fn=collate)
    for x0, x1, pairing in loader:
        here = collate.coupling(x0, x1, torch.zeros(8, 4), seeded())
        assert torch.equal(pairing.source(x0), here.source(x0))


@pytest.mark.parametrize("coupling", EVERY, ids=label)
def test_unequal_batches_raise_with_both_shapes(coupling):
    with pytest.raises(FlowsciError, match=r"\(5, 4, 3\) and \(6, 4, 3\)"):
        coupling(normal(5, 4, 3), normal(6, 4, 3), torch.zeros(6, 4), seeded())


@settings(max_examples=20, deadline=None)
@given(batch=st.integers(1, 6), d=st.integers(1, 4), seed=st.integers(0, 99))
def test_transport_has_the_least_cost_of_all_pairings(batch, d, seed):
    x0, x1 = normal(batch, d, seed=seed), 100 + normal(batch, d, seed=seed + 1)
    found = cost(OptimalTransport()(x0, x1).source(x0), x1).sum()
    best = min(cost(x0[list(p)], x1).sum() for p in permutations(range(batch)))
    torch.testing.assert_close(found, best)


def test_transport_in_one_dimension_sorts():
    x0, x1 = normal(300, 1), normal(300, 1, seed=1)
    paired = OptimalTransport()(x0, x1).source(x0)
    assert torch.equal(paired[:, 0].argsort(), x1[:, 0].argsort())


def test_network_simplex_agrees_with_scipy(monkeypatch):
    pytest.importorskip("ot")
    costs = squared_distances(normal(200, 5), normal(200, 5, seed=1))
    by_scipy = assign(costs)
    monkeypatch.setattr(couplings, "SCIPY_BATCH", 100)
    assert torch.equal(assign(costs), by_scipy)


def test_large_batches_without_pot_say_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ot", None)
    with pytest.raises(FlowsciError, match=r"513 rows .* pip install 'flowsci\[pot\]'"):
        OptimalTransport()(normal(513, 2), normal(513, 2))


def test_pairs_keep_to_their_condition_and_are_optimal_there():
    labels = torch.arange(30) % 3
    x0, x1 = normal(30, 2), normal(30, 2, seed=1)
    pairing = WithinConditions(key="label")(x0, x1, {"label": labels})
    assert torch.equal(labels[pairing.source_index], labels)
    for kind in range(3):
        rows = labels == kind
        alone = OptimalTransport()(x0[rows], x1[rows]).source(x0[rows])
        assert torch.equal(pairing.source(x0)[rows], alone)


def test_sinkhorn_plan_has_equal_marginals_and_the_gibbs_form():
    costs = squared_distances(normal(40, 2), normal(40, 2, seed=1))
    log_plan = sinkhorn(costs, 0.3, tolerance=1e-10)
    uniform = torch.full((40,), 1 / 40, dtype=torch.float64)
    for dim in (0, 1):
        torch.testing.assert_close(log_plan.exp().sum(dim), uniform)
    potentials = log_plan + costs / 0.3
    doubly = potentials - potentials[:1] - potentials[:, :1] + potentials[:1, :1]
    torch.testing.assert_close(doubly, torch.zeros_like(doubly), rtol=0, atol=1e-8)


def test_sinkhorn_that_does_not_converge_raises():
    with pytest.raises(FlowsciError, match="did not converge in 3 iterations"):
        sinkhorn(squared_distances(normal(40, 2), normal(40, 2, seed=1)), 1e-3, limit=3)


def test_sinkhorn_limits():
    costs = squared_distances(normal(20, 2), normal(20, 2, seed=1))
    flat = sinkhorn(costs, 1e7).exp() * 400
    torch.testing.assert_close(flat, torch.ones_like(flat), rtol=0, atol=1e-4)
    least = costs.gather(1, assign(costs)[:, None]).mean()
    excess = [
        ((sinkhorn(costs, epsilon, tolerance=1e-4).exp() * costs).sum() - least) / epsilon
        for epsilon in (1.0, 0.3, 0.1)
    ]
    assert all(0 < e < math.log(20) for e in excess)


def expected_pairing(coupling, x0, x1, draws):
    n, generator = len(x0), seeded(5)
    counts = torch.zeros(n, n, dtype=torch.float64)
    for _ in range(draws):
        counts[torch.arange(n), coupling(x0, x1, None, generator).source_index] += 1 / draws
    return counts


def test_entropic_pairs_tend_to_exact_transport():
    x0, x1 = normal(50, 2), normal(50, 2, seed=1)
    assert torch.equal(
        EntropicTransport(1e-9)(x0, x1, None, seeded()).source_index,
        OptimalTransport()(x0, x1).source_index,
    )


def test_entropic_pairs_tend_to_random_ones():
    n, draws = 6, 6000
    pairs = expected_pairing(EntropicTransport(1e9), normal(n, 2), normal(n, 2, seed=1), draws)
    statistic = n * draws * ((pairs - 1 / n) ** 2).sum()  # chi-square, (n - 1)^2 degrees of freedom
    assert statistic * (n - 1) / n < 52.6  # 0.999 quantile at 25


def test_entropic_pairs_follow_the_plan():
    n, draws = 100, 500
    x0, x1 = normal(n, 2), normal(n, 2, seed=1)
    costs = squared_distances(x0, x1)
    plan = sinkhorn(costs, 0.3).exp() * n
    pairs = expected_pairing(EntropicTransport(0.3), x0, x1, draws)
    rows = torch.multinomial(plan, draws, replacement=True, generator=seeded())
    floor = torch.nn.functional.one_hot(rows, n).double().mean(1)
    distance = (pairs - plan).abs().sum(1).mean() / 2
    assert distance < (floor - plan).abs().sum(1).mean() / 2 + 0.02
    torch.testing.assert_close((pairs * costs).sum(), (plan * costs).sum(), rtol=0.02, atol=0)


def test_aligned_pairs_undo_a_rotation():
    x1, turn = normal(6, 7, 3), turns(6)
    x1 = x1 - x1.mean(1, keepdim=True)
    x0 = rotate(x1, turn)
    torch.testing.assert_close(Aligned(permute=False)(x0, x1).source(x0), x1)


def test_alignment_never_lengthens_a_pair_and_rounds_never_do():
    x0, x1 = normal(40, 9, 3), normal(40, 9, 3, seed=1)
    x0, x1 = x0 - x0.mean(1, keepdim=True), x1 - x1.mean(1, keepdim=True)
    costs = [cost(x0, x1)]
    costs += [cost(Aligned(rounds=r)(x0, x1).source(x0), x1) for r in (1, 2, 4)]
    for longer, shorter in pairwise(costs):
        assert (shorter <= longer + 1e-9).all()
    assert costs[2].mean() < 0.6 * costs[0].mean()
    assert costs[2].mean() < cost(Aligned(permute=False)(x0, x1).source(x0), x1).mean()


@pytest.mark.parametrize("coupling", [Aligned(), Aligned(OptimalTransport())], ids=label)
def test_aligned_pairs_turn_with_the_data(coupling):
    x0, x1, turn = normal(7, 6, 3), normal(7, 6, 3, seed=1), turns(1).expand(7, 3, 3)
    x0, x1 = x0 - x0.mean(1, keepdim=True), x1 - x1.mean(1, keepdim=True)
    still = coupling(x0, x1).source(x0)
    turned = coupling(rotate(x0, turn), rotate(x1, turn)).source(rotate(x0, turn))
    torch.testing.assert_close(turned, rotate(still, turn), rtol=0, atol=1e-5)


def test_rotation_alone_forgets_the_pose_of_the_source():
    x0, x1 = normal(7, 6, 3), normal(7, 6, 3, seed=1)
    x0, x1 = x0 - x0.mean(1, keepdim=True), x1 - x1.mean(1, keepdim=True)
    coupling = Aligned(permute=False)
    turned = rotate(x0, turns(7))
    torch.testing.assert_close(coupling(turned, x1).source(turned), coupling(x0, x1).source(x0))


def test_padding_does_not_count():
    x0, x1 = normal(12, 5, 3), normal(12, 5, 3, seed=1)
    mask = torch.arange(5) < torch.tensor([3, 5]).repeat(6)[:, None]
    for coupling in (OptimalTransport(), Aligned(), Aligned(OptimalTransport())):
        clean = coupling(x0, x1, None, None, mask)
        filled = coupling(x0.masked_fill(~mask[..., None], 7.0), x1, None, None, mask)
        assert torch.equal(clean.source_index, filled.source_index)
        for a, b in ((clean.permutation, filled.permutation), (clean.rotation, filled.rotation)):
            assert (a is None) == (b is None)
            assert a is None or torch.equal(a, b)


def test_bad_input_is_named():
    x = normal(4, 3, 3)
    with pytest.raises(FlowsciError, match="EntropicTransport is random"):
        EntropicTransport(1.0)(x, x)
    with pytest.raises(FlowsciError, match="epsilon must be positive, got 0"):
        EntropicTransport(0.0)
    with pytest.raises(FlowsciError, match=r"condition tensor of 4 rows .* got NoneType"):
        WithinConditions()(x, x)
    with pytest.raises(FlowsciError, match="put Aligned outside"):
        WithinConditions(Aligned())(x, x, torch.zeros(4))
    with pytest.raises(FlowsciError, match="NaN or infinity"):
        OptimalTransport()(x, x * float("nan"))
    with pytest.raises(FlowsciError, match="no real entry in rows"):
        OptimalTransport()(x, x, mask=torch.zeros(4, 3, dtype=torch.bool))
    with pytest.raises(FlowsciError, match="pairing of 2 rows can't serve"):
        Pairing(torch.arange(2)).source(x)


def test_aligning_48_systems_of_18_atoms_takes_3_ms_at_most():
    x0, x1 = torch.randn(48, 18, 3, generator=seeded()), torch.randn(48, 18, 3, generator=seeded(1))
    classes = torch.randint(4, (48, 18), generator=seeded(2))
    times = []
    for _ in range(100):
        start = time.process_time()
        Aligned()(x0, x1, classes)
        times.append(time.process_time() - start)
    assert min(times) < 3e-3
