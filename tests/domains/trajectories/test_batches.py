import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flowsci.domains.trajectories import domain
from flowsci.domains.trajectories.batches import (
    SceneConditions,
    TrainingBatches,
    nearest,
    pad,
    sway,
)
from flowsci.domains.trajectories.record import Scenes
from flowsci.domains.trajectories.settings import SceneTraining
from flowsci.errors import FlowsciError


def batches_of(prepared, split="train", batch_size=4, **changes):
    settings = SceneTraining(steps=1, minutes=1, batch_size=batch_size, **changes)
    return TrainingBatches(prepared.arrays, split, settings)


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_batch_depends_on_its_number_and_the_seed_only(prepared):
    batches, again, other = (batches_of(prepared, seed=seed) for seed in (0, 0, 1))
    assert all(same(batches[i], again[i]) for i in (5, 0, 40))
    assert not same(batches[3], other[3])


def test_a_pass_shows_every_scene_once_and_the_next_pass_another_order(prepared):
    batches = batches_of(prepared)
    passes = [
        torch.cat([batches[p * len(batches) + i]["id"] for i in range(len(batches))])
        for p in range(2)
    ]
    scenes = np.flatnonzero(prepared.arrays["scene_split"].values == 0)
    assert all(sorted(ids.tolist()) == scenes.tolist() for ids in passes)
    assert not torch.equal(*passes)


def test_validation_is_in_order_and_complete(prepared):
    batches = batches_of(prepared, "validation")
    agents = sum(int(batches[i]["mask"].sum()) for i in range(len(batches)))
    assert agents == prepared.counts["windows"]["validation"]
    assert same(batches[0], batches[len(batches)])


def test_training_thins_scenes_but_never_empties_them(prepared):
    batches = batches_of(prepared, most_agents=5)
    agents = torch.cat([batches[i]["mask"].sum(1) for i in range(30)])
    assert sorted(agents.unique().tolist()) == [1, 2, 3, 4, 5]


def test_neighbours_are_an_agent_and_the_nearest_ones_and_each_is_shown_about_once(prepared):
    batches = batches_of(prepared, most_agents=5, neighbours=True, shift=0, shift_up=0, stretch=0)
    scenes = np.flatnonzero(prepared.arrays["scene_split"].values == 0)
    shown = torch.cat([batches[i]["id"] for i in range(len(batches))]).tolist()
    # 14 aircraft a scene, five at a time
    assert sorted(shown) == sorted(scenes.tolist() * 3)
    batch = batches[0]
    assert batch["mask"].sum(1).tolist() == [5] * 4
    positions = torch.tensor([[0.0, 0], [3, 0], [1, 0], [9, 0], [-5, 0]])
    chosen = [nearest(positions, 3, torch.Generator().manual_seed(s)).tolist() for s in range(40)]
    assert {tuple(c) for c in chosen} == {(0, 2, 1), (1, 2, 0), (2, 0, 1), (3, 1, 2), (4, 0, 2)}


def test_training_shifts_a_scene_as_a_whole(prepared):
    plain = {"unlocated": 0, "stretch": 0}
    still = batches_of(prepared, shift=0, shift_up=0, **plain)[0]
    moved = batches_of(prepared, shift=3, shift_up=0.1, **plain)[0]
    scenes = Scenes(prepared.arrays, still["id"].numpy())
    known = torch.cat([scenes.positions_of(scenes.windows(i))[:, 0] for i in range(4)])
    assert all((known == row).all(1).any() for row in still["observed"][still["mask"]][:, 0])
    for scene, real in enumerate(still["mask"]):
        by = torch.cat([(moved[n] - still[n])[scene, real] for n in ("observed", "future")], dim=1)
        assert torch.allclose(by, by[:1, :1].expand_as(by), atol=1e-4)
        assert 1e-4 < by[0, 0, 2].abs() < 0.5 < 30 * by[0, 0, :2].norm()


