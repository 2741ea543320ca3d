"""Fields as they were read or simulated, before climatology, statistics and splits."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flowsci.domains.weather.grids import Grid
from flowsci.domains.weather.record import Channel
from flowsci.errors import FlowsciError

IN_MEMORY_BYTES = 1 << 29
LARGEST_VALUE = 1e15
"""No field is larger in any units; fill values such as 1e20 are."""


@dataclass
class RawFields:
    """Fields (time, channel, latitude, longitude), NaN where a channel has no value.

    `hours` (time,) counts from 1970-01-01 00 in `calendar`, strictly ascending; `orography` in m
    and `land` from 0 to 1 (latitude, longitude), None where they aren't known; `simulation` says
    what computed the fields, empty for observations and analyses; `truncation` is the largest
    degree of the harmonics that hold them (winds times cos lat), or the most waves along a side of
    a box, None where there is no such.
    """

    fields: np.ndarray
    hours: np.ndarray
    channels: tuple[Channel, ...]
    grid: Grid
    calendar: str = "standard"
    orography: np.ndarray | None = None
    land: np.ndarray | None = None
    simulation: str = ""
    truncation: int | None = None
    counts: Mapping[str, Any] = field(default_factory=dict)


def impossible(values: np.ndarray) -> Iterator[tuple[str, np.ndarray, str]]:
    """Tell what no field has of values (time, channel, latitude, longitude).

    Gives each problem, where it is (time, channel), and how to mend it.
    """
    yield "has an infinite value", np.isinf(values).any((2, 3)), "Correct the files"
    yield (
        f"has a value beyond {LARGEST_VALUE:g}",
        (np.abs(values) > LARGEST_VALUE).any((2, 3)),
        "Name what stands for no value in the attribute _FillValue of the variable",
    )


def room_for(shape: tuple[int, ...]) -> np.ndarray:
    """Give an empty float32 array; a large one lies in a temporary file, mapped into memory.

    Raises `FlowsciError` where the folder of temporary files has no room for it.
    """
    size = 4 * int(np.prod(shape))
    if size <= IN_MEMORY_BYTES:
        return np.empty(shape, dtype=np.float32)
    # the file has no name and goes with the array
    with tempfile.TemporaryFile() as file:
        _reserve(file.fileno(), size)
        return np.memmap(file, dtype=np.float32, mode="w+", shape=shape)


def _reserve(file: int, size: int) -> None:
    # a write to a mapped file that finds no room ends the process without a word
    if not hasattr(os, "posix_fallocate"):
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError as error:
        raise FlowsciError(
            f"{tempfile.gettempdir()}: the fields need {size / 1e9:.3g} GB of temporary room while "
            f"they are prepared: {error.strerror}. Set TMPDIR to a folder that has it."
        ) from None
