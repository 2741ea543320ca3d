"""Generated ensembles beside what came."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flowsci.domains.weather.anomalies import Anomalies
from flowsci.domains.weather.calendars import date_of
from flowsci.domains.weather.export import Generated
from flowsci.domains.weather.export.layout import ERROR, GIVEN, LEAD, MEMBER, START
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared


@dataclass(frozen=True)
class Verification:
    """Ensembles of cases and leads, read one at a time, and the number of the time of each truth.

    `starts` (case,) are numbers of times in order, `leads` (lead,) hours; `truths` (case, lead) are
    numbers of times, -1 where the split of the start has no fields for that time.
    """

    generated: Generated
    anomalies: Anomalies
    starts: np.ndarray
    leads: np.ndarray
    truths: np.ndarray

    @property
    def task(self) -> str:
        """Name what was drawn: forecast, event, downscale_2, downscale_4 or inpaint."""
        return str(self.generated.ensemble.attrs["task"])

    @property
    def is_forecast(self) -> bool:
        """Tell whether the ensembles have leads."""
        return START in self.generated.ensemble.dims

    @property
    def in_box(self) -> bool:
        """Tell whether the fields are of a periodic box, which has no days and no dates."""
        return self.anomalies.grid.kind == "periodic"

    def lead_name(self, lead: int) -> str:
        """Name a lead by its number: in hours, steps of the record in a box, or not at all."""
        hours = int(self.leads[lead])
        if self.in_box:
            return f"{hours} step{'s' * (hours > 1)}"
        return f"{hours} h" if hours else ""

    @property
    def size(self) -> int:
        """Give the number of members."""
        return self.generated.ensemble.sizes[MEMBER]

    @cached_property
    def names(self) -> list[str]:
        """Names of the channels."""
        return [channel["name"] for channel in self.anomalies.channels]

    def known(self, lead: int) -> np.ndarray:
        """Give the cases whose truth is known at a lead, by the lead's number."""
        return np.flatnonzero(self.truths[:, lead] >= 0)

    def truth(self, case: int, lead: int) -> np.ndarray:
        """Give what came (channel, latitude, longitude) as an anomaly."""
        return self.anomalies[self.truths[case, [lead]]][0]

    def members(self, case: int, lead: int) -> np.ndarray:
        """Give an ensemble (realization, channel, latitude, longitude) as anomalies.

        Raises `FlowsciError` where a member isn't finite.
        """
        place = {START: case, LEAD: lead} if self.is_forecast else {"time": case}
        fields = self.generated.ensemble[self.names].isel(place)
        values = np.stack([fields[name].values for name in self.names], axis=1)
        drawn = self._as_anomalies(values, case, int(self.leads[lead]))
        if not np.isfinite(drawn).all():
            member, channel = np.argwhere(~np.isfinite(drawn))[0][:2]
            raise FlowsciError(
                f"Member {member} of case {case} is not finite in {self.names[channel]}, "
                f"{self.leads[lead]} h ahead. Sample again with fewer sampling.task.rollout_steps, "
                "or a model trained anew."
            )
        return drawn

    def hour(self, case: int, lead: int) -> int:
        """Give the time that a case is about at a lead, in hours as the dataset counts them."""
        return int(self.anomalies.hours[self.starts[case]] + self.leads[lead])

    def climate(self, case: int, lead: int) -> np.ndarray:
        """Give the climatology (channel, latitude, longitude) of a lead, in the fields' units."""
        return self.anomalies.climate(np.array([self.hour(case, lead)]))[0]

    def given(self, case: int) -> np.ndarray:
        """Tell which values (channel, latitude, longitude) in-painting was given."""
        flags = self.generated.ensemble.isel(time=case)
        return np.stack([flags[f"{name}{GIVEN}"].values > 0 for name in self.names])

    def mean_head(self, case: int) -> tuple[np.ndarray, np.ndarray] | None:
        """Give the mean head's anomaly at the first lead, and the deviation of its error there.

        Both are (channel, latitude, longitude); none where the model has no such head.
        """
        head = self.generated.mean_head
        if head is None or f"{self.names[0]}{ERROR}" not in head:
            return None
        fields = head.isel({START if self.is_forecast else "time": case})
        mean = np.stack([fields[name].values for name in self.names])
        error = np.stack([fields[f"{name}{ERROR}"].values for name in self.names])
        anomaly = self._as_anomalies(mean[None], case, int(self.leads[0]))[0]
        deviation = error[:, :, None] / self.anomalies.spread
        return anomaly, np.broadcast_to(deviation, anomaly.shape)

    def _as_anomalies(self, values: np.ndarray, case: int, lead_hours: int) -> np.ndarray:
        hours = self.anomalies.hours[self.starts[[case]]] + lead_hours
        anomaly = (values - self.anomalies.climate(hours)) / self.anomalies.spread
        return np.where(self.anomalies.valid, anomaly, np.float32(0))


def verify(generated: Generated, prepared: Prepared) -> Verification:
    """Find what came; raise `FlowsciError` where the ensembles are none of this dataset's."""
    anomalies = Anomalies(prepared)
    ensemble = generated.ensemble
    forecast = START in ensemble.dims
    missing = [c["name"] for c in anomalies.channels if c["name"] not in ensemble]
    if missing:
        raise FlowsciError(
            f"The dataset and the samples don't share the fields {', '.join(missing)}. Sample "
            "again."
        )
    times = ensemble[START if forecast else "time"].values
    starts = anomalies.at(times)
    if (starts < 0).any():
        when = date_of(times[starts < 0][0], anomalies.states.climate.calendar)
        raise FlowsciError(
            f"The dataset has no fields at {when}, so that what was drawn there cannot be judged. "
            "The samples stand; draw them for times of a split to judge."
        )
    leads = ensemble[LEAD].values if forecast else np.zeros(1, dtype=np.int64)
    truths = anomalies.at(anomalies.hours[starts][:, None] + leads)
    same_split = anomalies.split[truths] == anomalies.split[starts][:, None]
    truths = np.where(same_split, truths, -1)
    if not (truths >= 0).any():
        raise FlowsciError(
            "Nothing is known of what came at any lead, so that nothing can be judged. The samples "
            "stand; draw them for earlier starts, or fewer sampling.task.rollout_steps, to judge."
        )
    return Verification(generated, anomalies, starts, leads.astype(np.int64), truths)
