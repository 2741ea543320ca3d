from dataclasses import replace

import numpy as np
import pytest
import torch

from flowsci.domains.molecules import domain
from flowsci.domains.molecules.batches import TrainingBatches
from flowsci.domains.molecules.dflow import optimised_start
from flowsci.domains.molecules.fields import Recalling
from flowsci.domains.molecules.settings import DFlowSettings, MoleculesSampling
from flowsci.domains.molecules.trunk import Context
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from tests.domains.molecules import made

JUDGE = {"size": "tiny", "properties": ["alpha"]}
PLAIN = {"width": None, "pair_width": None, "layers": None, "heads": None, "vectors": None}


def prepared():
    """The made molecules with a property that counts atoms by element."""
    plain = made.prepared()
    arrays = plain.arrays.copy()
    weights = {1: 3.0, 6: 10.0, 7: 8.0, 8: 6.0, 9: 4.0}
    first = arrays["first_atom"].values
    atoms = np.array([weights[int(z)] for z in arrays["atomic_numbers"].values])
    values = np.add.reduceat(atoms, first)
    properties = values[:, None].astype(float)
    arrays = arrays.drop_vars(["properties", "property"], errors="ignore").assign(
        properties=(("molecule", "property"), properties)
    )
    arrays = arrays.assign_coords(property=["alpha"])
    scale = {"unit": "Bohr^3", "mean": float(values.mean()), "deviation": float(values.std())}
    statistics = {**plain.statistics, "properties": {"alpha": scale}}
    return type(plain)(arrays, plain.counts, statistics, {**plain.units, "alpha": "Bohr^3"})


def judge():
    torch.manual_seed(0)
    run = made.run(
        network={**PLAIN, **JUDGE}, flow={"kind": "property"}, training={"batch_size": 16}
    )
    return domain.model(run.network, run.flow, prepared().statistics), run


def generator(**sampling):
    torch.manual_seed(1)
    run = made.run(
        network={"judge": "tiny", "guide": "tiny", "properties": ["alpha"]},
        sampling=sampling,
        flow={"types": "catflow"},
        teacher="judge",
    )
    built = domain.model(run.network, run.flow, prepared().statistics)
    built.network.eval()
    return built, run


def test_a_judge_learns_a_property_of_clean_molecules():
    built, run = judge()
    batches = TrainingBatches(prepared(), "train", run)
    optimiser = torch.optim.Adam(built.network.parameters(), lr=2e-3)
    errors = []
    for step in range(60):
        loss = built.loss(built.network, batches[step], torch.Generator())
        optimiser.zero_grad()
        loss.value.backward()
        optimiser.step()
        errors.append(loss.terms["alpha"].detach().mean().item())
    assert np.mean(errors[-8:]) < 0.4 * np.mean(errors[:4])


def test_a_judge_sees_neither_frame_nor_order_nor_padding():
    built, run = judge()
    batch = TrainingBatches(prepared(), "train", run)[1]
    with torch.no_grad():
        plain = built.loss(built.network, batch, torch.Generator()).per_sample
        turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
        turned = {**batch, "positions": batch["positions"] @ (turn * torch.linalg.det(turn))}
        other = built.loss(built.network, turned, torch.Generator()).per_sample
    assert torch.allclose(plain, other, atol=1e-4)


def test_a_judge_is_kept_with_the_generator_and_judges_samples_and_real_molecules():
    wanted = {"kind": "properties", "molecules": 3, "names": ["alpha"], "split": "train"}
    (built, run), (teacher, _) = generator(conditions=wanted), judge()
    built.learn_from(teacher)
    kept = built.network.state_dict()
    assert torch.equal(
        kept["judge.net.contribution.0.weight"], teacher.network.contribution[0].weight
    )
    assert not any(p.requires_grad for p in built.network.judge.parameters())
    listed = domain.conditions(prepared(), run.sampling)
    batch = listed.batch([0, 1, 2])
    with torch.no_grad():
        drawn = built.sample(built.network, batch, sample_generators(0, range(3)), run.sampling)
    assert drawn["judged"].shape == (3, 1, 1)
    assert drawn["judged_real"].shape == (3, 1)
    assert drawn["judged_real"].isfinite().all()
    assert batch["real_mask"].sum(1).tolist() == batch["mask"].sum(1).tolist()


