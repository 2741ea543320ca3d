"""How a run was judged, in words and numbers that stand beside the measures."""

from typing import Any

import numpy as np

from flowsci.domains.weather import measures
from flowsci.domains.weather.calendars import date_of
from flowsci.domains.weather.climate import MOST_TIMES, has_climate
from flowsci.domains.weather.diurnal import has_diurnal_cycle
from flowsci.domains.weather.season import DAYS
from flowsci.domains.weather.settings import WeatherEvaluation
from flowsci.domains.weather.spectra import RESOLVED, Spectrum
from flowsci.domains.weather.verification import Verification
from flowsci.store.prepared import Prepared


def protocol_of(
    verification: Verification,
    prepared: Prepared,
    spectrum: Spectrum,
    blocks: np.ndarray,
    settings: WeatherEvaluation,
) -> dict[str, Any]:
    """Say what was judged, by which estimators, and what every number means."""
    said = _what(verification, prepared)
    if verification.task == "event":
        said |= _of_events()
    else:
        said |= _errors(verification) | _reliability(settings) | _spectra(spectrum)
        said |= _climate(verification) | _diurnal(verification)
        said |= _of_forecasts(settings) if verification.is_forecast else _of_tasks(verification)
    return said | {
        "interval": f"{settings.confidence:.0%} by bootstrap over {len(np.unique(blocks))} "
        f"periods of {settings.block_days:g} days, because neighbouring starts see the same "
        f"weather; {settings.bootstrap} resamples; of quantile_error, climate_wasserstein and "
        "the spectra shifted to have its median at the measure, because resampling adds to a "
        "distance"
    }


def _what(verification: Verification, prepared: Prepared) -> dict[str, Any]:
    hours, calendar = verification.anomalies.hours, prepared.arrays["time"].attrs["calendar"]
    missing = (verification.truths < 0).sum(axis=0)
    said = {
        "task": verification.task,
        "simulation": prepared.arrays.attrs["simulation"] or "no",
        "starts": len(verification.starts),
        "first start": date_of(hours[verification.starts[0]], calendar),
        "last start": date_of(hours[verification.starts[-1]], calendar),
        "members": verification.size,
        "leads in hours": verification.leads.tolist(),
        "fields": ", ".join(verification.names),
        "truth": "the dataset's own fields, in the split of the start",
    }
    if missing.any():
        said["starts without a truth, by lead"] = {
            f"{lead} h": int(count)
            for lead, count in zip(verification.leads, missing, strict=True)
            if count
        }
    return said


def _errors(verification: Verification) -> dict[str, str]:
    return {
        "anomaly spread": "standard deviation, by area and time, of the training split's anomalies "
        "from their climatology; measures in this unit are means over fields that are each divided "
        "by it, those of a field are in its own unit",
        "mean": "over starts and cells by exact area; roots come last"
        + (", cells that were given are left out" if verification.task == "inpaint" else ""),
        "rmse_mean": "error of the ensemble's mean",
        "crps_fair": "fair CRPS (Ferro, 2014; package scores), which doesn't depend on the number "
        "of members. Of baselines: exact CRPS of a Gaussian around them, with the standard "
        "deviation that their error has in each cell of the validation split, or of the training "
        "split where that has fewer than ten pairs of times",
        "energy_score": "of whole states, unbiased over pairs of members; distances are roots of "
        "the mean over fields and area of the squared difference in spreads; of baselines without "
        "a Gaussian",
        "dressed_mean": "the run's own mean head, and a Gaussian around it with the standard "
        "deviation of its error on validation, by field and row",
    }


def _reliability(settings: WeatherEvaluation) -> dict[str, str]:
    return {
        "spread_skill": "root of the mean unbiased variance times (M + 1) / M, over the error of "
        "the mean of M members; mean over fields of this ratio",
        "rank_ends": "share of the two outermost ranks of the rank histogram, in that of a flat "
        "one",
        "brier": "fair Brier score of the event that a cell's value lies above the "
        f"{settings.exceedance:.0%} quantile of its training anomalies; of baselines from their "
        "Gaussian",
        "quantile_error": "mean over fields and the levels 0.001 to 0.999 of the distance between "
        "quantiles of members and of the truth; values are binned in steps of "
        f"{2 * measures.EDGE / measures.BINS:g} spreads up to {measures.EDGE:g}",
        "tail_index": "Hill's estimate from the largest 0.5 % of magnitudes, mean over fields; the "
        "reference is that of the truth",
    }


