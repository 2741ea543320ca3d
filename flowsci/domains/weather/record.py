"""The record of a prepared dataset of fields: what each array holds, and how fields are opened.

- `fields` (time, channel, latitude, longitude) float32 in each channel's own units, raw chunks of
  times on disk; rows from south to north, columns eastwards;
- `time` (time,) int64 hours since 1970-01-01 00 in the calendar of `attrs["calendar"]`, strictly
  ascending, with gaps; `split` (time,): index into `SPLITS`, -1 for times in no split;
- `latitude`, `longitude` in degrees; `area` (latitude, longitude), weights that sum to 1;
- `orography` in m, `land` from 0 to 1 (latitude, longitude), 0 where `attrs["surface"]` says that
  they aren't known; `valid` (channel, latitude, longitude): cells that have a value. The others,
  such as land in a field of the sea, hold the channel's climatology everywhere and weigh nothing;
- `climatology` (channel, term, latitude, longitude): see `climatology`;
- attributes: `grid`, a kind of `grids.Grid`; `step_hours`; `simulation`, empty where the fields
  are observed or analysed, otherwise what computed them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from flowsci.errors import FlowsciError

SPLITS = ("train", "validation", "test")
CHUNK_BYTES = 1 << 26


@dataclass(frozen=True)
class Channel:
    """One field of a dataset; `partner` is the channel of a wind's other part.

    A level is a pressure in hPa or a sigma, its pressure over that at the surface; then a channel
    of the record is the `surface_air_pressure`.
    """

    name: str
    standard_name: str
    long_name: str
    units: str
    level_hpa: float | None = None
    vector: str | None = None
    partner: str | None = None
    level_sigma: float | None = None


def describe_channels(channels: Sequence[Channel]) -> list[dict[str, Any]]:
    """Give channels as plain values for the statistics; `partner` is then an index."""
    names = [channel.name for channel in channels]
    return [
        asdict(channel)
        | {"partner": None if channel.partner is None else names.index(channel.partner)}
        for channel in channels
    ]


class Fields:
    """Fields (time, channel, latitude, longitude) that are read where they are indexed.

    An integer, a slice or an array of integers along time gives float32 arrays; chunks on disk are
    mapped into memory, so that many processes share one copy.
    """

    def __init__(self, parts: Sequence[np.ndarray], shape: tuple[int, ...]) -> None:
        self.parts = parts
        self.shape = shape
        self.times_a_part = len(parts[0])

    @classmethod
    def of(cls, arrays: xr.Dataset) -> "Fields":
        """Open the fields of a record, from disk where it was opened from there."""
        variable = arrays["fields"]
        chunks, source = variable.encoding.get("chunks"), arrays.encoding.get("source")
        if source is None or chunks is None or tuple(chunks[1:]) != variable.shape[1:]:
            return cls([np.asarray(variable.values, dtype=np.float32)], variable.shape)
        folder = Path(source) / "fields" / "c"
        paths = [
            folder / str(number) / "0" / "0" / "0"
            for number in range(-(-variable.shape[0] // chunks[0]))
        ]
        if variable.encoding.get("compressors") or not all(path.is_file() for path in paths):
            return cls([np.asarray(variable.values, dtype=np.float32)], variable.shape)
        return cls([_mapped(path, tuple(chunks)) for path in paths], variable.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, times: int | slice | np.ndarray | Sequence[int]) -> np.ndarray:
        if isinstance(times, slice):
            times = np.arange(*times.indices(len(self)))
        numbers = np.asarray(times)
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < len(self)):
            raise IndexError(f"times must lie between 0 and {len(self) - 1}")
        part, place = np.divmod(numbers, self.times_a_part)
        if numbers.ndim == 0:
            return np.array(self.parts[int(part)][int(place)])
        result = np.empty((len(numbers), *self.shape[1:]), dtype=np.float32)
        for number in np.unique(part):
            chosen = part == number
            result[chosen] = self.parts[number][place[chosen]]
        return result


def _mapped(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    try:
        return np.memmap(path, dtype="<f4", mode="r", shape=shape)
    except (OSError, ValueError) as error:
        raise FlowsciError(
            f"{path}: cannot be mapped: {error}; prepare the dataset again."
        ) from None


def encoding_of(shape: tuple[int, ...]) -> Mapping[str, Any]:
    """Give how fields of this shape are stored: raw chunks of whole times."""
    bytes_a_time = 4 * int(np.prod(shape[1:]))
    times = int(np.clip(CHUNK_BYTES // bytes_a_time, 1, shape[0]))
    return {"chunks": (times, *shape[1:]), "compressors": None, "dtype": "float32"}
