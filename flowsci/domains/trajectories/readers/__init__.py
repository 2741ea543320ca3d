"""Files of many kinds as tracks on a clock: one module a kind, one record for all."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from flowsci.domains.trajectories.readers.adsb import read_adsb
from flowsci.domains.trajectories.readers.frames import read_frames, read_sdd
from flowsci.domains.trajectories.readers.sequences import read_sequences
from flowsci.domains.trajectories.readers.table import read_table
from flowsci.domains.trajectories.readers.tracks import Tracks
from flowsci.domains.trajectories.settings import TracksSettings
from flowsci.errors import FlowsciError

READERS = {
    "adsb": read_adsb,
    "frames": read_frames,
    "sdd": read_sdd,
    "sequences": read_sequences,
    "table": read_table,
}


def read_tracks(files: Sequence[Path], settings: TracksSettings) -> Tracks:
    """Read files of the kind that the settings name.

    Raises `FlowsciError` where positions lie so far from the origin that single precision, in which
    they are kept, would round away more than a hundredth of a step.
    """
    tracks: Tracks = READERS[settings.kind]([Path(path) for path in files], settings)
    same = tracks.points["track"].diff() == 0
    for axis in tracks.axes:
        positions = tracks.points[axis]
        farthest = positions.abs().max()
        step = positions.diff()[same].abs().mean()
        if 0 < step < 100 * np.spacing(np.float32(farthest)):
            raise FlowsciError(
                f"{', '.join(map(str, files))}: {axis} reaches {farthest:.6g} "
                f"{tracks.length_unit}, where single precision is too coarse for steps of "
                f"{step:.3g}. Subtract an origin that is near."
            )
    return tracks


__all__ = ["READERS", "Tracks", "read_tracks"]
