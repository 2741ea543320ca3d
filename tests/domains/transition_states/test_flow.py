import numpy as np
import torch

from flowsci.domains.transition_states import domain
from flowsci.domains.transition_states.confidence import Confidence
from flowsci.domains.transition_states.flow import StartAndUniform, errors
from flowsci.flow import sample_generators


def test_a_small_network_learns_the_made_reactions(prepared, run_settings):
    torch.manual_seed(0)
    model = domain.model(run_settings.network, run_settings.flow, prepared.statistics)
    batches = domain.batches(prepared, run_settings, "train")
    optimiser = torch.optim.Adam(model.network.parameters(), lr=5e-3)
    values = []
    for step in range(150):
        optimiser.zero_grad()
        loss = model.loss(model.network, batches[step], torch.Generator().manual_seed(step))
        loss.value.backward()
        optimiser.step()
        values.append(float(loss.terms["rmsd"].mean().detach()))
    assert np.mean(values[-10:]) < 0.5 * np.mean(values[:5])


def test_the_first_sample_has_no_noise_and_the_others_differ(model, prepared, run_settings):
    batch = domain.conditions(prepared, run_settings.sampling).batch([0, 1])
    settings = run_settings.sampling
    drawn = [
        model.sample(model.network, batch, sample_generators(seed, range(4)), settings)
        for seed in (0, 1)
    ]
    assert torch.equal(drawn[0]["positions"][:, 0], drawn[1]["positions"][:, 0])
    assert not torch.allclose(drawn[0]["positions"][:, 1], drawn[1]["positions"][:, 1])
    assert (drawn[0]["expected_d_mae"] > 0).all()


def test_a_sample_does_not_depend_on_the_batch(model, prepared, run_settings):
    conditions = domain.conditions(prepared, run_settings.sampling)
    count = run_settings.sampling.samples
    together = model.sample(
        model.network,
        conditions.batch([0, 1, 2]),
        sample_generators(0, range(6)),
        run_settings.sampling,
    )
    alone = model.sample(
        model.network,
        conditions.batch([2]),
        sample_generators(0, range(2 * count, 3 * count)),
        run_settings.sampling,
    )
    n = alone["positions"].shape[2]
    assert torch.allclose(together["positions"][2:, :, :n], alone["positions"], atol=1e-4)


def test_the_ends_swapped_give_the_same_error_terms_as_the_way_back(prepared):
    from flowsci.domains.transition_states.batches import backwards
    from flowsci.domains.transition_states.record import Reactions

    batch = Reactions.of_split(prepared.arrays, "train").padded([0, 1])
    swapped = backwards(batch, torch.tensor([True, False]))
    assert torch.equal(swapped["reactant"][0], batch["product"][0])
    assert torch.equal(swapped["orders"][0], batch["orders"][0].flip(0))
    assert torch.equal(swapped["product"][1], batch["product"][1])
    assert torch.equal(swapped["transition_state"], batch["transition_state"])


def test_errors_are_those_of_the_measures(prepared):
    from flowsci.domains.transition_states import measures
    from flowsci.domains.transition_states.record import Reactions

    batch = Reactions.of_split(prepared.arrays, "train").padded([0, 1])
    found = errors(batch["reactant"], batch["transition_state"], batch["mask"])
    for row in range(2):
        pair = [batch[name][row].numpy() for name in ("reactant", "transition_state")]
        assert abs(found[0][row] - measures.rmsd(*pair)) < 1e-3
        assert abs(found[1][row] - measures.d_mae(*pair)) < 1e-4


def test_times_are_at_the_start_as_often_as_said():
    t = StartAndUniform(0.75).sample(4000, torch.Generator().manual_seed(0))
    assert abs((t == 0).float().mean() - 0.75) < 0.03
    assert abs(t[t > 0].mean() - 0.5) < 0.03


def test_calibration_makes_expected_errors_true_on_average(prepared, run_settings):
    torch.manual_seed(0)
    model = domain.model(run_settings.network, run_settings.flow, prepared.statistics)
    validation = domain.batches(prepared, run_settings, "validation")
    model.network.eval()
    model.calibrate(model.network, validation)
    expected, found = [], []
    settings = run_settings.sampling.model_copy(update={"samples": 1, "steps": 5})
    with torch.no_grad():
        for number in range(len(validation)):
            batch = validation[number]
            generators = sample_generators(0, range(len(batch["mask"])))
            drawn = model.sample(model.network, batch, generators, settings)
            expected.append(drawn["expected_d_mae"][:, 0])
            positions, truth = drawn["positions"][:, 0], batch["transition_state"]
            found.append(errors(positions, truth, batch["mask"])[1])
    assert abs(torch.cat(expected).mean() / torch.cat(found).mean() - 1) < 0.15


def test_the_confidence_finds_the_evidence_that_tells():
    draw = torch.Generator().manual_seed(0)
    evidences = torch.randn(500, 4, generator=draw) * torch.tensor([1.0, 0.3, 2.0, 0.5]) - 1
    error = (evidences[:, 2] / 2 + 0.1 * torch.randn(500, generator=draw)).exp() * 0.1
    confidence = Confidence()
    confidence.fit(evidences, error)
    expected = confidence(evidences)
    assert abs(expected.mean() / error.mean() - 1) < 0.15
    surest = expected.argsort()[:250]
    assert error[surest].mean() < 0.6 * error.mean()
    assert torch.corrcoef(torch.stack([expected.log(), error.log()]))[0, 1] > 0.95
    assert (confidence.feared.diff() > 0).all()
    assert (confidence.found.diff() > 0).all()


def test_states_on_the_way_to_an_own_answer_train_too(model, prepared, run_settings):
    batch = domain.batches(prepared, run_settings, "train")[0]
    own = torch.arange(len(batch["mask"])) % 2 == 0
    x, truth = batch["start"], batch["transition_state"]
    reached = model._reached(model.network, batch, x, truth, own)
    with torch.no_grad():
        answer = model.network(x, torch.zeros(len(x)), batch).positions
    assert torch.allclose(reached[own], answer[own], atol=1e-4)
    assert torch.equal(reached[~own], truth[~own])
    assert not reached.requires_grad


def test_verdicts_come_with_the_samples_and_are_exported(
    tmp_path, model, prepared, run_settings, monkeypatch
):
    from types import SimpleNamespace

    from ase.io import read

    from flowsci.domains.transition_states import verdicts

    def refine(job):
        task, _ = job
        good = task.guess[2, 0] > 0
        return SimpleNamespace(
            verified=good,
            converged=good,
            energy=-150.0,
            barrier=2.5,
            imaginary_frequency=1400.0,
            imaginary_modes=1,
            steps=7,
            positions=task.guess + 0.1,
        )

    monkeypatch.setattr(verdicts, "_refine", refine)
    settings = run_settings.sampling.model_copy(update={"refine": "gfn2"})
    batch = domain.conditions(prepared, settings).batch([0, 1])
    with torch.no_grad():
        drawn = model.sample(model.network, batch, sample_generators(0, range(4)), settings)
    domain.export(domain.decode(drawn, batch, prepared), prepared, tmp_path)
    table = domain.read_samples(tmp_path).table
    right = drawn["positions"][:, :, 2, 0].flatten() > 0
    assert table["verified"].tolist() == right.double().tolist()
    assert (table["barrier"] == 2.5).all()
    frames = list(read(tmp_path / "transition_states.extxyz", index=":"))
    made = [f for f in frames if f.info["role"] == "transition_state"]
    assert made[0].info["barrier"] == 2.5
    assert np.isfinite(made[0].arrays["refined"]).all() == bool(right[0])
