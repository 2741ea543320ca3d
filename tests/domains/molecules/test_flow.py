from statistics import mean

import pytest
import torch

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.batches import TrainingBatches
from flowsci.domains.molecules.flow import aligned
from flowsci.domains.molecules.objective import Sharpened
from flowsci.errors import FlowsciError
from flowsci.flow import (
    GRIDS,
    CleanPrediction,
    Euler,
    ExponentialRenoising,
    Linear,
    NetworkField,
    sample_generators,
    solve,
)
from tests.domains.molecules import made

MU = {"mu": {"unit": "Debye", "mean": 2.7, "deviation": 1.5}}


def model(prepared=None, **sections):
    torch.manual_seed(0)
    run = made.run(**sections)
    built = domain.model(run.network, run.flow, (prepared or made.prepared()).statistics)
    built.network.eval()
    return built, run


def sample(built, run, indices, samples=1, seed=0, prepared=None):
    settings = run.sampling.model_copy(update={"samples": samples})
    conditions = domain.conditions(prepared or made.prepared(), run.sampling)
    seeds = [i * samples + s for i in indices for s in range(samples)]
    with torch.no_grad():
        return built.sample(
            built.network, conditions.batch(indices), sample_generators(seed, seeds), settings
        )


def one_molecule():
    """Give the largest training molecule, alone and without what is asked for."""
    batch = TrainingBatches(made.prepared(), "train", made.run())[0]
    row = int(batch["mask"].sum(1).argmax())
    names = ("mask", "atomic_numbers", "charges", "bonds", "positions")
    return {name: batch[name][row : row + 1] for name in names}