def test_a_teacher_of_another_kind_or_size_is_refused():
    built, _ = generator(conditions={"molecules": 1})
    with pytest.raises(FlowsciError, match=r"flow\.kind 'property'"):
        built.learn_from(built)
    torch.manual_seed(0)
    run = made.run(network={"properties": ["alpha"]}, flow={"kind": "property"})
    small = domain.model(run.network, run.flow, prepared().statistics)
    with pytest.raises(FlowsciError, match="is not the teacher's network"):
        built.learn_from(small)


def test_a_judge_draws_nothing_and_needs_a_property():
    built, run = judge()
    with pytest.raises(FlowsciError, match="draws nothing"):
        built.sample(built.network, {}, [], run.sampling)
    with pytest.raises(FlowsciError, match="needs properties of the dataset"):
        domain.model(made.run().network, run.flow, prepared().statistics)
    with pytest.raises(ValueError, match="give both or none"):
        made.run(network={"judge": "tiny"})


def test_d_flow_moves_the_start_towards_what_is_asked_for():
    wanted = {"kind": "properties", "molecules": 3, "names": ["alpha"], "values": [60.0]}
    (teacher, _), errors = judge(), []
    for d_flow in (None, {"iterations": 12, "learning_rate": 0.3}):
        built, run = generator(conditions=wanted, d_flow=d_flow)
        for parameter in built.network.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        built.learn_from(teacher)
        # one net for both, so that what is followed is what is seen
        built.network.guide.load_state_dict(teacher.network.state_dict())
        batch = domain.conditions(prepared(), run.sampling).batch([0, 1, 2])
        with torch.no_grad():
            drawn = built.sample(built.network, batch, sample_generators(0, range(3)), run.sampling)
        assert all(parameter.grad is None for parameter in built.network.parameters())
        errors.append((drawn["judged"][:, 0, 0] - 60.0).abs().mean().item())
    assert errors[1] < errors[0]


def test_a_guide_learns_beside_the_flow_from_what_is_known():
    built, run = generator(conditions={"molecules": 1})
    batch = dict(TrainingBatches(prepared(), "train", run)[0])
    batch["properties"] = torch.full_like(batch["properties"], torch.nan)
    batch["properties"][:2, 0] = torch.tensor([50.0, 70.0])
    loss = built.loss(built.network, batch, torch.Generator().manual_seed(0))
    loss.value.backward()
    assert (loss.terms["guide"][:2] > 0).all()
    assert not loss.terms["guide"][2:].any()
    guide = built.network.guide
    gradients = [part.grad for part in guide.parameters() if part.grad is not None]
    assert torch.stack([part.abs().max() for part in gradients]).max() > 0
    assert all(part.isfinite().all() for part in gradients)
    assert all(part.grad is None for part in built.network.judge.parameters())


def test_the_start_of_the_least_error_is_kept():
    start = {"positions": torch.zeros(2, 3, 3), "atoms": torch.full((2, 3, 4), 2.0)}
    settings = DFlowSettings(iterations=60, learning_rate=0.1)

    def error(x):
        return (x["atoms"] - torch.tensor([[[1.0]], [[5.0]]])).square().mean((1, 2)).sqrt()

    best, least = optimised_start(start, lambda x: x, error, settings)
    assert least.max() < 0.1
    assert torch.allclose(error(best), least)


def test_the_noise_of_d_flows_solves_is_that_of_the_sample():
    """A start that is not moved gives the sample that it gives without D-Flow, noise and all."""
    wanted = {"kind": "properties", "molecules": 2, "names": ["alpha"], "values": [60.0]}
    noisy = {"conditions": wanted, "steps": 4, "stochasticity": 3.0, "renewal": 2.0}
    drawn = []
    for d_flow in (None, {"iterations": 2, "tolerance": 1e9}, {"iterations": 2}):
        built, run = generator(**noisy, d_flow=d_flow)
        for parameter in built.network.parameters():
            torch.nn.init.normal_(parameter, std=0.15)
        batch = domain.conditions(prepared(), run.sampling).batch([0, 1])
        with torch.no_grad():
            found = built.sample(built.network, batch, sample_generators(0, range(2)), run.sampling)
        drawn.append(found["positions"])
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_start_within_the_tolerance_stays():
    start = {"atoms": torch.tensor([[[1.0]], [[4.0]]])}
    settings = DFlowSettings(iterations=9, learning_rate=0.1, tolerance=0.5)
    best, least = optimised_start(
        start, lambda x: x, lambda x: (x["atoms"] - 1.2).abs().mean((1, 2)), settings
    )
    assert best["atoms"][0].item() == 1
    assert best["atoms"][1].item() < 4
    assert least[0] == pytest.approx(0.2)


