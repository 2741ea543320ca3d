"""Arrays of plays: an agent of a sequence is a track, and windows stay within sequences."""

import numpy as np
import pytest

from flowsci.domains.trajectories.readers.sequences import read_sequences
from flowsci.domains.trajectories.settings import SequenceTracks, SharesSplit, WindowSettings
from flowsci.domains.trajectories.windows import MISSED, find_windows
from flowsci.errors import FlowsciError

SETTINGS = SequenceTracks(unit="foot", step_seconds=0.2)


def plays(tmp_path, sequences=6, steps=30, agents=11):
    generator = np.random.default_rng(0)
    array = generator.normal(size=(sequences, steps, agents, 2)).cumsum(axis=1)
    tmp_path.mkdir(exist_ok=True)
    np.save(tmp_path / "plays.npy", array)
    return tmp_path / "plays.npy", array


def test_every_agent_of_every_sequence_is_a_track(tmp_path):
    path, array = plays(tmp_path)
    tracks = read_sequences([path], SETTINGS)
    assert len(tracks.tracks) == 66
    assert tracks.tracks["name"].tolist()[12] == "1/1"
    third = tracks.points[tracks.points["track"] == 12]
    assert np.allclose(third[["x", "y"]], array[1, :, 1], atol=1e-5)


def test_a_scene_is_a_sequence_with_all_its_agents(tmp_path):
    path, _ = plays(tmp_path)
    settings = WindowSettings(
        step_seconds=0.2,
        observed_steps=10,
        predicted_steps=20,
        training_stride_seconds=0.2,
        stride_seconds=0.2,
    )
    windows, dropped = find_windows(read_sequences([path], SETTINGS), settings, SharesSplit(), 0)
    assert len(windows) == 66
    assert windows.groupby("tick")["track"].nunique().max() <= 11
    assert dropped["track ends"].sum() == 66 * 29


def test_every_play_has_a_window_whatever_the_stride(tmp_path):
    path, _ = plays(tmp_path, sequences=20)
    long, _ = plays(tmp_path / "long", sequences=20, steps=37)
    settings = WindowSettings(
        step_seconds=0.2,
        observed_steps=10,
        predicted_steps=20,
        training_stride_seconds=1.4,
        stride_seconds=10,
    )
    tracks = read_sequences([path, long], SETTINGS)
    windows, dropped = find_windows(tracks, settings, SharesSplit(), 0)
    assert windows["track"].nunique() == len(tracks.tracks) == 440
    # the longer ones have room for a second window, seven steps on, to train on
    assert 440 < len(windows) < 660
    assert dropped[MISSED].sum() == 0


def test_agents_without_a_position_are_dropped_and_counted(tmp_path):
    path, array = plays(tmp_path)
    array[2, 3, 4] = np.nan
    np.save(path, array)
    tracks = read_sequences([path], SETTINGS)
    assert tracks.counts["agents of sequences"] == {
        "read": 66,
        "kept": 65,
        "dropped": {"position missing": 1},
    }


def test_other_arrays_and_pickles_are_refused(tmp_path):
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    with pytest.raises(FlowsciError, match=r"flat\.npy: expected numbers \(sequences, steps"):
        read_sequences([tmp_path / "flat.npy"], SETTINGS)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(FlowsciError, match=r"objects\.npy: is not a plain \.npy array"):
        read_sequences([tmp_path / "objects.npy"], SETTINGS)
