"""Cycles of known amplitude and phase are found, whatever the weather around them."""

from types import SimpleNamespace

import numpy as np
import pytest

from flowsci.domains.weather.diurnal import diurnal_scores, has_diurnal_cycle

LONGITUDES = np.array([0.0, 30.0, 90.0])
STARTS = np.arange(0, 240, 6)


def cycle(hour, amplitude, peak):
    """Fields (1, 2, 3) that peak at an hour of local time."""
    local = hour + LONGITUDES / 15
    return np.broadcast_to(amplitude * np.cos(2 * np.pi * (local - peak) / 24), (1, 2, 3)) + 5.0


def verification(amplitude=2.0, peak=15.0, leads=(6, 12, 18, 24), starts=STARTS):
    """Members as asked for; a truth that peaks at 14 with the amplitude 4; both in spreads of 2."""
    hours, leads = np.asarray(starts), np.asarray(leads)

    def late(case, lead):
        return hours[case] + leads[lead]

    noise = np.random.default_rng(0).normal(size=(len(hours), len(leads), 4, 1, 1, 1))
    anomalies = SimpleNamespace(
        hours=hours,
        weights=np.full((1, 2, 3), 1 / 6),
        spread=np.full((1, 1, 1), 2.0),
        grid=SimpleNamespace(longitudes=LONGITUDES),
    )
    return SimpleNamespace(
        task="forecast",
        in_box=False,
        anomalies=anomalies,
        starts=np.arange(len(hours)),
        leads=leads,
        truths=np.ones((len(hours), len(leads)), dtype=int),
        names=["t"],
        climate=lambda case, lead: cycle(late(case, lead), 1.0, 12.0),
        truth=lambda case, lead: (
            (cycle(late(case, lead), 4.0, 14.0) - cycle(late(case, lead), 1.0, 12.0)) / 2
        ),
        members=lambda case, lead: (
            (cycle(late(case, lead), amplitude, peak) - cycle(late(case, lead), 1.0, 12.0)) / 2
            + 1e-3 * noise[case, lead]
        ),
    )


def test_amplitude_and_delay_are_those_of_the_cycles():
    scores = dict(diurnal_scores(verification()))
    amplitude, delay = scores["diurnal_amplitude_t"], scores["diurnal_delay_t"]
    assert amplitude.value("model") == pytest.approx(0.5, abs=1e-3)
    assert delay.value("model") == pytest.approx(1.0, abs=1e-2)
    assert amplitude.value("climatology") == pytest.approx(0.25, abs=1e-6)
    assert delay.value("climatology") == pytest.approx(-2.0, abs=1e-6)
    assert amplitude.reference == 1
    late = dict(diurnal_scores(verification(4.0, 13.0)))
    assert late["diurnal_amplitude_t"].value("model") == pytest.approx(1.0, abs=1e-3)
    assert late["diurnal_delay_t"].value("model") == pytest.approx(-1.0, abs=1e-2)


def test_hours_that_come_more_often_count_no_more():
    """Most starts at noon: the mean over all forecasts would take noon's level for a cycle."""
    starts = np.concatenate([STARTS, 12 + 24 * np.arange(30)])
    scores = dict(diurnal_scores(verification(starts=starts, leads=(24,))))
    assert scores["diurnal_amplitude_t"].value("model") == pytest.approx(0.5, abs=1e-3)


def test_half_a_day_shows_no_cycle():
    assert has_diurnal_cycle(verification())
    assert not has_diurnal_cycle(verification(starts=np.arange(0, 240, 12), leads=(12, 24)))
    uneven = verification(starts=24 * np.arange(5), leads=(3, 6, 12, 24))
    assert not has_diurnal_cycle(uneven)


def test_starts_that_lack_an_hour_are_judged_by_the_others():
    few = verification(starts=[0, 6, 12, 18], leads=(24,))
    assert has_diurnal_cycle(few)
    amplitude = dict(diurnal_scores(few))["diurnal_amplitude_t"]
    resampled = amplitude.values["model"][[0, 1, 2, 2]].mean(0, keepdims=True)
    assert np.isfinite(amplitude.statistic(resampled)).all()
    guided = verification()
    guided.task = "event"
    assert not has_diurnal_cycle(guided)