def test_a_network_that_recalls_can_be_asked_again():
    said = []

    def network(states, t, context):
        said.append(context.previous)
        return {"positions": states["positions"] + 1}

    recalling = Recalling(network, Context.of({"mask": torch.ones(1, 2, dtype=torch.bool)}))
    states = {"positions": torch.zeros(1, 2, 3)}
    times = [torch.tensor([t]) for t in (0.0, 0.5)]
    for t in (*times, *reversed(times)):
        recalling(states, t)
    assert said[0] is None
    assert torch.equal(said[1]["positions"], torch.ones(1, 2, 3))
    assert said[2] is said[1]
    assert said[3] is None


def test_d_flow_of_labels_that_jump_is_refused():
    run = made.run(
        network={"judge": "tiny", "properties": ["alpha"]},
        teacher="judge",
    )
    built = domain.model(run.network, run.flow, prepared().statistics)
    # as of a run that is trained by this one, whose own flow says nothing
    wanted = {"kind": "properties", "molecules": 1, "names": ["alpha"], "values": [60.0]}
    settings = MoleculesSampling(samples=1, steps=2, conditions=wanted, d_flow={"iterations": 1})
    batch = domain.conditions(prepared(), settings).batch([0])
    with pytest.raises(FlowsciError, match="labels that jump can't be differentiated"):
        built.sample(built.network, batch, sample_generators(0, [0]), settings)


def test_fewer_targets_than_asked_for_are_told(caplog):
    there = prepared().counts["molecules"]["validation"]
    wanted = {"kind": "properties", "molecules": 99, "names": ["alpha"], "split": "validation"}
    settings = MoleculesSampling(samples=1, steps=2, conditions=wanted)
    assert len(domain.conditions(prepared(), settings)) == there
    assert f"99 are asked for, of the {there} molecules" in caplog.text


def test_a_target_that_a_molecule_lacks_is_refused():
    known = prepared()
    arrays = known.arrays.assign(properties=known.arrays["properties"] * np.nan)
    wanted = {"kind": "properties", "molecules": 3, "names": ["alpha"], "split": "train"}
    settings = MoleculesSampling(samples=1, steps=2, conditions=wanted)
    with pytest.raises(FlowsciError, match="3 of 3 molecules of the split 'train' have no value"):
        domain.conditions(replace(known, arrays=arrays), settings)


def test_a_flow_trains_on_a_dataset_with_more_properties_than_it_knows():
    known = prepared()
    arrays = known.arrays.drop_vars(["properties", "property"]).assign(
        properties=(("molecule", "property"), np.repeat(known.arrays["properties"].values, 2, 1))
    )
    both = dict.fromkeys(("mu", "alpha"), known.statistics["properties"]["alpha"])
    more = replace(
        known,
        arrays=arrays.assign_coords(property=["mu", "alpha"]),
        statistics={**known.statistics, "properties": both},
    )
    run = made.run(network={"properties": ["alpha"]}, training={"unconditional": 0})
    built, batches = (
        domain.model(run.network, run.flow, more.statistics),
        TrainingBatches(more, "train", run),
    )
    told = torch.cat([batches[step]["properties"] for step in range(len(batches))])
    assert told[:, 0].isnan().all()
    assert not told[:, 1].isnan().all()
    loss = built.loss(built.network, batches[0], torch.Generator().manual_seed(0))
    assert loss.value.isfinite()


def test_unknown_values_leave_the_mean_error_of_the_known_ones():
    built, _ = judge()
    known = torch.tensor([[1.0], [2.0], [4.0], [9.0]])
    judged = torch.zeros(4, 1)
    some = torch.where(torch.tensor([[True], [False], [True], [False]]), known, torch.nan)
    found = built.network.errors(judged, some)
    expected = built.network.errors(judged[[0, 2]], known[[0, 2]])
    assert torch.allclose(found.mean(), expected.mean())
    assert not built.network.errors(judged, torch.full_like(known, torch.nan)).any()


def test_a_property_that_is_the_same_for_all_molecules_is_refused():
    statistics = prepared().statistics
    constant = {"alpha": {**statistics["properties"]["alpha"], "deviation": 0.0}}
    run = made.run(network={"properties": ["alpha"]})
    with pytest.raises(FlowsciError, match=r"alpha, which is .* for all training"):
        domain.model(run.network, run.flow, {**statistics, "properties": constant})