def _spectra(spectrum: Spectrum) -> dict[str, str]:
    return {
        "member_spectrum": "largest departure from 1, over fields and bands of about four "
        f"wavenumbers up to {RESOLVED:.0%} of the last, of the power of members over the truth's; "
        f"wavenumber: {spectrum.label}; power of anomalies, of winds times the cosine of latitude "
        "on a sphere. Beside it the mean power of the training states around the same time of the "
        f"year (weights of {DAYS:g} days' deviation; all alike in a record without seasons)",
        "residual_spectrum": "the same of members and truth around the ensemble's mean; members "
        "times (M + 1) / (M - 1), because they spread less around their own mean",
        "divergence": "root mean square divergence of the members' winds, as anomalies; the "
        "reference is the truth's",
        "kinetic_energy": "mean over members and starts of half the squared wind, anomaly and "
        "climatology together, over the truth's",
        "effective_resolution": "last wavenumber up to which power is at least half of the "
        "truth's, mean over fields",
    }


def _diurnal(verification: Verification) -> dict[str, str]:
    if not has_diurnal_cycle(verification):
        return {}
    return {
        "diurnal_amplitude and diurnal_delay": "of the first harmonic of the day by local mean "
        "solar time, of the ensemble's mean over all leads and the area, hours of the day with "
        "equal weights; amplitude over the truth's, and how much later the cycle peaks than the "
        "truth's; climatology: of the season and hour, from the training split",
    }


def _climate(verification: Verification) -> dict[str, str]:
    if not has_climate(verification):
        return {}
    return {
        "climate_wasserstein": "first Wasserstein distance between the values of members in the "
        "last third of the leads and those of the starts' split, mean over fields; beside it that "
        f"of the training split; at most {MOST_TIMES} times of each",
        "climate_spread": "root mean square anomaly of those members over that of the split, mean "
        "over fields",
        "climate_spectrum": "largest departure from 1, over fields and bands, of the power of "
        "those members over the split's",
    }


def _of_forecasts(settings: WeatherEvaluation) -> dict[str, str]:
    return {
        "persistence": "the last fields stay as they are",
        "damped_persistence": "the last anomaly times a factor for each field, cell and lead, by "
        "least squares on the training split",
        "climatology": "mean of the season and hour, from the training split",
        "eof_ridge": f"ridge regression between {settings.functions} empirical orthogonal "
        "functions of all fields together, from the two states that the model sees; functions and "
        "coefficients of the training split, penalty by validation",
    }


def _of_events() -> dict[str, str]:
    return {
        "event_probability": "mean over starts of the mean importance weight of the members that "
        "reach the threshold; the reference is how often it came, the baseline how often the "
        "training split has it at any time of the year",
        "event_brier": "mean squared difference of that probability from 0 or 1, what came",
        "event_standard_error": "of the probability of a start, from its members' weights, mean "
        "over starts of which a member reaches the threshold",
        "event_effective_members": "squared sum over sum of squares of the weights that reach the "
        "threshold (Kish, 1965)",
        "event_quantity": "mean of the guided members; the reference is the observation",
    }


def _of_tasks(verification: Verification) -> dict[str, str]:
    said = {"climatology": "mean of the season and hour, from the training split"}
    if verification.task == "inpaint":
        return said | {
            "crps_fair_near": "the same over cells next to a given one",
            "given_error": "largest departure of any member from a given value, mean over cases",
        }
    return said | {
        "bilinear": "block means of the anomaly, interpolated bilinearly between the centres of "
        "the blocks: what the model is given; bilinear_absolute_error is its plain absolute error"
    }
