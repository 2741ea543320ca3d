import pytest
import torch

from flowsci.domains.trajectories.basis import OffsetBasis
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.record import Scenes


@pytest.fixture(scope="module")
def windows(prepared):
    """Frames and futures of the training windows."""
    training = Scenes.of_split(prepared.arrays, "train")
    positions = training.positions_of(training.all_windows()).double()
    return agent_frames(positions[:, :8]), positions[:, 8:]


@pytest.fixture(scope="module")
def basis(prepared):
    return OffsetBasis.of(prepared.statistics)


def test_all_components_give_the_future_back(basis, windows):
    frames, future = windows
    back = basis.decode(frames, basis.encode(frames, future, 36))
    assert torch.allclose(back, future, atol=1e-4)


def test_coefficients_have_mean_zero_and_unit_variance_in_training(basis, windows):
    coefficients = basis.encode(*windows, 4)
    assert torch.allclose(coefficients.mean(0), torch.zeros(4).double(), atol=1e-3)
    assert torch.allclose(coefficients.var(0, unbiased=False), torch.ones(4).double(), atol=1e-3)


def test_a_few_components_lose_little_and_more_lose_less(basis, windows):
    frames, future = windows
    lost = [
        (basis.decode(frames, basis.encode(frames, future, count)) - future).norm(dim=-1).mean()
        for count in (1, 4, 12)
    ]
    missed = (frames.straight(12) - future).norm(dim=-1).mean()
    assert lost[0] > lost[1] > lost[2]
    assert lost[2] < 0.01 * missed


def test_a_faster_agent_has_the_same_coefficients_but_for_the_floor(basis, windows):
    frames, future = windows
    origin = frames.origin[:, None]
    faster = type(frames)(frames.origin, frames.heading, 3 * frames.velocity, 3 * frames.pace)
    far = basis.unit(faster) / basis.unit(frames)
    offsets = basis.offsets(faster, origin + 3 * (future - origin))
    assert torch.allclose(offsets * far[:, None, None] / 3, basis.offsets(frames, future))
