"""Training: it learns, resumes exactly, selects on validation, and stops with a reason."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from flowsci.errors import FlowsciError, Interrupted
from flowsci.training import train
from tests.training.conftest import Mixture, loss, network


class Interrupting(Mixture):
    """Batches that bring a signal to this process when one of them is asked for."""

    def __init__(self, at, number=signal.SIGTERM):
        super().__init__()
        self.at, self.number = at, number

    def __getitem__(self, index):
        if index == self.at:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(index)


def run(settings, work, batches=None, validation=None):
    validation = validation or Mixture(batches=2, seed=1)
    return train(network(), loss, batches or Mixture(), validation, settings, work)


def curve(trained):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in trained.history]


def assert_same(one, other):
    assert curve(one) == curve(other)
    assert (one.best_step, one.best_validation) == (other.best_step, other.best_validation)
    assert one.state.keys() == other.state.keys()
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def test_it_learns(settings, tmp_path):
    trained = run(settings.model_copy(update={"steps": 400}), tmp_path)
    first = trained.history[0]["validation_loss"]
    assert trained.best_validation < 0.85 * first
    assert trained.steps == 400


@pytest.mark.parametrize("at", [0, 7, 10, 37])
def test_an_interrupted_training_equals_an_uninterrupted_one(settings, tmp_path, at):
    whole = run(settings, tmp_path / "whole")
    with pytest.raises(Interrupted, match="run again to go on") as caught:
        run(settings, tmp_path / "parts", Interrupting(at))
    assert caught.value.exit_status == 143
    assert_same(run(settings, tmp_path / "parts"), whole)


def test_a_signal_during_validation_is_heard(settings, tmp_path):
    whole = run(settings, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(settings, tmp_path / "parts", validation=Interrupting(1))
    assert_same(run(settings, tmp_path / "parts", validation=Mixture(batches=2, seed=1)), whole)


def test_a_killed_training_goes_on_from_its_last_snapshot(settings, tmp_path):
    code = (
        "from pathlib import Path; from flowsci.settings import TrainingSettings;"
        "from tests.training.test_loop import Interrupting, run; import signal;"
        f"settings = TrainingSettings.model_validate_json({settings.model_dump_json()!r});"
        "settings = settings.model_copy(update={'snapshot_minutes': 1e-9});"
        f"run(settings, Path({str(tmp_path / 'parts')!r}), Interrupting(33, signal.SIGKILL))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    (snapshot,) = (tmp_path / "parts").glob("step-*")
    assert snapshot.name == "step-000000033"
    assert_same(run(settings, tmp_path / "parts"), run(settings, tmp_path / "whole"))


def test_a_finished_training_is_not_repeated(settings, tmp_path):
    every = settings.model_copy(update={"snapshot_minutes": 1e-9})
    whole = run(every, tmp_path)
    again = run(every, tmp_path, Interrupting(0, signal.SIGKILL))
    assert_same(again, whole)


def test_the_best_weights_are_those_of_the_best_validation(settings, tmp_path):
    trained = run(settings, tmp_path)
    rows = [row for row in trained.history if "validation_loss" in row]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40, 50, 60]
    assert (trained.best_step, trained.best_validation) == (best["step"], best["validation_loss"])
    again = network()
    again.load_state_dict(trained.state)
    again.eval()
    batches = Mixture(batches=2, seed=1)
    from flowsci.flow import sample_generators

    losses = [
        loss(again, batches[i], sample_generators(settings.seed, [2 * i + 1])[0]).value.item()
        for i in range(2)
    ]
    assert sum(losses) / 2 == pytest.approx(trained.best_validation, rel=1e-6)


def test_time_ends_a_training_with_the_learning_rate_at_zero(settings, tmp_path):
    short = settings.model_copy(update={"steps": 10**9, "minutes": 1 / 60})
    trained = run(short, tmp_path)
    assert trained.seconds < 5
    assert trained.history[-1]["learning_rate"] < 0.05 * settings.learning_rate
    assert "validation_loss" in trained.history[-1]


def test_a_loss_that_is_not_finite_names_step_and_cases(settings, tmp_path):
    every = settings.model_copy(update={"snapshot_minutes": 1e-9})
    with pytest.raises(FlowsciError, match=r"not finite at step 21.*id 675\. ") as caught:
        run(every, tmp_path, Mixture(poisoned=21))
    assert str(tmp_path) in str(caught.value)
    assert [path.name for path in tmp_path.glob("step-*")] == ["step-000000021"]


def test_a_damaged_snapshot_is_named_with_the_mend(settings, tmp_path):
    with pytest.raises(Interrupted):
        run(settings, tmp_path, Interrupting(12))
    (state,) = tmp_path.glob("step-*/state.safetensors")
    state.write_bytes(state.read_bytes()[:-10])
    with pytest.raises(FlowsciError, match=f"damaged.*Delete {tmp_path}"):
        run(settings, tmp_path)


def test_the_callers_randomness_is_left_alone(settings, tmp_path):
    before = torch.get_rng_state()
    run(settings, tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_bfloat16_trains(settings, tmp_path):
    trained = run(settings.model_copy(update={"precision": "bf16-mixed"}), tmp_path)
    assert trained.best_validation < trained.history[0]["validation_loss"]
    assert all(tensor.dtype == torch.float32 for tensor in trained.state.values())
