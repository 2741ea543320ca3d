"""Training: it learns, resumes exactly, selects on validation, and stops with a reason."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from flowsci.errors import FlowsciError, Interrupted
from flowsci.flow import FlowMatching, GaussianMixtureField, sample_generators
from flowsci.training import train
from tests.training.conftest import MODES, Mixture, Network, loss, network


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
    batches = Mixture() if batches is None else batches
    validation = Mixture(batches=2, seed=1) if validation is None else validation
    return train(network(), loss, batches, validation, settings, work)


def curve(trained):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in trained.history]


def assert_same(one, other):
    assert curve(one) == curve(other)
    assert (one.best_step, one.best_validation) == (other.best_step, other.best_validation)
    assert one.state.keys() == other.state.keys()
    assert all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def validation_loss(net, validation, seed):
    """Compute by hand what the loop judges by."""
    stream = sample_generators(seed, range(3))[2].initial_seed()
    generators = sample_generators(stream, range(len(validation)))
    losses = [loss(net, validation[i], g).value.item() for i, g in enumerate(generators)]
    return sum(losses) / len(losses)


def test_it_learns_most_of_what_there_is_to_learn(settings, tmp_path):
    """The exact velocity of the mixture sets the floor of the loss."""
    validation = Mixture(batches=8, seed=1)
    exact = GaussianMixtureField(MODES, torch.full((4, 2), 0.2), torch.full((4,), 0.25))
    floor = validation_loss(lambda x, t, _: exact.velocity(x, t), validation, settings.seed)
    changes = {"steps": 400, "learning_rate": 1e-2, "ema_decay": 0.98}
    trained = run(settings.model_copy(update=changes), tmp_path, validation=validation)
    start = trained.history[0]["validation_loss"]
    assert floor < trained.best_validation < floor + 0.4 * (start - floor)
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
    whole = run(settings, tmp_path)
    never = Interrupting(0)
    again = run(settings, tmp_path, never, validation=never)
    assert_same(again, whole)
    assert again.seconds == whole.seconds


def test_a_slow_start_does_not_change_the_curve(settings, tmp_path, monkeypatch):
    """The clock runs ahead of the first steps, but within its grace."""
    whole = run(settings, tmp_path / "whole")
    clock = chain([100.0] * 4, repeat(114.0))
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    late = run(settings, tmp_path / "late")
    assert late.seconds >= 14 > 1.5 * 60 * settings.minutes / settings.steps
    assert_same(late, whole)


def test_splits_without_batches_are_named(settings, tmp_path):
    with pytest.raises(FlowsciError, match="no validation batches"):
        run(settings, tmp_path, validation=Mixture(batches=0))
    with pytest.raises(FlowsciError, match="no training batches"):
        run(settings, tmp_path, Mixture(batches=0))
    assert not list(tmp_path.iterdir())


def test_a_snapshot_of_another_network_is_named_with_the_mend(settings, tmp_path):
    with pytest.raises(Interrupted):
        run(settings, tmp_path, Interrupting(12))
    other = nn.Linear(3, 2)
    with pytest.raises(FlowsciError, match=f"{tmp_path}: .* does not fit.*Delete it"):
        train(other, loss, Mixture(), Mixture(), settings, tmp_path)


def test_memory_that_does_not_suffice_is_named_with_the_mend(settings, tmp_path):
    def huge(net, batch, generator):
        torch.empty(1 << 50)

    with pytest.raises(FlowsciError, match=r"out of memory.*Lower training\.batch_size"):
        train(network(), huge, Mixture(), Mixture(), settings, tmp_path)


def test_a_schedulers_tasks_are_not_the_trainings(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "2")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    assert run(settings, tmp_path).steps == 60


def test_the_best_weights_are_those_of_the_best_validation(settings, tmp_path):
    trained = run(settings, tmp_path)
    rows = [row for row in trained.history if "validation_loss" in row]
    best = min(rows, key=lambda row: row["validation_loss"])
    assert [row["step"] for row in rows] == [0, 10, 20, 30, 40, 50, 60]
    assert (trained.best_step, trained.best_validation) == (best["step"], best["validation_loss"])
    best = network().eval()
    best.load_state_dict(trained.state)
    expected = validation_loss(best, Mixture(batches=2, seed=1), settings.seed)
    assert trained.best_validation == pytest.approx(expected, rel=1e-6)


def test_time_ends_a_training_with_the_learning_rate_at_zero(settings, tmp_path):
    short = settings.model_copy(update={"steps": 10**9, "minutes": 1 / 60})
    trained = run(short, tmp_path)
    assert trained.seconds < 5
    assert trained.history[-1]["learning_rate"] < 0.05 * settings.learning_rate
    assert "validation_loss" in trained.history[-1]


def test_a_loss_that_is_not_finite_names_step_and_cases(settings, tmp_path):
    every = settings.model_copy(update={"snapshot_minutes": 1e-9})
    with pytest.raises(FlowsciError, match=r"not finite at step 21.*id 675\. "):
        run(every, tmp_path, Mixture(poisoned=21))
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


@dataclass(frozen=True)
class Told:
    """What a network is told besides its state, as domains group it."""

    points: Tensor


class Asking(Network):
    """Keeps the types of what comes in and of what its first layer gives."""

    def forward(self, x, t, told=None):
        self.seen = x.dtype, told.points.dtype, self.layers[0](x.new_ones(1, 3)).dtype
        return super().forward(x, t)


def test_bfloat16_takes_no_digits_from_what_comes_in(settings, tmp_path):
    def told_loss(net, batch, generator):
        return FlowMatching()(net, batch["points"], generator, condition=Told(batch["points"]))

    once = settings.model_copy(update={"precision": "bf16-mixed", "steps": 1})
    asking = Asking()
    train(asking, told_loss, Mixture(), Mixture(batches=1, seed=1), once, tmp_path)
    assert asking.seen == (torch.float32, torch.float32, torch.bfloat16)
