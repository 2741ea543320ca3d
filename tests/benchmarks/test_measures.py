"""What is timed does the same work; how it is timed, judged and written."""

import json

import pytest
import torch

from benchmarks import aligning, core, likelihoods, solving, training, transport
from benchmarks.network import make_network, normal
from benchmarks.timing import OURS, Result, ratios, take_turns
from flowsci.flow import ExactDivergence, Hutchinson


def test_solvers_reach_the_same_samples():
    problem = solving.make_problem(batch=5, dimension=3)
    torch.testing.assert_close(solving.ours(problem), solving.bare(problem))


def test_training_steps_find_the_same_losses():
    x1 = normal(6, 2, seed=1)
    ours = training.Trainer(make_network(2)).steps(training.ours(), x1)
    by_hand = training.Trainer(make_network(2)).steps(training.by_hand, x1)
    torch.testing.assert_close(ours, by_hand)


def test_likelihoods_are_the_same_where_an_estimate_is_exact():
    problem = likelihoods.make_problem(batch=5, dimension=1)
    by_hand = likelihoods.estimate_by_hand(problem)
    torch.testing.assert_close(likelihoods.ours(problem, Hutchinson()), by_hand)
    torch.testing.assert_close(likelihoods.ours(problem, ExactDivergence()), by_hand)


def test_a_worker_pairs_every_source_and_lowers_the_cost():
    x1 = transport.data()
    blocks = transport.Pairings(x1)
    for number, index in enumerate(blocks[0][:2]):
        assert sorted(index.tolist()) == list(range(len(x1)))
        x0 = transport.source(number)
        assert (x0[index] - x1).square().sum() < 0.9 * (x0 - x1).square().sum()


def test_alignment_of_a_batch_is_that_of_each_system():
    x0, x1, elements = aligning.systems()
    together = aligning.couple(x0, x1, elements)
    apart = aligning.couple_each(x0, x1, elements)
    rotations = torch.cat([pairing.rotation for pairing in apart])
    torch.testing.assert_close(together.rotation, rotations, rtol=1e-4, atol=1e-4)


def test_turns_rotate_and_are_timed_each():
    ticks, order = iter(range(100)), []
    contenders = {name: lambda name=name: order.append(name) for name in "abc"}
    seconds = take_turns(contenders, rounds=3, clock=lambda: next(ticks))
    assert "".join(order) == "abc" + "abc" + "acb" + "cab"
    assert seconds == {name: [1, 1, 1] for name in "abc"}


def test_a_ratio_is_the_median_over_the_rounds():
    seconds = {"a": [1.0, 2.0, 4.0], "b": [2.0, 5.0, 4.0]}
    assert ratios(seconds, "a") == {"b": 2.0}


@pytest.mark.parametrize(
    ("values", "below_peers", "missed"),
    [
        ({OURS: 1.1}, True, []),
        ({OURS: 1.2}, False, ["m: 1.2, the bar is 1.1"]),
        ({OURS: 1.1, "peer": 1.05}, True, ["m: 1.1, but peer 1.05"]),
        ({OURS: 1.1, "peer": 1.05}, False, []),
    ],
)
def test_bars(values, below_peers, missed):
    assert Result("m", "x", 1.1, values, below_peers).missed() == missed


@pytest.mark.parametrize(("value", "status"), [(1.0, 0), (2.0, 1)])
def test_the_command_judges_prints_and_writes(value, status, tmp_path, monkeypatch, capsys):
    result = Result("speed", "x", 1.5, {OURS: value, "peer": 3.0}, details={"aside": 7.0})
    monkeypatch.setattr(core, "MEASURES", {"one": lambda: result})
    monkeypatch.setattr(core, "OUTPUT", tmp_path / "results" / "core.json")
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    with pytest.raises(SystemExit) as left:
        core.main(["one"])
    assert left.value.code == status
    printed = capsys.readouterr().out
    assert ("MISSED" in printed, "missed: speed" in printed) == (bool(status), bool(status))
    assert "peer" in printed
    assert "aside: 7" in printed
    (written,) = json.loads(core.OUTPUT.read_text())["measures"]
    assert written["values"] == {OURS: value, "peer": 3.0}
    assert len(written["missed"]) == status


def test_an_unknown_measure_is_named(capsys):
    with pytest.raises(SystemExit):
        core.main(["speed"])
    assert "no measure speed" in capsys.readouterr().err
