import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flowsci.domains.trajectories.climb_windows import no_climbs
from flowsci.domains.trajectories.frames import agent_frames
from flowsci.domains.trajectories.readers import Tracks
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import WindowSettings
from flowsci.errors import FlowsciError

SETTINGS = WindowSettings.model_validate(
    {"step_seconds": 20, "observed_steps": 4, "predicted_steps": 5, "climb": {}}
)
OFFSETS = 2 * np.arange(9)
NOW = 6


def tracks(*altitudes: np.ndarray, unit: str = "km", axes=("east", "north", "up")) -> Tracks:
    """Make tracks of 17 points, 10 s apart, from altitudes in m."""
    points = pd.DataFrame({"east": 0.0, "north": 0.0, "up": np.concatenate(altitudes) / 1000})
    return Tracks(points, pd.DataFrame(), ("made",), axes, unit, 10.0, {})


def reasons(*altitudes: np.ndarray) -> list[list[bool]]:
    first = 17 * np.arange(len(altitudes))
    return [
        found.tolist() for found in no_climbs(tracks(*altitudes), first, OFFSETS, SETTINGS).values()
    ]


def test_what_climbs_when_last_seen_is_a_climb():
    time = 10.0 * np.arange(17)
    steady = 5 * time
    level = np.full(17, 9000.0)
    later = np.maximum(0, 5 * (time - 10 * NOW))
    stopped = np.minimum(5 * time, 5 * 10 * (NOW - 1))
    sinks = np.where(time <= 100, 5 * time, 500 - 40)
    sags = np.where(time <= 100, 5 * time, 500 - 20)
    slow, sunk = reasons(steady, level, later, stopped, sinks, sags)
    assert slow == [False, True, True, True, False, False]
    assert sunk == [False, False, False, False, True, False]


@given(st.lists(st.floats(-1000, 1000), min_size=10, max_size=10), st.floats(0, 4))
def test_whether_a_window_climbs_is_told_by_what_is_observed(future, rate):
    seen = rate * 10 * np.arange(NOW + 1)
    one = reasons(np.append(seen, seen[-1] + np.zeros(10)))[0]
    assert reasons(np.append(seen, seen[-1] + np.array(future)))[0] == one


def test_times_must_fit_the_clock_and_the_observed_steps():
    short = SETTINGS.model_copy(update={"observed_steps": 2})
    with pytest.raises(FlowsciError, match=r"over_seconds \(30\).*20 s"):
        no_climbs(tracks(np.zeros(17)), np.array([0]), OFFSETS, short)


@pytest.mark.parametrize("changes", [{"unit": "pixel"}, {"axes": ("x", "y")}])
def test_climbs_need_altitudes_in_metres(changes):
    with pytest.raises(FlowsciError, match=r"windows\.climb: needs three axes"):
        no_climbs(tracks(np.zeros(17), **changes), np.array([0]), OFFSETS, SETTINGS)


def test_a_dataset_of_climbs_holds_climbs_and_says_what_was_changed(climbs):
    scenes = Scenes(climbs.arrays, np.arange(climbs.arrays.sizes["scene"]))
    positions = scenes.positions_of(scenes.all_windows()).double()
    last = positions[:, 3, 2] - positions[:, 2, 2]
    assert (last > 0).all()
    names = climbs.arrays["track_name"].values[scenes.tracks_of(scenes.all_windows())]
    assert not {f"{number:04d}e1" for number in range(0, 32, 4)} & set(names)
    assert climbs.counts["windows"]["dropped"]["not climbing when last seen"] > 100
    changes = climbs.counts["climbs"]
    assert changes["windows"] == len(positions)
    path = positions[:, 3:, 2]
    assert changes["steps raised to level_rate_m_s"] == (path.diff(dim=1) < 0.0004).sum()
    assert changes["windows made to rise"] == 0


def test_the_basis_of_climbs_gives_their_rising_futures_back(climbs):
    from flowsci.domains.trajectories.basis import OffsetBasis

    scenes = Scenes.of_split(climbs.arrays, "test")
    positions = scenes.positions_of(scenes.all_windows()).double()
    frames, future = agent_frames(positions[:, :4]), positions[:, 4:]
    basis = OffsetBasis.of(climbs.statistics)
    back = basis.decode(frames, basis.encode(frames, future, 30))
    # level steps count as 0.02 m/s: 0.4 m a step
    assert (back - future).abs().max() < 0.0004 * 10 + 1e-4
    coefficients = basis.encode(frames, future, 8)
    assert torch.isfinite(coefficients).all()
