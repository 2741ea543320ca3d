"""Files of many kinds as tracks on a clock: one module a kind, one record for all."""

from collections.abc import Sequence
from pathlib import Path

from flowsci.domains.trajectories.readers.adsb import read_adsb
from flowsci.domains.trajectories.readers.frames import read_frames, read_sdd
from flowsci.domains.trajectories.readers.sequences import read_sequences
from flowsci.domains.trajectories.readers.table import read_table
from flowsci.domains.trajectories.readers.tracks import Tracks
from flowsci.domains.trajectories.settings import TracksSettings

READERS = {
    "adsb": read_adsb,
    "frames": read_frames,
    "sdd": read_sdd,
    "sequences": read_sequences,
    "table": read_table,
}


def read_tracks(files: Sequence[Path], settings: TracksSettings) -> Tracks:
    """Read files of the kind that the settings name."""
    tracks: Tracks = READERS[settings.kind]([Path(path) for path in files], settings)
    return tracks


__all__ = ["READERS", "Tracks", "read_tracks"]
