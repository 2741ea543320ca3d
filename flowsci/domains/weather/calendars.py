"""Hours since 1970 in any calendar, and the season and hour that they are."""

from collections.abc import Sequence

import cftime
import numpy as np

from flowsci.errors import FlowsciError

EPOCH = "hours since 1970-01-01"
DAYS_A_YEAR = {
    "standard": 365.2425,
    "gregorian": 365.2425,
    "proleptic_gregorian": 365.2425,
    "julian": 365.25,
    "noleap": 365.0,
    "365_day": 365.0,
    "all_leap": 366.0,
    "366_day": 366.0,
    "360_day": 360.0,
}


def days_a_year(calendar: str) -> float:
    """Give the mean length of a year; raise `FlowsciError` for a calendar that isn't CF's."""
    if calendar not in DAYS_A_YEAR:
        raise FlowsciError(
            f"There is no calendar '{calendar}'; CF has: {', '.join(sorted(DAYS_A_YEAR))}."
        )
    return DAYS_A_YEAR[calendar]


def hours_of(date: str, calendar: str) -> int:
    """Give the hours of a date such as 1979-01-01 or 1979-01-01T06:00."""
    day, _, clock = date.partition("T")
    year, month, number = (int(part) for part in day.split("-"))
    hour = int(clock.split(":")[0]) if clock else 0
    try:
        when = cftime.datetime(year, month, number, hour, calendar=calendar)
    except ValueError as error:
        raise FlowsciError(
            f"The date {date} isn't one of the calendar {calendar}: {error}."
        ) from None
    return int(cftime.date2num(when, EPOCH, calendar=calendar))


def date_of(hours: int, calendar: str) -> str:
    """Say hours as a date, such as 1979-01-01T06."""
    return cftime.num2date(int(hours), EPOCH, calendar=calendar).strftime("%Y-%m-%dT%H")


def phases(hours: np.ndarray | Sequence[int], calendar: str) -> tuple[np.ndarray, np.ndarray]:
    """Give the angles of the season and of the hour (UTC) in radians."""
    hours = np.asarray(hours, dtype=np.float64)
    year = hours / (24 * days_a_year(calendar))
    return 2 * np.pi * (year % 1), 2 * np.pi * (hours / 24 % 1)
