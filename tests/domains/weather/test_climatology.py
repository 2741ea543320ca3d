import numpy as np
import pytest

from flowsci.domains.weather import climatology
from flowsci.domains.weather.calendars import date_of, hours_of, phases
from flowsci.domains.weather.prepare import assemble
from flowsci.errors import FlowsciError
from tests.domains.weather.sets import SETTINGS, raw_fields, season


def test_the_wave_of_the_year_is_found_exactly_where_there_is_no_noise():
    raw, mean, wave = raw_fields(noise=0.0)
    raw.fields[::2] += 0.5
    raw.fields[1::2] -= 0.5
    arrays = assemble(raw, SETTINGS).arrays
    assert arrays["climatology"].attrs == {"annual_waves": 2, "diurnal_waves": 0}
    late = raw.hours[-20:]
    expected = mean + wave * np.cos(season(late))[:, None, None, None]
    np.testing.assert_allclose(climatology.evaluate(arrays, late), expected, atol=2e-2)


def test_a_short_hourly_set_has_the_cycle_of_the_day_and_none_of_the_year():
    hours = np.arange(24 * 10)
    waves = climatology.waves_of(hours, 1, "standard")
    assert waves == (0, 2)
    design = climatology.terms(hours, *waves, "standard")
    signal = 280 + 3 * np.cos(2 * np.pi * (hours - 15) / 24)
    fields = np.repeat(signal[:, None, None, None], 4, axis=3).astype(np.float32)
    found = climatology.fit(fields, np.arange(len(hours)), design)
    assert found[0, 0] == pytest.approx(280, abs=1e-4)
    assert np.hypot(found[0, 1], found[0, 2]) == pytest.approx(3, abs=1e-4)
    assert found[0, 3:] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(
    ("step", "waves"), [(1, 2), (6, 1), (12, 0), (24, 0), (8, 1), (36, 0), (5, 0)]
)
def test_no_wave_of_the_day_that_the_step_cannot_resolve(step, waves):
    hours = np.arange(0, 24 * 800, step)
    assert climatology.waves_of(hours, step, "standard") == (2, waves)
    design = climatology.terms(hours, 2, waves, "standard")
    assert np.linalg.cond(design.T @ design) < 100


@pytest.mark.parametrize("calendar", ["standard", "noleap", "360_day", "julian", "all_leap"])
def test_the_season_comes_back_each_year_in_every_calendar(calendar):
    days = [hours_of(f"{year}-07-01", calendar) for year in (1990, 2005)]
    first, later = phases(days, calendar)[0]
    assert abs(first - later) < 2 * np.pi / 365
    assert date_of(days[0] + 6, calendar) == "1990-07-01T06"


def test_a_date_that_is_none_is_named():
    with pytest.raises(FlowsciError, match="1990-02-30"):
        hours_of("1990-02-30", "standard")
    assert hours_of("1990-02-30T12", "360_day") == (20 * 360 + 59) * 24 + 12
    with pytest.raises(FlowsciError, match="no calendar 'moon'"):
        phases([0], "moon")


@pytest.mark.parametrize(("times", "waves"), [(4, 0), (12, 1), (15, 2), (24, 2)])
def test_no_wave_of_the_day_that_few_times_cannot_tell(times, waves):
    assert climatology.waves_of(np.arange(times), 1, "standard") == (0, waves)


def test_hours_of_the_day_that_never_come_tell_no_wave():
    hours = np.concatenate([np.arange(3) + 24 * day for day in range(60)])
    assert climatology.waves_of(hours, 1, "standard") == (0, 1)


@pytest.mark.parametrize(
    ("dates", "waves"),
    [
        (["07-01"], 0),
        (["07-01", "07-02", "07-03"], 0),
        (["01-15", "07-15"], 1),
        (["01-15", "04-15", "07-15", "10-15"], 2),
    ],
)
@pytest.mark.parametrize("calendar", ["standard", "noleap"])
def test_no_wave_of_the_year_that_few_dates_cannot_tell(dates, waves, calendar):
    hours = [hours_of(f"{year}-{date}", calendar) for year in range(1950, 2010) for date in dates]
    found = climatology.waves_of(np.array(hours), 24, calendar)
    if calendar == "standard":
        # leap years move a date to and fro
        assert found == (waves, 0)
    assert found[0] <= waves
    design = climatology.terms(hours, *found, calendar)
    signal = 280 + np.random.default_rng(0).normal(size=(len(hours), 1, 1, 1))
    fitted = climatology.fit(signal.astype("f4"), np.arange(len(hours)), design)
    assert np.abs(design @ fitted[0, :, 0, 0] - 280).max() < 1
