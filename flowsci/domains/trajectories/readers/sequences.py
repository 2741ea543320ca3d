"""Sequences of equal length as arrays, such as plays of the NBA: (sequences, steps, agents, 2)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from flowsci.domains.trajectories.readers.tracks import Tracks, recording_names
from flowsci.domains.trajectories.settings import SequenceTracks
from flowsci.errors import FlowsciError


def read_sequences(files: Sequence[Path], settings: SequenceTracks) -> Tracks:
    """Read `.npy` files, a recording each; sequences follow each other with a pause between.

    An agent of a sequence is a track. Windows begin with a sequence, whatever their stride. Agents
    with a missing position are dropped and counted.
    """
    recordings, lost = recording_names(files), {}
    parts, names, tracks, dropped, read = [], [], 0, 0, 0
    arrays = [_read(path) for path in files]
    # a pause as long as a sequence: no window can span two of them
    restart = 2 * max(array.shape[1] for array in arrays)
    for recording, array in enumerate(arrays):
        sequences, steps, agents, _ = array.shape
        read += sequences * agents
        whole = np.isfinite(array).all(axis=(1, 3))
        dropped += int((~whole).sum())
        if not whole.any():
            lost[recordings[recording]] = {"position missing": whole.size}
        sequence, agent = whole.nonzero()
        positions = array[sequence, :, agent].astype(np.float32)
        tick = sequence[:, None] * restart + np.arange(steps)
        number = np.repeat(tracks + np.arange(len(sequence)), steps)
        flat = positions.reshape(-1, 2)
        parts.append(
            pd.DataFrame({"tick": tick.ravel(), "x": flat[:, 0], "y": flat[:, 1], "track": number})
        )
        name = [f"{s}/{a}" for s, a in zip(sequence, agent, strict=True)]
        names.append(pd.DataFrame({"name": name, "label": "", "recording": recording}))
        tracks += len(sequence)
    if not tracks:
        raise FlowsciError(
            f"{', '.join(map(str, files))}: all {read} agents lack a position somewhere."
        )
    return Tracks(
        points=pd.concat(parts, ignore_index=True),
        tracks=pd.concat(names, ignore_index=True),
        recordings=recordings,
        axes=("x", "y"),
        length_unit=settings.unit,
        clock_seconds=settings.step_seconds,
        restart_ticks=restart,
        lost=lost,
        counts={
            "agents of sequences": {
                "read": read,
                "kept": tracks,
                "dropped": {"position missing": dropped},
            }
        },
    )


def _read(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise FlowsciError(f"{path}: is not a plain .npy array of numbers: {error}.") from None
    if array.ndim != 4 or array.shape[-1] != 2 or not np.issubdtype(array.dtype, np.number):
        raise FlowsciError(
            f"{path}: expected numbers (sequences, steps, agents, 2), found {array.dtype} "
            f"{array.shape}."
        )
    if not array.size:
        raise FlowsciError(f"{path}: holds no positions {array.shape}; leave it out.")
    return array