def test_scenes_are_mirrored_only_where_their_place_is_hidden(prepared):
    still = batches_of(prepared, batch_size=40, shift=0, shift_up=0, unlocated=0, stretch=0)[0]
    hidden = batches_of(prepared, batch_size=40, shift=0, shift_up=0, unlocated=1, stretch=0)[0]
    assert (still["place"] == 0).all()
    assert (hidden["place"] == -1).all()
    ratio = (hidden["future"] / still["future"])[hidden["mask"]][..., 0].mean(dim=-1)
    assert set(ratio.round(decimals=5).tolist()) == {1.0, -1.0}
    assert torch.equal(still["future"][..., 1:], hidden["future"][..., 1:])


def test_unlocated_scenes_are_scaled_and_some_run_backwards(prepared):
    plain = {"batch_size": 40, "shift": 0, "shift_up": 0, "unlocated": 1, "stretch": 0}
    still, larger, back = (
        batches_of(prepared, **plain, **change)[0]
        for change in ({}, {"scale": 1.5}, {"reversed": 0.5})
    )
    real = still["mask"]
    ratio = (larger["future"] / still["future"])[real].flatten(1)
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-4)
    assert 1 / 1.5 <= ratio.abs().min() < 0.8 < 1.2 < ratio.abs().max() <= 1.5
    whole = [torch.cat([b["observed"], b["future"]], dim=2) for b in (still, back)]
    flipped = (whole[1] == whole[0].flip(2)).flatten(1).all(1)
    assert ((whole[1] == whole[0]).flatten(1).all(1) != flipped).all()
    assert 8 < flipped.sum() < 32


def test_jitter_touches_the_history_only(prepared):
    plain = {"batch_size": 40, "shift": 0, "shift_up": 0, "stretch": 0, "unlocated": 0}
    still, noisy = (batches_of(prepared, **plain, jitter=size)[0] for size in (0, 0.5))
    assert torch.equal(still["future"], noisy["future"])
    noise = (noisy["observed"] - still["observed"])[still["mask"]].flatten(1).std(1)
    assert noise.median() < 0.1 < noise.max() < 0.75


def test_agents_of_some_training_scenes_are_alone(prepared):
    changes = {"batch_size": 40, "alone": 0.5}
    assert 0 < batches_of(prepared, **changes)[0]["alone"].sum() < 40
    assert "alone" not in batches_of(prepared, "validation", **changes)[0]
    assert "alone" not in batches_of(prepared)[0]


def test_jitter_of_the_future_goes_on_as_it_was_seen(prepared):
    plain = {"batch_size": 40, "shift": 0, "shift_up": 0, "stretch": 0, "unlocated": 0}
    still = batches_of(prepared, **plain)[0]
    noisy = batches_of(prepared, **plain, jitter=0.5, jitter_future=True)[0]
    sizes = [
        (noisy[name] - still[name])[still["mask"]].flatten(1).std(1)
        for name in ("observed", "future")
    ]
    assert torch.corrcoef(torch.stack(sizes))[0, 1] > 0.9


def test_swaying_scales_what_strays_from_the_line_of_the_observed_steps():
    generator = torch.Generator().manual_seed(0)
    straight = torch.arange(20.0)[:, None] * torch.tensor([0.4, -0.2]) + 3.0
    bent = straight + 0.1 * torch.randn(6, 4, 20, 2, generator=generator)
    allowed = torch.tensor([True] * 5 + [False])
    swayed = sway(bent, 7, allowed, 2.0, generator)
    assert torch.equal(swayed[5], bent[5])
    time = torch.stack([torch.ones(8), torch.arange(8.0)], dim=1)
    off = [p[:, :, :8] - time @ (torch.linalg.pinv(time) @ p[:, :, :8]) for p in (swayed, bent)]
    factor = off[0].flatten(1).norm(dim=1) / off[1].flatten(1).norm(dim=1)
    assert torch.allclose(off[0], factor[:, None, None, None] * off[1], atol=1e-5)
    assert 1 < ((factor - 1).abs() > 1e-3).sum() < 6
    assert (factor > 0.5 - 1e-3).all()
    assert (factor < 2.0 + 1e-3).all()
    even = straight.expand(2, 3, 20, 2)
    assert torch.allclose(sway(even, 7, allowed[:2], 2.0, generator), even, atol=1e-5)


