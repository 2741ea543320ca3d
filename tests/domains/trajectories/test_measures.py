"""Measures against closed forms: Gaussians, uniform ranks, straight lines that meet."""

import tracemalloc

import numpy as np
import pytest
import torch

from flowsci.domains.trajectories import measures


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_the_most_probable_come_first_and_equal_ones_keep_their_order():
    probability = np.array([[0.2, 0.5, 0.3], [1 / 3, 1 / 3, 1 / 3]])
    order = measures.by_probability(probability)
    assert order.tolist() == [[1, 2, 0], [0, 1, 2]]
    errors = np.array([[1.0, 5, 3], [9, 8, 7]])
    assert measures.smallest(errors, order, 1).tolist() == [5, 9]
    assert measures.smallest(errors, order, 2).tolist() == [3, 8]
    assert measures.smallest(errors, order, 20).tolist() == [1, 7]


def test_a_scene_orders_its_samples_by_the_product_over_agents():
    probability = np.array([[0.6, 0.4], [0.1, 0.9], [0.5, 0.5]])
    of_scene = measures.scene_probability(probability, np.array([4, 4, 9]))
    assert np.allclose(of_scene[0], np.sqrt([0.06, 0.36]))
    assert np.allclose(of_scene[1], of_scene[0])
    assert np.allclose(of_scene[2], 0.5)


def test_the_scene_mean_stands_at_each_of_its_windows():
    values = np.array([[1.0, 4], [4, 2], [9, 7]])
    joint = measures.scene_mean(values, np.array([5, 5, 8]))
    assert joint.tolist() == [[2.5, 3], [2.5, 3], [9, 7]]


def test_shuffling_keeps_each_agents_errors_and_breaks_the_scene(random):
    """Two agents that are right together have a joint minimum of 0; apart, rarely."""
    errors = np.tile(np.arange(20.0), (2000, 1))
    mixed = measures.shuffled(errors, torch.Generator().manual_seed(0))
    assert np.array_equal(np.sort(mixed, axis=1), errors)
    scene = np.repeat(np.arange(1000), 2)
    assert measures.scene_mean(errors, scene).min(axis=1).max() == 0
    assert measures.scene_mean(mixed, scene).min(axis=1).mean() > 1


def test_a_miss_is_of_the_last_step():
    truth = np.zeros((1, 2, 2))
    samples = np.zeros((1, 2, 2, 2))
    samples[0, :, 0, 0] = 9
    samples[0, :, 1, 1] = [6, 4]
    distance = measures.distances(samples, truth)
    assert measures.missed(distance, 3.9).tolist() == [1.0]
    assert measures.missed(distance, 4.1).tolist() == [0.0]


def test_the_energy_score_of_one_sample_is_the_distance(random):
    truth, samples = random.random((4, 5, 3)), random.random((4, 1, 5, 3))
    expected = np.linalg.norm(samples[:, 0] - truth, axis=-1)
    assert np.allclose(measures.energy_score(samples, truth), expected)


@pytest.mark.parametrize(("axes", "expected"), [(2, np.sqrt(np.pi) / 2), (3, 2 / np.sqrt(np.pi))])
def test_the_energy_score_of_a_calibrated_gaussian_is_half_the_mean_distance(
    random, axes, expected
):
    """E|X - y| - E|X - X'| / 2 with X, X', y alike is E|X - X'| / 2."""
    truth = random.normal(size=(4000, 1, axes))
    samples = random.normal(size=(4000, 10, 1, axes))
    score = measures.energy_score(samples, truth).mean()
    assert score == pytest.approx(expected, rel=0.02)
    assert measures.energy_score(1.5 * samples, truth).mean() > score
    assert measures.energy_score(0.6 * samples, truth).mean() > score


def test_a_probability_weighs_samples_as_repeating_them_does(random):
    """In the energy score without the correction for pairs of one sample with itself."""
    truth, samples = random.random((3, 2, 2)), random.random((3, 2, 2, 2))
    probability = np.tile([0.25, 0.75], (3, 1))
    score = measures.energy_score(samples, truth, probability)
    away = measures.distances(samples, truth)
    between = np.linalg.norm(samples[:, 0] - samples[:, 1], axis=-1)
    pairs = 2 * 0.25 * 0.75 * between / (1 - 0.25**2 - 0.75**2)
    assert np.allclose(score, 0.25 * away[:, 0] + 0.75 * away[:, 1] - pairs / 2)
    even = measures.energy_score(samples, truth, np.full((3, 2), 0.5))
    assert np.allclose(even, measures.energy_score(samples, truth))


