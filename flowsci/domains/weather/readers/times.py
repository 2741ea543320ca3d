"""Times of files as whole hours since 1970 in their own calendar."""

import cftime
import numpy as np
import xarray as xr

from flowsci.domains.weather.calendars import EPOCH, date_of, days_a_year
from flowsci.errors import FlowsciError

STANDARD = ("standard", "gregorian", "proleptic_gregorian")


def hours_of_axis(time: xr.DataArray, origin: str) -> tuple[np.ndarray, str]:
    """Give the hours (time,) of a CF time axis and its calendar.

    Raises `FlowsciError`, naming `origin` and the time, where there are no times, or they aren't
    whole hours, don't ascend, come twice or are missing.
    """
    units = str(time.attrs.get("units", ""))
    calendar = str(time.attrs.get("calendar", "standard"))
    if not time.size:
        raise FlowsciError(f"{origin}: has no times. Complete the file, or take it out.")
    if " since " not in units:
        raise FlowsciError(
            f"{origin}: its time has no units such as 'hours since 1970-01-01'. Write them into "
            "the file."
        )
    stated, calendar = calendar, "standard" if calendar in STANDARD else calendar
    try:
        days_a_year(calendar)
        values = time.values.astype(np.float64)
        missing = ~np.isfinite(values)
        dates = cftime.num2date(np.where(missing, 0, values), units, calendar=stated)
        if stated != calendar:
            dates = np.array([_in_calendar(date, calendar) for date in dates])
    except (FlowsciError, ValueError, OverflowError) as error:
        raise FlowsciError(
            f"{origin}: its times ('{units}', calendar '{calendar}') cannot be read: {error} "
            "Write them as CF says."
        ) from None
    if missing.any():
        raise FlowsciError(
            f"{origin}: time number {int(missing.argmax())} (from 0) is missing. Take it out of "
            "the file."
        )
    exact = np.array(cftime.date2num(dates, EPOCH, calendar=calendar), dtype=np.float64)
    hours = exact.round().astype(np.int64)
    if (np.abs(exact - hours) > 1e-3).any():
        raise FlowsciError(
            f"{origin}: the time {dates[int(np.abs(exact - hours).argmax())]} is no whole hour. "
            "Write fields at whole hours."
        )
    steps = np.diff(hours)
    if (steps <= 0).any():
        place = int((steps <= 0).argmax()) + 1
        problem = "comes twice" if steps[place - 1] == 0 else "comes after a later one"
        raise FlowsciError(
            f"{origin}: the time {date_of(hours[place], calendar)} {problem}. Sort the file."
        )
    return hours, calendar


def _in_calendar(date: cftime.datetime, calendar: str) -> cftime.datetime:
    """Give the same date of another calendar: two count days alike from 1582 on only."""
    parts = (date.year, date.month, date.day, date.hour, date.minute, date.second)
    return cftime.datetime(*parts, date.microsecond, calendar=calendar)
