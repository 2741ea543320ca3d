import math

import numpy as np
import pytest
import torch

from flowsci.domains.molecules.equilibrium.chart import Chart, fit
from flowsci.domains.molecules.equilibrium.flow import chart_of
from flowsci.flow.torus import wound

from .made import prepared, rotation

CHAINS = "CCCO"


def positions() -> torch.Tensor:
    return torch.from_numpy(prepared(CHAINS).arrays["positions"].values).double()


def test_decoding_is_the_inverse_of_encoding():
    chart, places = chart_of(prepared(CHAINS).statistics), positions()
    states, log_volume = chart.encode(places)
    back, again, sound = chart.decode(states)
    assert sound.all()
    torch.testing.assert_close(again, log_volume)
    torch.testing.assert_close(chart.encode(back)[0], states)
    moved = places @ torch.from_numpy(rotation()) - 2
    torch.testing.assert_close(chart.encode(moved)[0], states)


def test_the_volume_is_that_of_finite_changes_of_states():
    chart = chart_of(prepared(CHAINS).statistics)
    states, log_volume = chart.encode(positions()[:3])
    internals = []
    step = 1e-7
    for sign in (1, -1):
        moved = states[:, None] + sign * step * torch.eye(states.shape[1], dtype=torch.float64)
        places, _, _ = chart.decode(moved.flatten(0, 1))
        internals.append(_internal(places, chart).unflatten(0, moved.shape[:2]))
    change = internals[0] - internals[1]
    change[..., -(len(chart.matrix.rows) - 3) :] = wound(
        change[..., -(len(chart.matrix.rows) - 3) :]
    )
    _, logarithm = torch.linalg.slogdet(change / (2 * step))
    volume = -logarithm - _log_volume(positions()[:3], chart)
    torch.testing.assert_close(volume, log_volume, atol=1e-4, rtol=0)


def _internal(places: torch.Tensor, chart: Chart) -> torch.Tensor:
    from flowsci.domains.molecules.equilibrium.coordinates import to_internal

    internal = to_internal(places, chart.matrix)
    return torch.cat([internal.lengths, internal.angles, internal.torsions], 1)


def _log_volume(places: torch.Tensor, chart: Chart) -> torch.Tensor:
    from flowsci.domains.molecules.equilibrium.coordinates import folded, to_internal

    return to_internal(folded(places, chart.matrix, chart._rotor_centres), chart.matrix).log_volume


def test_states_of_the_data_are_about_standard():
    data = prepared(CHAINS)
    chart = chart_of(data.statistics)
    train = data.arrays["split"].values == 0
    states, _ = chart.encode(positions()[train])
    angles, rest = states[:, : chart.circles], states[:, chart.circles :]
    torch.testing.assert_close(rest.T.cov(), torch.eye(rest.shape[1], dtype=torch.float64))
    for angle in angles.T:
        counts = torch.histc(angle, 4, -math.pi, math.pi) / len(angle)
        assert (counts - 0.25).abs().max() < 0.06


def test_another_handedness_and_lengths_below_zero_are_no_conformers():
    chart = chart_of(prepared(CHAINS).statistics)
    states, _ = chart.encode(positions()[:3])
    states[1, chart.circles :] *= 200
    found, _, sound = chart.decode(states)
    assert sound.tolist() == [True, False, True]
    assert found[1].isnan().all()
    assert not found[[0, 2]].isnan().any()


def test_a_torsion_that_no_one_saw_is_within_reach():
    data = prepared(CHAINS)
    matrix = chart_of(data.statistics).matrix
    statistics = fit(positions()[:50], matrix)
    marginals = np.array(statistics["marginals"])
    assert marginals.min() > 0
    assert marginals.sum(1) == pytest.approx(1)
