"""Conditions from a user's own file: block means to downscale, or what is observed to in-paint."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from flowsci.domains.contract import Batch
from flowsci.domains.weather.batches import States
from flowsci.domains.weather.calendars import date_of
from flowsci.domains.weather.data_settings import StoreFields, VariableSettings
from flowsci.domains.weather.grids import TOLERANCE_DEGREES, Grid
from flowsci.domains.weather.raw import RawFields, impossible
from flowsci.domains.weather.readers.store import read_store
from flowsci.domains.weather.settings import DownscaleTask, WeatherSampling
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared


class GivenConditions:
    """The times of the file that `sampling.task.given` names; the truth is not known there.

    Its variables are named as the dataset's channels, in their units. To downscale, their grid is
    that of the blocks' middles; to in-paint, the dataset's, and what is missing is to be drawn.
    """

    def __init__(self, prepared: Prepared, settings: WeatherSampling) -> None:
        self.states, self.task = States(prepared), settings.task
        channels = prepared.statistics["channels"]
        self.origin, self.channels = settings.task.given, [c["name"] for c in channels]
        raw = read_store([self.origin], _fields(channels), None)
        if raw.calendar != self.states.climate.calendar:
            raise FlowsciError(
                f"{self.origin}: has the calendar {raw.calendar}, the dataset "
                f"{self.states.climate.calendar}. Write it in the dataset's."
            )
        self._check_grid(raw.grid)
        self._check_values(raw)
        count = min(settings.starts or len(raw.hours), len(raw.hours))
        chosen = np.arange(count) * len(raw.hours) // count
        self.hours, self.fields = raw.hours[chosen], np.asarray(raw.fields)[chosen]

    def __len__(self) -> int:
        return len(self.hours)

    def batch(self, indices: Sequence[int]) -> Batch:
        """Give the conditions with these indices as one batch."""
        hours = self.hours[list(indices)]
        given = torch.from_numpy(self.fields[list(indices)])
        batch = dict(self.states.blank(hours, np.zeros_like(hours)))
        batch["id"] = torch.tensor(list(indices))
        climate = torch.from_numpy(self.states.climate(hours))
        spread = torch.from_numpy(self.states.spread)
        if isinstance(self.task, DownscaleTask):
            usual = self.states.block_means(climate, self.task.factor)
            means = (given - usual) / spread
            factor = torch.full((len(hours),), float(self.task.factor))
            coarse = self.states.grid.refine(means, self.task.factor)
            return batch | {"coarse": coarse, "coarse_factor": factor}
        known = ~given.isnan()
        observed = torch.where(known, (given - climate) / spread, 0.0)
        return batch | {"observed": observed, "observed_mask": known.float()}

    def _check_grid(self, grid: Grid) -> None:
        own = self.states.grid
        if not isinstance(self.task, DownscaleTask):
            if not grid.is_same(own, TOLERANCE_DEGREES):
                raise FlowsciError(
                    f"{self.origin}: is on a grid {grid.say()}, the dataset on {own.say()}. Put "
                    "each observation into the cell that is nearest."
                )
            return
        factor = self.task.factor
        axes = ((grid.latitudes, own.latitudes), (grid.longitudes, own.longitudes))
        if not all(_are_blocks(*axis, factor) for axis in axes):
            raise FlowsciError(
                f"{self.origin}: is on a grid {grid.say()}; needed are the middles of blocks of "
                f"{factor} x {factor} cells of the dataset's {own.say()}. Average the fields over "
                "these blocks by area."
            )

    def _check_values(self, raw: RawFields) -> None:
        fields = np.asarray(raw.fields)
        for problem, wrong, mend in (*impossible(fields), *self._gaps(np.isnan(fields))):
            if wrong.any():
                time, channel = np.argwhere(wrong)[0]
                raise FlowsciError(
                    f"{self.origin}: {self.channels[channel]} {problem} at "
                    f"{date_of(raw.hours[time], raw.calendar)}. {mend}, or leave the time out."
                )

    def _gaps(self, missing: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
        """Tell what is missing (time, channel, ...) and may not be, or is there and may not be."""
        if isinstance(self.task, DownscaleTask):
            valid = self.states.block_means(self.states.valid.float(), self.task.factor) > 0
            lacking = (missing & valid.numpy()).any((2, 3))
            yield "lacks the mean of a block", lacking, "Complete the file"
            return
        nothing = missing.all((1, 2, 3))[:, None] & missing.all((2, 3))
        yield "gives nothing, as all others do,", nothing, "Complete the file"
        beyond = (~missing & ~self.states.valid.numpy()).any((2, 3))
        yield "has a value where the dataset never has one", beyond, "Take it out"


def _fields(channels: Sequence[dict]) -> StoreFields:
    """Say what the file must hold: the dataset's channels by their names."""
    names = [channel["name"] for channel in channels]
    return StoreFields(
        variables=[
            VariableSettings(
                name=channel["name"],
                source_name=channel["name"],
                units=channel["units"],
                vector=channel["vector"],
                partner=None if channel["partner"] is None else names[channel["partner"]],
            )
            for channel in channels
        ]
    )


def _are_blocks(middles: np.ndarray, cells: np.ndarray, factor: int) -> bool:
    """Tell whether each middle lies within its block of cells."""
    blocks = [cells[first : first + factor] for first in range(0, len(cells), factor)]
    return len(middles) == len(blocks) and all(
        block[0] - TOLERANCE_DEGREES <= middle <= block[-1] + TOLERANCE_DEGREES
        for middle, block in zip(middles, blocks, strict=True)
    )
