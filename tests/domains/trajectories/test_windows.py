"""Scenes of pedestrians: who is in them, on which side, and what does not fit is counted."""

import numpy as np
import pytest
import torch

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.batches import SceneConditions, TrainingBatches
from flowsci.domains.trajectories.settings import (
    NetworkSettings,
    SceneTraining,
    TrajectoriesData,
)
from flowsci.domains.trajectories.windows import MISSED
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators

STEP = 0.4


def settings(**changes) -> TrajectoriesData:
    return TrajectoriesData.model_validate(
        {
            "domain": "trajectories",
            "title": "Walkers",
            "licence": "none",
            "citation": "none",
            "source": {"kind": "path", "path": "walkers"},
            "tracks": {"kind": "frames", "unit": "m"},
            "windows": {
                "step_seconds": STEP,
                "observed_steps": 4,
                "predicted_steps": 3,
                "training_stride_seconds": STEP,
                "stride_seconds": STEP,
                "least_agents": 2,
            },
            "splits": {"kind": "held_out", "test": ["held"], "validation_share": 0.25},
            **changes,
        }
    )


def write(folder, name, agents=3, steps=41, first=0):
    """Write walkers who start together and turn slowly, each at a pace of its own."""
    path = folder / f"{name}.txt"
    generator = np.random.default_rng(len(name) + agents)
    lines = []
    for agent in range(agents):
        turns = generator.normal(size=steps).cumsum() / 5
        pace = 0.3 + 0.1 * generator.random(steps)
        moves = pace[:, None] * np.stack([np.cos(turns), np.sin(turns)], -1)
        for step, (x, y) in enumerate(moves.cumsum(axis=0)):
            lines.append(f"{10 * (first + step)}\t{agent}\t{x + agent:.4f}\t{y:.4f}")
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def walkers(tmp_path):
    return [write(tmp_path, name) for name in ("busy", "held", "quiet")]


def test_held_out_recordings_test_and_the_last_share_of_time_validates(walkers):
    prepared = domain.prepare(walkers, settings())
    arrays = prepared.arrays
    recording, split, tick = (arrays[f"scene_{n}"].values for n in ("recording", "split", "tick"))
    held = arrays.attrs["recordings"].index("held")
    assert ((split == 2) == (recording == held)).all()
    # 41 frames: the border lies at tick 30, and windows of 7 steps end 6 ticks after they begin
    for number in {0, 1, 2} - {held}:
        ticks = [set(tick[(recording == number) & (split == side)]) for side in (0, 1)]
        assert ticks == [set(range(24)), set(range(30, 35))]
    windows = prepared.counts["windows"]
    assert windows["dropped"]["across the border of training and validation"] == 2 * 3 * 6
    assert windows["test"] == 3 * 35


def test_the_times_of_conditions_are_those_of_the_last_observed_step(walkers):
    prepared = domain.prepare(walkers, settings())
    batch = SceneConditions(prepared.arrays, "test").batch([0, 5])
    assert batch["microseconds"].tolist() == [round(1e6 * k * STEP) for k in (3, 8)]
    assert batch["observed"].shape == (2, 3, 4, 2)


def test_scenes_of_one_agent_are_dropped_and_counted(tmp_path):
    files = [write(tmp_path, "busy"), write(tmp_path, "held"), write(tmp_path, "lonely", agents=1)]
    counts = domain.prepare(files, settings()).counts["windows"]
    assert counts["dropped"]["scene of fewer than 2 agents"] == 24 + 5
    everyone = settings(windows={**settings().windows.model_dump(), "least_agents": 1})
    again = domain.prepare(files, everyone).counts["windows"]
    assert again["train"] == counts["train"] + 24


def test_tracks_that_no_start_of_a_window_meets_are_counted(tmp_path):
    files = [write(tmp_path, name) for name in ("busy", "held")]
    files.append(write(tmp_path, "late", steps=9, first=1))
    windows = settings().windows.model_dump() | {"training_stride_seconds": 10 * STEP}
    named = {"kind": "named", "train": ["busy", "late"], "validation": ["held"], "test": ["quiet"]}
    files.append(write(tmp_path, "quiet"))
    prepared = domain.prepare(files, settings(windows=windows, splits=named))
    assert prepared.counts["windows"]["train"] == 3 * 4
    assert prepared.counts["windows"]["dropped"][MISSED] == 3


def shifted(path, frames):
    """Move the annotated frames of a recording."""
    lines = (line.split("\t") for line in path.read_text().splitlines())
    path.write_text("\n".join("\t".join([str(int(f) + frames), *rest]) for f, *rest in lines))


def test_a_split_that_lost_its_recording_says_by_what(walkers, tmp_path):
    write(tmp_path, "held", agents=1)
    with pytest.raises(
        FlowsciError, match=r"split 'test'.*of held: .*35 scene of fewer than 2 agents dropped"
    ):
        domain.prepare(walkers, settings())
    shifted(write(tmp_path, "held"), 5)
    with pytest.raises(
        FlowsciError, match=r"split 'test'.*of held: no usable row, 123 frame between steps"
    ):
        domain.prepare(walkers, settings())


