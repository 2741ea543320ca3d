"""Cases as tensors: batches to train on, and the conditions that samples are drawn for.

Fields are anomalies from the climatology in units of their spread. Tensors are float32 and begin
with the batch; C channels on a grid of rows and columns:

- `id` int64, the number of the start in the record; `reference_time` int64, its hours since 1970;
- `previous` (2, C, rows, columns): the states one lead before the start and at it, with
  `has_previous` 1; zeros and 0 for tasks that look at one time only;
- `target` (C, rows, columns), in training batches alone;
- `climatology` (C, rows, columns) at the target's time, from the mean of all fields, in units of
  the anomaly's spread;
- `static` (6, rows, columns): orography in km, land, sine and cosine of latitude and longitude;
- `times` (5): sine and cosine of the target's season and hour, lead in days; `lead_hours`;
- `valid` (C, rows, columns): cells that have a value;
- `observed`, `observed_mask` (C, rows, columns): what is known of the target to in-paint;
- `coarse` (C, rows, columns): block means of the target, interpolated back, to downscale, with
  `coarse_factor`, the cells of a block along a side, 0 where there is none;
- of conditions, `future_climatology` (steps, C, rows, columns) and `future_times` (steps, 5) at
  every lead of a rollout, and `start_climatology` (C, rows, columns) at the start.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from flowsci.domains.contract import Batch
from flowsci.domains.weather.calendars import phases
from flowsci.domains.weather.cases import at, find_cases
from flowsci.domains.weather.climatology import Climatology
from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.masks import random_mask, task_mask
from flowsci.domains.weather.record import SPLITS, Fields
from flowsci.domains.weather.settings import (
    DownscaleTask,
    EventTask,
    ForecastTask,
    InpaintTask,
    WeatherSampling,
    WeatherTraining,
)
from flowsci.errors import FlowsciError
from flowsci.flow import sample_generators
from flowsci.store.prepared import Prepared

TASKS = ("forecast", "downscale", "inpaint")
FACTORS = (2, 4)
METRES_A_KM = 1000.0


class States:
    """States of a record by their numbers, as anomalies in units of their spread."""

    def __init__(self, prepared: Prepared) -> None:
        arrays, statistics = prepared.arrays, prepared.statistics
        self.fields = Fields.of(arrays)
        self.hours = arrays["time"].values
        self.split = arrays["split"].values
        self.grid = Grid.of(statistics)
        self.climate = Climatology(arrays)
        shape = (-1, 1, 1)
        self.mean = np.array(statistics["anomaly_mean"], dtype=np.float32).reshape(shape)
        self.spread = np.array(statistics["anomaly_spread"], dtype=np.float32).reshape(shape)
        self.valid = torch.from_numpy(arrays["valid"].values)
        self.static = torch.from_numpy(_static(arrays))
        self.step_hours = int(statistics["step_hours"])

    def anomalies(self, numbers: np.ndarray) -> Tensor:
        """Give the states (n, C, rows, columns) with these numbers."""
        climate = self.climate(self.hours[numbers])
        return torch.from_numpy((self.fields[numbers] - climate) / self.spread)

    def climatology(self, hours: np.ndarray) -> Tensor:
        """Give the climatology (n, C, rows, columns) at hours (n,), as batches hold it."""
        return torch.from_numpy((self.climate(hours) - self.mean) / self.spread)

    def times(self, hours: np.ndarray, lead_hours: np.ndarray) -> Tensor:
        """Give season, hour and lead (n, 5) at hours (n,)."""
        season, hour = phases(hours, self.climate.calendar)
        # where the record shows no cycle of it, a date only tells cases apart that are then learnt
        season = season if self.climate.annual else np.zeros_like(season)
        hour = hour if self.climate.diurnal else np.zeros_like(hour)
        lead = np.broadcast_to(lead_hours, season.shape) / 24
        columns = [np.sin(season), np.cos(season), np.sin(hour), np.cos(hour), lead]
        return torch.from_numpy(np.stack(columns, axis=-1).astype(np.float32))

    def batch(self, numbers: np.ndarray, lead_hours: np.ndarray, known: np.ndarray) -> Batch:
        """Give all but the target and what is known of it, for starts by their numbers (n,).

        `known` (n,) tells where the previous states are shown.
        """
        hours = self.hours[numbers]
        batch = dict(self.blank(hours, lead_hours))
        rows = np.flatnonzero(known)
        if len(rows):
            before = at(self.hours, hours[rows] - lead_hours[rows])
            both = self.anomalies(np.concatenate([before, numbers[rows]]))
            batch["previous"][torch.from_numpy(rows)] = torch.stack(both.split(len(rows)), dim=1)
        batch["has_previous"] = torch.from_numpy(known.astype(np.float32))
        return batch | {"id": torch.from_numpy(numbers)}

    def blank(self, hours: np.ndarray, lead_hours: np.ndarray) -> Batch:
        """Give what is known of any time, at hours (n,): no states, and nothing of the target."""
        count, shape = len(hours), (len(hours), *self.fields.shape[1:])
        return {
            "reference_time": torch.from_numpy(hours),
            "previous": torch.zeros(count, 2, *shape[1:]),
            "has_previous": torch.zeros(count),
            "climatology": self.climatology(hours + lead_hours),
            "static": self.static.expand(count, *self.static.shape),
            "times": self.times(hours + lead_hours, lead_hours),
            "lead_hours": torch.from_numpy(lead_hours.astype(np.float32)),
            "valid": self.valid.float().expand(shape),
            "observed": torch.zeros(shape),
            "observed_mask": torch.zeros(shape),
            "coarse": torch.zeros(shape),
            "coarse_factor": torch.zeros(count),
        }

    def coarse(self, target: Tensor, factor: int) -> Tensor:
        """Give block means of states (..., C, rows, columns), interpolated back."""
        return self.grid.refine(self.block_means(target, factor), factor)

    def block_means(self, fields: Tensor, factor: int) -> Tensor:
        """Give means (..., C, rows, columns) over the cells of blocks that have a value."""
        valid = None if bool(self.valid.all()) else self.valid
        return self.grid.coarsen(fields, factor, valid)


class TrainingBatches:
    """Batches of cases by number, each case with a task drawn by the tasks' weights.

    Validation cases come in a fixed order, each with the same task in every pass.
    """

    def __init__(self, prepared: Prepared, split: str, settings: WeatherTraining) -> None:
        self.states = States(prepared)
        self.settings = settings
        self.training = split == "train"
        weights = [getattr(settings.tasks, task) for task in TASKS]
        self.weights = torch.tensor(weights, dtype=torch.float64)
        self.starts, self.targets, self.leads = self._cases(SPLITS.index(split))

    def _cases(self, split: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        hours, found = self.states.hours, []
        for lead in self.settings.lead_hours:
            cases = find_cases(hours, self.states.split, split, lead)
            if not len(cases):
                raise FlowsciError(
                    f"training.lead_hours: the split '{SPLITS[split]}' has no three states "
                    f"{lead} h apart; the dataset has one every {self.states.step_hours} h."
                )
            found.append((cases.start, cases.after, np.full(len(cases), lead)))
        starts, targets, leads = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return starts, targets, leads

    def __len__(self) -> int:
        return -(-len(self.starts) // self.settings.batch_size)

    def __getitem__(self, index: int) -> Batch:
        size, seed = self.settings.batch_size, self.settings.seed
        number_of_pass, place = divmod(index, len(self))
        order, variation = sample_generators(seed, [2 * number_of_pass, 2 * index + 1])
        if self.training:
            chosen = torch.randperm(len(self.starts), generator=order)
        else:
            chosen = torch.arange(len(self.starts))
            (variation,) = sample_generators(seed, [2 * place + 1])
        rows = chosen[place * size : (place + 1) * size].numpy()
        task = torch.multinomial(self.weights, len(rows), True, generator=variation).numpy()
        return self.batch(rows, task, variation)

    def batch(self, rows: np.ndarray, task: np.ndarray, generator: torch.Generator) -> Batch:
        """Give the cases with the numbers `rows`, each with a task (an index into `TASKS`)."""
        forecast = task == TASKS.index("forecast")
        starts = np.where(forecast, self.starts[rows], self.targets[rows])
        leads = np.where(forecast, self.leads[rows], 0)
        batch = dict(self.states.batch(starts, leads, forecast))
        target = self.states.anomalies(self.targets[rows])
        for row in np.flatnonzero(task == TASKS.index("downscale")):
            factor = FACTORS[int(torch.randint(len(FACTORS), (1,), generator=generator))]
            batch["coarse"][row] = self.states.coarse(target[row], factor)
            batch["coarse_factor"][row] = factor
        for row in np.flatnonzero(task == TASKS.index("inpaint")):
            mask = random_mask(self.states.grid, generator) & self.states.valid
            batch["observed_mask"][row] = mask.float()
            batch["observed"][row] = target[row] * mask
        return batch | {"target": target}


class WeatherConditions:
    """What samples are drawn for: start times of a split, evenly spaced, and the task.

    Forecasts start where the state one lead before exists in the split; if there are such, only
    where all truths up to the last lead do too. The other tasks take place at any time of the
    split, and see of it what the task says.
    """

    def __init__(self, prepared: Prepared, settings: WeatherSampling) -> None:
        self.states = States(prepared)
        self.task = settings.task
        self.leads = leads_of(settings.task)
        candidates = self._candidates(SPLITS.index(settings.split), settings.split)
        count = min(settings.starts or len(candidates), len(candidates))
        self.starts = candidates[np.arange(count) * len(candidates) // count]
        self.mask = None
        if isinstance(self.task, InpaintTask):
            self.mask = task_mask(self.states.grid, self.task.mask, self.states.valid)

    def _candidates(self, split: int, name: str) -> np.ndarray:
        hours, splits = self.states.hours, self.states.split
        inside = np.flatnonzero(splits == split)
        if isinstance(self.task, DownscaleTask | InpaintTask):
            return inside
        before = at(hours, hours[inside] - self.task.lead_hours)
        starts = inside[(before >= 0) & (splits[before] == split)]
        if not len(starts):
            raise FlowsciError(
                f"sampling.task.lead_hours: the split '{name}' has no two states "
                f"{self.task.lead_hours} h apart; the dataset has one every "
                f"{self.states.step_hours} h."
            )
        after = at(hours, hours[starts][:, None] + self.leads)
        judged = ((after >= 0) & (splits[after] == split)).all(1)
        return starts[judged] if judged.any() else starts

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the conditions with these indices as one batch."""
        starts = self.starts[list(indices)]
        first = np.full(len(starts), self.leads[0])
        forecast = isinstance(self.task, ForecastTask | EventTask)
        batch = dict(self.states.batch(starts, first, np.full(len(starts), forecast)))
        return batch | self._future(starts) | self._known(starts)

    def _future(self, starts: np.ndarray) -> Mapping[str, Tensor]:
        hours = self.states.hours[starts][:, None] + self.leads
        shape = hours.shape
        climate = self.states.climatology(hours.reshape(-1))
        # each step of a rollout has the lead of one step
        times = self.states.times(hours.reshape(-1), np.full(hours.size, self.leads[0]))
        return {
            "future_climatology": climate.unflatten(0, shape),
            "future_times": times.unflatten(0, shape),
            "start_climatology": self.states.climatology(self.states.hours[starts]),
        }

    def _known(self, starts: np.ndarray) -> Mapping[str, Tensor]:
        if isinstance(self.task, ForecastTask | EventTask):
            return {}
        target = self.states.anomalies(starts)
        if isinstance(self.task, DownscaleTask):
            return {
                "coarse": self.states.coarse(target, self.task.factor),
                "coarse_factor": torch.full((len(starts),), float(self.task.factor)),
            }
        mask = self.mask.float().expand(target.shape)
        return {"observed": target * mask, "observed_mask": mask}


def leads_of(task: ForecastTask | DownscaleTask | InpaintTask | EventTask) -> np.ndarray:
    """Give the leads (steps,) of a task in hours; those that look at one time have the lead 0."""
    if isinstance(task, ForecastTask | EventTask):
        return task.lead_hours * np.arange(1, task.rollout_steps + 1)
    return np.zeros(1, dtype=np.int64)


def _static(arrays: xr.Dataset) -> np.ndarray:
    latitude, longitude = np.meshgrid(
        np.radians(arrays["latitude"].values),
        np.radians(arrays["longitude"].values),
        indexing="ij",
    )
    waves = [f(angle) for angle in (latitude, longitude) for f in (np.sin, np.cos)]
    height = arrays["orography"].values / METRES_A_KM
    return np.stack([height, arrays["land"].values, *waves]).astype(np.float32)