def test_many_samples_take_no_memory_that_grows_with_their_square(random, monkeypatch):
    monkeypatch.setattr(measures, "PAIRS_AT_ONCE", 2000)
    samples = random.normal(size=(20, 200, 3, 2)).cumsum(axis=2)
    tracemalloc.start()
    score = measures.energy_score(samples[:2], samples[:2, 0])
    measures.collisions(samples, np.zeros(20), 0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
    away = measures.distances(samples[:1], samples[:1, 0]).mean(axis=1)
    apart = np.linalg.norm(samples[0, :, None] - samples[0], axis=-1).sum(axis=(0, 1))
    assert np.allclose(score[0], away[0] - apart / (200 * 199) / 2)


def test_ranks_are_even_where_truth_and_samples_are_alike(random):
    pool = random.normal(size=(21000, 10, 1, 3))
    ranks = measures.truth_ranks(pool[:, 1:], pool[:, 0])
    shares = np.bincount(ranks.ravel(), minlength=10) / len(pool)
    assert np.allclose(shares, 0.1, atol=0.012)


def test_ranks_are_outer_where_the_samples_are_too_narrow(random):
    samples, truth = 0.3 * random.normal(size=(500, 9, 1, 3)), random.normal(size=(500, 1, 3))
    assert (measures.truth_ranks(samples, truth) == 9).mean() > 0.7


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8, 0.95, 1.0])
def test_even_ranks_are_inside_as_often_as_the_level_says(level):
    ranks = np.arange(7)[:, None]
    assert measures.inside(ranks, 7, level).mean() == pytest.approx(level)
    assert measures.reliability(ranks, 7, np.array([level]))[0, 0] == pytest.approx(level)


def test_among_strangers_scenes_keep_their_sizes_and_agents_their_errors(random):
    """Where all agree on the best sample, every regrouping finds it; alone, each finds its own."""
    scene = np.array([4, 4, 7, 9, 9, 9])
    generator = torch.Generator().manual_seed(0)
    agreed = random.random((6, 5)) + np.array([1, 1, 0, 1, 1])
    assert np.allclose(measures.among_strangers(agreed, scene, generator), agreed[:, 2])
    errors = random.random((6, 5))
    alone = measures.among_strangers(errors, np.arange(6), generator)
    assert np.allclose(alone, errors.min(axis=1))
    chosen = measures.among_strangers(errors, np.zeros(6), generator)
    assert chosen.mean() == pytest.approx(errors.mean(axis=0).min())
    assert all(value in row for value, row in zip(chosen, errors, strict=True))


def test_agents_that_cross_between_steps_collide():
    """One goes east, one west, on the same line: they meet half way, at no step."""
    east = np.stack([np.linspace(0, 10, 2), np.zeros(2)], axis=-1)
    west = east[::-1] + np.array([0, 0.1])
    far = east + np.array([0, 50])
    samples = np.stack([east, west, far])[:, None]
    hit = measures.collisions(samples, np.array([1, 1, 1]), 0.2)
    assert hit[:, 0].tolist() == [True, True, False]
    assert not measures.collisions(samples, np.array([1, 1, 1]), 0.05).any()
    assert not measures.collisions(samples, np.array([1, 2, 1]), 0.2).any()


def test_agents_meet_in_the_same_sample_only():
    samples = np.zeros((2, 2, 3, 2))
    samples[1, 0] = 5
    samples[0, 1] = 9
    assert not measures.collisions(samples, np.array([0, 0]), 1.0).any()
    samples[1, 1] = 9
    assert measures.collisions(samples, np.array([0, 0]), 1.0).tolist() == [[False, True]] * 2


def test_the_closest_approach_is_that_of_a_fine_grid(random):
    away = random.normal(size=(50, 4, 2))
    share = np.linspace(0, 1, 2001)[:, None]
    fine = [away[:, k, None] + share * (away[:, k + 1] - away[:, k])[:, None] for k in range(3)]
    expected = np.linalg.norm(np.concatenate(fine, axis=1), axis=-1).min(axis=1)
    assert np.allclose(measures.closest(away), expected, atol=2e-3)


def test_each_pair_of_a_scene_once_whatever_the_order():
    first, second = measures.pairs_of(np.array([3, 7, 3, 3, 7, 8]))
    pairs = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    assert len(first) == 4
    assert pairs == {frozenset(p) for p in [(0, 2), (0, 3), (2, 3), (1, 4)]}
