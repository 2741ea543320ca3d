"""Tracks cut into scenes of observed and predicted steps, each on one side of the split."""

from collections.abc import Mapping
from functools import singledispatch

import numpy as np
import pandas as pd
import torch

from flowsci.domains.trajectories.climb_windows import no_climbs
from flowsci.domains.trajectories.readers import Tracks
from flowsci.domains.trajectories.record import METRES, SPLITS
from flowsci.domains.trajectories.settings import (
    HeldOutSplit,
    NamedSplit,
    SharesSplit,
    WindowSettings,
)
from flowsci.errors import FlowsciError
from flowsci.settings import Section

NO_SPLIT = -1
JUMPS = "acceleration impossible"
MISSED = "tracks long enough for a window where none starts"


def find_windows(
    tracks: Tracks, settings: WindowSettings, splits: Section, seed: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Find complete windows, ordered by split, recording, tick and track.

    Gives the columns split, recording, tick (of the first step), track and point (index of the
    first step), and the number of dropped windows, a row a recording, a column a reason. Possible
    windows begin at every point whose tick is a multiple of the stride, or is so many ticks after
    its sequence's first. Tracks long enough for a window where none starts are counted beside them.
    """
    steps = Steps.of(settings, tracks.clock_seconds)
    windows, dropped = _complete(tracks, steps, settings)
    windows["split"] = split_of(splits, tracks, windows, steps.span, seed)
    across = windows.loc[windows["split"] == NO_SPLIT, "recording"]
    dropped["across the border of training and validation"] = _of_each(tracks, across)
    windows = windows[windows["split"] != NO_SPLIT]
    training = windows["split"] == SPLITS.index("train")
    stride = np.where(training, steps.training_stride, steps.stride)
    on_stride = windows[tracks.on_stride(windows["tick"].to_numpy(), stride)]
    missed = np.setdiff1d(windows["track"], on_stride["track"])
    dropped[MISSED] += _of_each(tracks, tracks.tracks["recording"].to_numpy()[missed])
    windows = on_stride
    scene = ["split", "recording", "tick"]
    alone = windows.groupby(scene)["track"].transform("size") < settings.least_agents
    dropped[f"scene of fewer than {settings.least_agents} agents"] = _of_each(
        tracks, windows.loc[alone, "recording"]
    )
    windows = windows[~alone]
    windows = windows.sort_values([*scene, "track"], ignore_index=True)
    return windows, pd.DataFrame(dropped, index=tracks.recordings)


def _of_each(tracks: Tracks, recording: np.ndarray | pd.Series) -> np.ndarray:
    """Count how often each recording (recordings,) is named."""
    return np.bincount(recording, minlength=len(tracks.recordings))


class Steps:
    """A window's lengths of time, in ticks of the clock."""

    def __init__(self, step: int, count: int, training_stride: int, stride: int) -> None:
        self.step, self.span = step, step * (count - 1)
        self.offsets = np.arange(count) * step
        self.training_stride, self.stride = training_stride, stride

    @classmethod
    def of(cls, settings: WindowSettings, clock: float) -> "Steps":
        """Count in ticks; raise `FlowsciError` where a time is no multiple of the clock."""
        ticks = {}
        for name in ("step_seconds", "training_stride_seconds", "stride_seconds"):
            value = getattr(settings, name) / clock
            ticks[name] = round(value)
            if abs(value - ticks[name]) > 1e-6 or not ticks[name]:
                raise FlowsciError(
                    f"windows.{name} must be a multiple of the clock of the tracks, {clock:g} s; "
                    f"it is {getattr(settings, name):g} s."
                )
        count = settings.observed_steps + settings.predicted_steps
        return cls(ticks.pop("step_seconds"), count, *ticks.values())


def _complete(
    tracks: Tracks, steps: Steps, settings: WindowSettings
) -> tuple[pd.DataFrame, dict[str, np.ndarray]]:
    """Find windows whose every step is there and possible, at any tick of the finer stride."""
    points = tracks.points
    tick, track = points["tick"].to_numpy(), points["track"].to_numpy()
    finer = np.gcd(steps.training_stride, steps.stride)
    begins = tracks.on_stride(tick, finer)
    first = np.arange(len(tick))
    last = np.minimum(first + steps.span, len(tick) - 1)
    # the last point of each point's track, also of tracks that a clock left without a point
    ends = (np.cumsum(np.bincount(track)) - 1)[track]
    inside = tick + steps.span <= tick[ends]
    complete = inside & (tick[last] - tick == steps.span) & (track[last] == track)
    of_track = tracks.tracks["recording"].to_numpy()
    recording = of_track[track]
    missed = np.setdiff1d(track[complete], track[complete & begins])
    dropped = {
        "track ends": _of_each(tracks, recording[begins & ~inside]),
        "gap in the track": _of_each(tracks, recording[begins & inside & ~complete]),
        MISSED: _of_each(tracks, of_track[missed]),
    }
    chosen = np.flatnonzero(begins & complete)
    limit = settings.acceleration_limit_m_s2
    if limit is not None:
        jumps = _acceleration(tracks, chosen, steps, settings.step_seconds) > limit
        dropped[JUMPS] = _of_each(tracks, recording[chosen[jumps]])
        chosen = chosen[~jumps]
    out = np.zeros(len(chosen), dtype=bool)
    for reason, found in no_climbs(tracks, chosen, steps.offsets, settings).items():
        dropped[reason] = _of_each(tracks, recording[chosen[found]])
        out |= found
    chosen = chosen[~out]
    columns = {"recording": recording[chosen], "tick": tick[chosen], "track": track[chosen]}
    return pd.DataFrame({**columns, "point": chosen}), dropped


def _acceleration(
    tracks: Tracks, first: np.ndarray, steps: Steps, step_seconds: float
) -> np.ndarray:
    """Give the largest acceleration (windows,) in m/s2, by second differences of the steps."""
    if tracks.length_unit not in METRES:
        raise FlowsciError(
            f"windows.acceleration_limit_m_s2: positions in {tracks.length_unit} have no metres; "
            "set it to null."
        )
    metres = tracks.points[list(tracks.axes)].to_numpy(dtype=np.float64)
    positions = metres[first[:, None] + steps.offsets] * METRES[tracks.length_unit]
    second = np.diff(positions, n=2, axis=1) / step_seconds**2
    return np.linalg.norm(second, axis=-1).max(axis=1, initial=0.0)


@singledispatch
def split_of(
    splits: Section, tracks: Tracks, windows: pd.DataFrame, span: int, seed: int
) -> np.ndarray:
    """Give the split (windows,) of each window, or `NO_SPLIT` for one that fits none."""
    raise TypeError(type(splits))


@split_of.register
def _(
    splits: SharesSplit, tracks: Tracks, windows: pd.DataFrame, span: int, seed: int
) -> np.ndarray:
    """By name: all tracks of a name stand on one side, in a recording where names recur."""
    recording = tracks.tracks["recording"].to_numpy() * tracks.names_recur
    owner = pd.Series(list(zip(recording, tracks.tracks["name"], strict=True)))
    owners = owner.drop_duplicates().sort_values(ignore_index=True)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(owners), generator=generator).numpy()
    shares = np.cumsum([splits.train, splits.validation])
    bounds = np.round(shares * len(owners)).astype(int)
    split = np.empty(len(owners), dtype=np.int8)
    split[order] = np.searchsorted(bounds, np.arange(len(owners)), side="right")
    place = owner.map(dict(zip(owners, split, strict=True))).to_numpy(dtype=np.int8)
    return place[windows["track"]]