def test_a_training_recording_without_a_usable_row_stands_in_the_manifest(walkers):
    shifted(walkers[2], 5)
    counts = domain.prepare(walkers, settings()).counts
    lost = counts["rows of recordings without a usable one"]
    assert lost == {"quiet": {"frame between steps": 123}}


def test_recordings_are_found_by_name(walkers):
    with pytest.raises(FlowsciError, match=r"no recording hell\. Recordings: busy, held, quiet"):
        domain.prepare(walkers, settings(splits={"kind": "held_out", "test": ["hell"]}))
    named = {"kind": "named", "train": ["busy"], "validation": ["quiet"], "test": ["held"]}
    arrays = domain.prepare(walkers, settings(splits=named)).arrays
    split, recording = arrays["scene_split"].values, arrays["scene_recording"].values
    assert {(r, s) for r, s in zip(recording, split, strict=True)} == {(0, 0), (1, 2), (2, 1)}
    twice = {**named, "validation": ["busy"]}
    with pytest.raises(FlowsciError, match="'busy' stands in two splits"):
        domain.prepare(walkers, settings(splits=twice))
    without = {"kind": "named", "train": ["busy"], "validation": ["held"], "test": ["held"]}
    with pytest.raises(FlowsciError, match="'held' stands in two splits"):
        domain.prepare(walkers, settings(splits=without))
    more = [*walkers, write(walkers[0].parent, "other")]
    with pytest.raises(FlowsciError, match="no split names the recording other"):
        domain.prepare(more, settings(splits=named))


def test_fewer_frames_than_a_window_are_named(tmp_path):
    files = [write(tmp_path, name, steps=6) for name in ("busy", "held")]
    with pytest.raises(FlowsciError, match=r"no complete window.*the longest of 6 points"):
        domain.prepare(files, settings())


def test_an_acceleration_limit_asks_for_metres(walkers):
    windows = {**settings().windows.model_dump(), "acceleration_limit_m_s2": 5}
    tracks = {"kind": "frames", "unit": "pixel"}
    with pytest.raises(FlowsciError, match="positions in pixel have no metres"):
        domain.prepare(walkers, settings(windows=windows, tracks=tracks))


def test_a_scene_of_five_hundred_agents_is_thinned_in_training_and_sampled_whole(tmp_path):
    files = [write(tmp_path, name, agents=500, steps=9) for name in ("busy", "held")]
    named = {"kind": "named", "train": ["busy"], "validation": ["held"], "test": ["held"]}
    crowd = settings(splits={**named, "validation": ["quiet"]})
    files.append(write(tmp_path, "quiet", agents=2, steps=9))
    prepared = domain.prepare(files, crowd)
    training = SceneTraining(steps=1, minutes=1, batch_size=8, most_agents=6)
    batch = TrainingBatches(prepared.arrays, "train", training)[0]
    assert batch["mask"].shape[1] <= 6
    condition = SceneConditions(prepared.arrays, "test").batch([0])
    assert condition["observed"].shape == (1, 500, 4, 2)
    network = NetworkSettings(width=8, heads=2, encoder_layers=1, decoder_layers=1)
    run = domain.run_settings.model_validate(
        {
            "domain": "trajectories",
            "data": "made",
            "title": "Crowd",
            "training": {"steps": 1, "minutes": 1},
            "sampling": {"samples": 2, "steps": 1},
        }
    )
    model = domain.model(network, run.flow, prepared.statistics)
    with torch.no_grad():
        drawn = model.sample(
            model.network.eval(), condition, sample_generators(0, range(2)), run.sampling
        )
    assert torch.isfinite(drawn["positions"]).all()


def test_agents_who_all_stand_still_are_refused(tmp_path):
    lines = [f"{10 * frame} {agent} {agent} 0" for agent in range(3) for frame in range(41)]
    files = []
    for name in ("busy", "held", "quiet"):
        files.append(tmp_path / f"{name}.txt")
        files[-1].write_text("\n".join(lines))
    with pytest.raises(FlowsciError, match="stand still while observed"):
        domain.prepare(files, settings())


def test_places_that_training_shows_are_known_and_others_are_not(walkers):
    places = {"field": ["busy", "quiet"], "hill": ["held"]}
    arrays = domain.prepare(walkers, settings(places=places)).arrays
    assert arrays.attrs["places"] == ["field"]
    held = arrays["scene_recording"].values == arrays.attrs["recordings"].index("held")
    assert held.any()
    assert ((arrays["scene_place"].values == -1) == held).all()
    beside = {"field": ["held", "quiet"], "hill": ["busy"]}
    known = domain.prepare(walkers, settings(places=beside)).arrays
    recordings = np.array(known.attrs["recordings"])[known["scene_recording"].values]
    assert ((known["scene_place"].values == 1) == (recordings == "busy")).all()
    one = domain.prepare(walkers, settings()).arrays
    assert (one["scene_place"].values == 0).all()


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"field": ["busy"]}, "Without a place: held, quiet"),
        ({"field": ["busy", "held", "quiet", "east"]}, "Not among the recordings: east"),
    ],
)
def test_a_recording_has_one_place(walkers, places, said):
    with pytest.raises(FlowsciError, match=said):
        domain.prepare(walkers, settings(places=places))


def test_no_recording_has_two_places():
    with pytest.raises(ValueError, match="stands in two places"):
        settings(places={"a": ["busy"], "b": ["busy"]})
