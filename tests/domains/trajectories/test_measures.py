import numpy as np
import pytest

from flowsci.domains.trajectories import measures


@pytest.fixture
def random():
    return np.random.default_rng(0)


def test_minima_are_taken_apart():
    truth = np.zeros((1, 2, 3))
    samples = np.zeros((1, 2, 2, 3))
    samples[0, 0, :, 0] = [1, 5]
    samples[0, 1, :, 1] = [6, 4]
    distance = measures.distances(samples, truth)
    assert measures.min_ade(distance) == pytest.approx([3.0])
    assert measures.min_fde(distance) == pytest.approx([4.0])
    assert measures.missed(distance, 3.9).tolist() == [1.0]
    assert measures.missed(distance, 4.1).tolist() == [0.0]


def test_the_joint_minimum_takes_one_sample_a_scene():
    errors = np.array([[1.0, 4], [4, 2], [9, 7]])
    joint = measures.joint_min(errors, np.array([5, 5, 8]))
    assert joint.tolist() == [2.5, 2.5, 7.0]


def test_joint_is_never_below_apart_and_equals_it_for_one_agent(random):
    errors = random.random((30, 8))
    scene = np.repeat(np.arange(10), 3)
    assert measures.joint_min(errors, scene).sum() > errors.min(axis=1).sum()
    assert np.allclose(measures.joint_min(errors, np.arange(30)), errors.min(axis=1))


def test_the_energy_score_of_one_sample_is_the_distance(random):
    truth, samples = random.random((4, 5, 3)), random.random((4, 1, 5, 3))
    expected = np.linalg.norm(samples[:, 0] - truth, axis=-1).mean(axis=-1)
    assert np.allclose(measures.energy_score(samples, truth), expected)


def test_the_energy_score_of_a_calibrated_gaussian_is_half_the_mean_distance(random):
    """E|X - y| - E|X - X'| / 2 with X, X', y alike is E|X - X'| / 2 = 2 / sqrt(pi) in 3-D."""
    truth, samples = random.normal(size=(4000, 1, 3)), random.normal(size=(4000, 10, 1, 3))
    score = measures.energy_score(samples, truth).mean()
    assert score == pytest.approx(2 / np.sqrt(np.pi), rel=0.02)
    assert measures.energy_score(1.5 * samples, truth).mean() > score
    assert measures.energy_score(0.6 * samples, truth).mean() > score


def test_ranks_are_even_where_truth_and_samples_are_alike(random):
    pool = random.normal(size=(21000, 10, 1, 3))
    ranks = measures.truth_ranks(pool[:, 1:], pool[:, 0])
    shares = np.bincount(ranks.ravel(), minlength=10) / len(pool)
    assert np.allclose(shares, 0.1, atol=0.012)


def test_ranks_are_outer_where_the_samples_are_too_narrow(random):
    samples, truth = 0.3 * random.normal(size=(500, 9, 1, 3)), random.normal(size=(500, 1, 3))
    assert (measures.truth_ranks(samples, truth) == 9).mean() > 0.7