@split_of.register
def _(
    splits: HeldOutSplit, tracks: Tracks, windows: pd.DataFrame, span: int, seed: int
) -> np.ndarray:
    """By recording, and the others by time: the last share of each one's validates."""
    test = _numbers(splits.test, tracks, "test")
    ticks = tracks.points["tick"].to_numpy()
    recording = tracks.tracks["recording"].to_numpy()[tracks.points["track"]]
    bounds = pd.Series(ticks).groupby(recording).agg(["min", "max"])
    length = bounds["max"] - bounds["min"]
    border = bounds["min"] + (1 - splits.validation_share) * length
    border = border.loc[windows["recording"]].to_numpy()
    first, last = windows["tick"].to_numpy(), windows["tick"].to_numpy() + span
    sides = np.select([last < border, first >= border], [0, 1], NO_SPLIT)
    return np.where(windows["recording"].isin(test), SPLITS.index("test"), sides).astype(np.int8)


@split_of.register
def _(
    splits: NamedSplit, tracks: Tracks, windows: pd.DataFrame, span: int, seed: int
) -> np.ndarray:
    """By recording."""
    sides: dict[int, int] = {}
    for number, name in enumerate(SPLITS):
        for recording in _numbers(getattr(splits, name), tracks, name):
            if recording in sides:
                raise FlowsciError(
                    f"splits: the recording '{tracks.recordings[recording]}' stands in two splits."
                )
            sides[recording] = number
    left = sorted(set(tracks.recordings) - {tracks.recordings[r] for r in sides})
    if left:
        raise FlowsciError(f"splits: no split names the recording {', '.join(left)}.")
    return windows["recording"].map(sides).to_numpy(dtype=np.int8)


def _numbers(names: list[str], tracks: Tracks, split: str) -> list[int]:
    unknown = sorted(set(names) - set(tracks.recordings))
    if unknown:
        emptied = [f"{name} ({tell(tracks.lost[name])})" for name in unknown if name in tracks.lost]
        raise FlowsciError(
            f"splits.{split}: there is no recording {', '.join(unknown)}. Recordings: "
            f"{', '.join(tracks.recordings)}."
            + (f" Without a usable row: {', '.join(emptied)}." if emptied else "")
        )
    return [tracks.recordings.index(name) for name in names]


def tell(dropped: Mapping[str, int]) -> str:
    """Say how many were dropped, by reason."""
    return ", ".join(f"{count} {reason}" for reason, count in dropped.items() if count)


def by_split(splits: np.ndarray) -> Mapping[str, int]:
    """Count by name of the split."""
    return {name: int((splits == number).sum()) for number, name in enumerate(SPLITS)}