def train(built, run, prepared, steps):
    """Give the terms of the loss at every step."""
    batches = TrainingBatches(prepared, "train", run)
    optimiser = torch.optim.Adam(built.network.parameters(), lr=1e-2)
    terms = []
    for step in range(steps):
        loss = built.loss(built.network, batches[step], torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
        terms.append({name: float(part.detach().mean()) for name, part in loss.terms.items()})
    return terms


@pytest.mark.parametrize("types", ["masked", "catflow"])
def test_training_lowers_the_loss_of_every_part(types):
    built, run = model(training={"batch_size": 16}, flow={"types": types})
    terms = train(built, run, made.prepared(), 100)
    assert set(terms[0]) == {"positions", "atoms", "charges", "bonds"}
    for name in terms[0]:
        before, after = (mean(row[name] for row in part) for part in (terms[:5], terms[-20:]))
        assert after < 0.9 * before, name


@pytest.mark.parametrize("types", ["masked", "catflow"])
def test_graphs_without_positions_learn_and_are_drawn(types):
    graphs = made.prepared("2d", "none")
    built, run = model(
        graphs, training={"batch_size": 16}, network={"mode": "2d"}, flow={"types": types}
    )
    terms = train(built, run, graphs, 60)
    assert set(terms[0]) == {"atoms", "charges", "bonds"}
    before, after = (mean(row["atoms"] for row in part) for part in (terms[:5], terms[-20:]))
    assert after < before
    drawn = sample(built, run, [0, 1, 2, 3], prepared=graphs)
    assert "positions" not in drawn
    assert set(drawn["atomic_numbers"][drawn["mask"]].tolist()) <= {6, 7, 8, 9}


def test_noised_one_hots_renew_noise_where_it_is_asked_for():
    graphs = made.prepared("2d", "none")
    built, run = model(graphs, network={"mode": "2d"}, flow={"types": "catflow"})
    noisy = run.sampling.model_copy(update={"stochasticity": 5})
    assert built.labels.method(run.sampling) == Euler()
    assert built.labels.method(noisy) == ExponentialRenoising(5)
    changed = run.model_copy(update={"sampling": noisy})
    drawn = [sample(built, changed, [0, 1], prepared=graphs)["bonds"] for _ in range(2)]
    assert torch.equal(*drawn)


def test_times_of_training_may_lie_in_the_middle():
    built, _ = model(flow={"times": "middle"})
    times = built.objective.times.sample(4000, torch.Generator().manual_seed(0))
    assert ((times > 0.35) & (times < 0.75)).float().mean() == pytest.approx(0.71, abs=0.03)


def test_catflow_keeps_what_is_told():
    smiles = {"conditions": {"kind": "smiles", "smiles": ["CC=O", "C#N"]}}
    built, run = model(network={"fragments": True}, sampling=smiles, flow={"types": "catflow"})
    told = domain.conditions(made.prepared(), run.sampling).batch([0, 1])
    drawn = sample(built, run, [0, 1])
    for name in ("atomic_numbers", "charges", "bonds"):
        assert torch.equal(drawn[name][:, 0], told[name])


def test_the_loss_is_a_function_of_the_generator():
    built, run = model(flow={"distortion": 0.1}, network={"fragments": True})
    batch = TrainingBatches(made.prepared(), "train", run)[0]
    values = [
        built.loss(built.network, batch, torch.Generator().manual_seed(seed)).value.item()
        for seed in (0, 0, 1)
    ]
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("renewal", [0, 3])
def test_samples_are_whole_labels_and_symmetric_bonds(renewal):
    built, run = model(sampling={"renewal": renewal})
    drawn = sample(built, run, [0, 1, 2, 3], samples=2)
    mask, bonds = drawn["mask"], drawn["bonds"]
    assert mask.shape[:2] == (4, 2)
    assert set(drawn["atomic_numbers"][mask].tolist()) <= {1, 6, 7, 8, 9}
    assert torch.equal(bonds, bonds.transpose(-1, -2))
    assert not bonds.diagonal(dim1=-2, dim2=-1).any()
    assert bonds.max() <= 3
    for name in ("atomic_numbers", "charges", "positions"):
        assert not drawn[name][~mask].any()
    middle = (drawn["positions"] * mask[..., None]).sum(2)
    assert middle.abs().max() < 1e-3


@pytest.mark.parametrize("renewal", [0, 3])
def test_a_sample_does_not_depend_on_its_company(renewal):
    built, run = model(sampling={"renewal": renewal})
    together = sample(built, run, [0, 1, 2, 3])
    for index in range(4):
        alone = sample(built, run, [index])
        size = int(alone["mask"].sum())
        assert int(together["mask"][index].sum()) == size
        for name in ("atomic_numbers", "charges"):
            assert torch.equal(alone[name][0, 0, :size], together[name][index, 0, :size])
        pair = alone["positions"][0, 0, :size], together["positions"][index, 0, :size]
        assert torch.allclose(*pair, atol=1e-4)


@pytest.mark.parametrize("order", ["random", "confident"])
@pytest.mark.parametrize("noise", [{}, {"stochasticity": 8, "renewal": 4}])
def test_a_scaffold_comes_back_exactly(noise, order):
    scaffold = {
        **noise,
        "conditions": {"kind": "scaffold", "split": "train", "molecules": 3},
        "order": order,
        "steps": 10,
    }
    built, run = model(network={"fragments": True}, sampling=scaffold)
    conditions = domain.conditions(made.prepared(), run.sampling)
    told = conditions.batch([0, 1, 2])
    drawn = sample(built, run, [0, 1, 2])
    known = told["known"]
    assert known.sum() >= 9
    assert (told["mask"].sum(1) > known.sum(1)).all()
    assert torch.equal(told["given"], known)
    for name in ("atomic_numbers", "charges", "positions"):
        assert torch.equal(drawn[name][:, 0][known], told[name][known])
    both = known[:, :, None] & known[:, None]
    assert torch.equal(drawn["bonds"][:, 0][both], told["bonds"][both])
    assert drawn["positions"][:, 0][told["mask"] & ~known].abs().sum() > 0


def test_a_graph_keeps_its_labels_and_gets_positions():
    wanted = {"kind": "smiles", "smiles": ["CC=O", "C#N"]}
    smiles = {"conditions": wanted, "stochasticity": 8, "renewal": 4}
    built, run = model(network={"fragments": True}, sampling=smiles)
    told = domain.conditions(made.prepared(), run.sampling).batch([0, 1])
    drawn = sample(built, run, [0, 1], samples=2)
    for name in ("atomic_numbers", "charges", "bonds"):
        for s in (0, 1):
            assert torch.equal(drawn[name][:, s], told[name])
    assert not torch.allclose(drawn["positions"][:, 0], drawn["positions"][:, 1])


def test_guidance_of_one_is_none_and_of_more_is_felt():
    formula = {"conditions": {"kind": "composition", "formulas": ["C2H6O"]}}
    found = {}
    for scale in (None, 1.0, 4.0):
        built, run = model(network={"composition": True}, sampling={**formula, "guidance": scale})
        torch.nn.init.normal_(built.network.wishes.map[-1].weight, std=2.0)
        torch.nn.init.normal_(built.network.blocks[0].modulation.weight, std=0.3)
        found[scale] = sample(built, run, [0])["positions"]
    assert torch.equal(found[None], found[1.0])
    assert not torch.allclose(found[4.0], found[1.0], atol=1e-3)


def test_alignment_turns_unknown_molecules_only():
    generator = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(2, 3, 5, 3, generator=generator)
    x0, x1 = (x - x.mean(1, keepdim=True) for x in (x0, x1))
    mask = torch.ones(3, 5, dtype=torch.bool)
    known = torch.zeros(3, 5, dtype=torch.bool)
    known[1] = known[2, :2] = True
    given = known.clone()
    given[1] = False
    found = aligned(x0, x1, {"mask": mask, "known": known, "given": given})
    assert ((found - x1) ** 2).sum((1, 2))[0] < ((x0 - x1) ** 2).sum((1, 2))[0]
    lengths = [torch.linalg.vector_norm(x[1], dim=-1) for x in (found, x0)]
    assert torch.allclose(*lengths, atol=1e-5)
    assert not torch.allclose(found[1], x0[1])
    assert torch.equal(found[2], x0[2])


def test_renewed_noise_is_laid_onto_the_molecule_as_in_training():
    """Of a clean state that stands still, the noise keeps the overlap that training gave it."""
    built, _ = model()
    batch = {name: part[:1].repeat_interleave(400, 0) for name, part in one_molecule().items()}
    ends = built._ends(batch)
    start = built._pair(ends, batch, torch.Generator().manual_seed(0))["positions"]
    clean = ends["positions"]
    field = NetworkField(lambda x, t, c: clean, Linear(), CleanPrediction, built.noise)
    generators = sample_generators(0, range(400))
    grid = 0.9 * GRIDS["uniform"](8)
    x = solve(field, start, grid, built._mover(batch, 3.0), generators=generators)
    found = (x - grid[-1] * clean) / (1 - grid[-1])
    before, after = (float((noise * clean).sum((1, 2)).mean()) for noise in (start, found))
    assert after == pytest.approx(before, rel=0.05)
    assert (found - start).abs().mean() > 0.3


def test_sharpened_weights_undo_the_preconditioning_up_to_their_bound():
    weighting = Sharpened(scale=2.0, bound=30.0)
    t = torch.tensor([0.0, 0.5, 0.9, 1.0])
    out = (1 - t) ** 2 / ((1 - t) ** 2 + t**2)
    assert torch.allclose(weighting(Linear(), t)[:2], 1 / out[:2] / 4)
    assert weighting(Linear(), t)[2:].tolist() == [30 / 4, 30 / 4]


def test_a_fragment_is_refused_where_training_showed_none():
    scaffold = {"conditions": {"kind": "scaffold", "split": "train", "molecules": 1}}
    built, run = model(sampling=scaffold, trained_by="other")
    with pytest.raises(FlowsciError, match=r"not trained to be told.*network\.fragments: true"):
        sample(built, run, [0])


def test_noise_would_move_one_hots_that_are_told():
    smiles = {"conditions": {"kind": "smiles", "smiles": ["CC=O"]}}
    built, run = model(network={"fragments": True}, sampling=smiles, flow={"types": "catflow"})
    noisy = run.sampling.model_copy(update={"stochasticity": 1.0})
    with pytest.raises(FlowsciError, match=r"sampling\.stochasticity.*Set it to 0"):
        sample(built, run.model_copy(update={"sampling": noisy}), [0])


@pytest.mark.parametrize(("network", "data"), [("3d", "2d"), ("2d", "3d")])
@pytest.mark.parametrize("flow", [{}, {"kind": "property"}])
def test_a_network_of_another_mode_than_its_dataset_is_refused(network, data, flow):
    message = rf"network\.mode of the run is '{network}', but `mode` of its dataset is '{data}'"
    with pytest.raises(FlowsciError, match=message):
        model(made.prepared(data), network={"mode": network}, flow=flow)


def test_a_teacher_is_refused():
    with pytest.raises(FlowsciError, match="no use for a teacher"):
        model()[0].learn_from(None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"has_hydrogens": False}, "has_hydrogens: the model's training molecules say True"),
        ({"properties": MU}, r"properties: the model's are none; this dataset's are mu \(Debye\)"),
        ({"charges": [-2, 0]}, r"charges: the model knows .* Leave the other molecules out"),
        ({"atomic_numbers": [1, 6]}, "atomic_numbers: the model knows"),
    ],
)
def test_a_dataset_of_other_molecules_is_refused(changes, message):
    built, _ = model(network={"composition": True})
    statistics = made.prepared().statistics
    built.check_data(statistics)
    with pytest.raises(FlowsciError, match=message):
        built.check_data({**statistics, **changes})


def test_fewer_elements_are_no_fault_where_no_composition_is_asked_for():
    built, _ = model()
    built.check_data({**made.prepared().statistics, "atomic_numbers": [1, 6]})
