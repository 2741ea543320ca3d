"""The power of training states by the time of the year."""

import numpy as np
import pytest

from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.season import DAYS, SeasonalPower
from flowsci.domains.weather.spectra import spectrum_of
from tests.domains.weather.judged import make_prepared

YEAR = 365.2425 * 24


def test_power_is_that_of_the_same_season_in_any_year():
    hours = np.arange(0, 3 * YEAR, 24)
    seasons = 2 * np.pi * hours / YEAR
    power = (2 + np.cos(seasons))[:, None, None] * np.ones((1, 2, 4))
    sharpness = (2 * np.pi * DAYS / 365.25) ** -2
    found = SeasonalPower(seasons, power, "standard", sharpness)
    for day in (0, 91, 182, 273):
        # a Gaussian's mean of a cosine
        wanted = 2 + np.exp(-0.5 / sharpness) * np.cos(2 * np.pi * day * 24 / YEAR)
        np.testing.assert_allclose(found.at(day * 24), wanted, atol=0.03)


def test_a_season_that_training_lacks_has_the_power_of_the_nearest():
    found = SeasonalPower(np.array([0.0, 0.1]), np.array([[[1.0]], [[3.0]]]), "standard", 1e4)
    assert found.at(int(YEAR / 2) - 24 * 20)[0, 0] == pytest.approx(3, abs=1e-3)


def test_a_record_without_seasons_has_one_power():
    prepared = make_prepared()
    anomalies = Anomalies(prepared)
    spectrum = spectrum_of(anomalies.grid, prepared.statistics)
    found = SeasonalPower.of_training(anomalies, spectrum)
    wanted = spectrum.power(anomalies[anomalies.of_split("train")]).mean(axis=0)
    for hour in (0, 5000):
        np.testing.assert_allclose(found.at(hour), wanted, rtol=1e-5)