def test_stretching_scales_the_ground_speed_of_each_agent_about_the_present(prepared):
    plain, faster = (batches_of(prepared, unlocated=0, stretch=s)[0] for s in (0, 0.2))
    real = plain["mask"]
    assert torch.equal(plain["observed"][:, :, -1], faster["observed"][:, :, -1])
    assert torch.equal(plain["future"][..., 2], faster["future"][..., 2])
    moves = [b["future"].diff(dim=2)[real][..., :2].norm(dim=-1) for b in (plain, faster)]
    ratio = moves[1] / moves[0]
    assert torch.allclose(ratio, ratio[:, :1].expand_as(ratio), atol=1e-3)
    assert ratio[:, 0].std() > 0.05


def test_padding_is_exactly_zero(prepared):
    batch = batches_of(prepared, batch_size=8)[0]
    assert (~batch["mask"]).any()
    for name in ("observed", "future"):
        assert (batch[name][~batch["mask"]] == 0).all()


def test_conditions_name_scenes_flights_and_the_present(prepared, run_settings):
    conditions = domain.conditions(prepared, run_settings.sampling)
    batch = conditions.batch([1, 0])
    arrays = prepared.arrays
    assert (arrays["scene_split"].values[batch["id"]] == 2).all()
    assert batch["id"][0] == batch["id"][1] + 1
    scenes = Scenes(arrays, batch["id"].numpy())
    members = [scenes.tracks_of(scenes.windows(i)).tolist() for i in range(2)]
    rows = zip(batch["track"], batch["mask"], strict=True)
    assert [track[real].tolist() for track, real in rows] == members
    first = arrays["scene_tick"].values[batch["id"]] * arrays.attrs["clock_seconds"]
    assert batch["microseconds"].tolist() == (1e6 * (first + 70)).tolist()
    assert "future" not in batch


@settings(deadline=None, max_examples=30)
@given(step=st.integers(8, 19), scene=st.integers(0, 3), shift=st.floats(-50, 50))
def test_no_future_leaks_into_a_condition(prepared, step, scene, shift):
    """Move what comes after the present of a scene: its condition must stay as it is."""
    arrays = prepared.arrays.copy(deep=True)
    before = SceneConditions(prepared.arrays, "test")
    windows = before.scenes.windows(scene)
    points = arrays["window_point"].values[windows] + step * arrays.attrs["stride_points"]
    arrays["north"].values[points] += shift
    assert same(before.batch([scene]), SceneConditions(arrays, "test").batch([scene]))


@settings(deadline=None, max_examples=20)
@given(step=st.integers(8, 19), number=st.integers(0, 9), neighbours=st.booleans())
def test_no_future_leaks_into_what_training_shows_of_the_past(prepared, step, number, neighbours):
    """Move what comes after the present of all scenes: the histories must stay as they are."""
    arrays = prepared.arrays.copy(deep=True)
    changes = {"batch_size": 4, "neighbours": neighbours, "scale": 1.5, "jitter": 0.3}
    before = batches_of(prepared, **changes)[number]
    scenes = Scenes(prepared.arrays, before["id"].numpy())
    # a point of one scene's future may be of another one's past: look at one scene alone
    first = arrays["window_point"].values[scenes.windows(0)]
    arrays["east"].values[first + step * arrays.attrs["stride_points"]] += 7.0
    moved = TrainingBatches(arrays, "train", SceneTraining(steps=1, minutes=1, **changes))
    after = moved[number]
    for name in ("id", "mask", "place"):
        assert torch.equal(before[name], after[name])
    assert torch.equal(before["observed"][0], after["observed"][0])
    assert not torch.equal(before["future"][0], after["future"][0])


@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_padding_keeps_every_agent(sizes):
    parts = [torch.ones(size, 2) for size in sizes]
    padded, mask = pad(parts)
    assert padded.shape == (len(sizes), max(sizes), 2)
    assert mask.sum(1).tolist() == sizes
    assert padded.sum() == 2 * sum(sizes)


def test_an_empty_split_is_named(prepared):
    arrays = prepared.arrays.copy(deep=True)
    arrays["scene_split"].values[:] = 0
    with pytest.raises(FlowsciError, match="no scene in the split 'test'"):
        SceneConditions(arrays, "test")
