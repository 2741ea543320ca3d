"""Samples of a dataset beside what was observed and what came."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from flowsci.domains.trajectories.density import FutureDensity
from flowsci.domains.trajectories.record import Scenes
from flowsci.errors import FlowsciError
from flowsci.store.prepared import Prepared


@dataclass(frozen=True)
class Drawn:
    """A generated dataset as its files say it.

    `table` has a row for each scene, agent, sample and step, in that order; `density` a row for
    each scene and agent of the table, or is None where the model had no modes.
    """

    table: pd.DataFrame
    density: FutureDensity | None = None


@dataclass(frozen=True)
class Cases:
    """Sampled windows with what was observed and what came: positions in `unit`, float64.

    `samples` (windows, samples, steps, axes), `probability` (windows, samples), `observed` and
    `future` (windows, steps, axes), `scene`, `track` and `recording` (windows,), `seconds`
    (windows,) the time of the last observed step.
    """

    samples: np.ndarray
    probability: np.ndarray
    observed: np.ndarray
    future: np.ndarray
    scene: np.ndarray
    track: np.ndarray
    recording: np.ndarray
    seconds: np.ndarray
    axes: tuple[str, ...]
    unit: str
    step_seconds: float
    density: FutureDensity | None

    @property
    def lead_seconds(self) -> np.ndarray:
        """Give the lead times (steps,) in s."""
        return np.arange(1, self.future.shape[1] + 1) * self.step_seconds


@dataclass(frozen=True)
class Training:
    """The windows that a baseline may learn from: observed and future (windows, steps, axes)."""

    observed: np.ndarray
    future: np.ndarray

    @classmethod
    def of(cls, prepared: Prepared) -> "Training":
        """Give the training windows of a dataset, float64."""
        scenes = Scenes.of_split(prepared.arrays, "train")
        positions = scenes.positions_of(scenes.all_windows()).double().numpy()
        return cls(positions[:, : scenes.observed_steps], positions[:, scenes.observed_steps :])


def match(drawn: Drawn, prepared: Prepared) -> Cases:
    """Put samples beside observed and true positions; raise where they do not fit the dataset."""
    table, attributes = drawn.table, prepared.arrays.attrs
    rows = table[["scene", "agent"]].drop_duplicates()
    count, steps = table["sample"].nunique(), table["step"].nunique()
    if len(table) != len(rows) * count * steps:
        raise FlowsciError(
            f"The samples are not whole: {len(table)} rows, but {len(rows)} agents in scenes x "
            f"{count} samples x {steps} steps. Sample again."
        )
    axes = tuple(attributes["axes"])
    known, observed_steps = _known(rows, prepared)
    scene = rows["scene"].to_numpy()
    if steps != known.shape[1] - observed_steps:
        raise FlowsciError(
            f"The samples have {steps} steps, the dataset predicts "
            f"{known.shape[1] - observed_steps}. Sample again with this dataset."
        )
    positions = np.array(table[list(axes)], dtype=np.float64)
    probability = np.array(table["probability"], dtype=np.float64)
    return Cases(
        samples=positions.reshape(len(rows), count, steps, len(axes)),
        probability=probability.reshape(len(rows), count, steps)[..., 0],
        observed=known[:, :observed_steps],
        future=known[:, observed_steps:],
        scene=scene,
        track=rows["agent"].to_numpy(),
        recording=prepared.arrays["scene_recording"].values[scene],
        seconds=Scenes(prepared.arrays, scene).seconds_of(scene),
        axes=axes,
        unit=attributes["length_unit"],
        step_seconds=attributes["step_seconds"],
        density=_fitting(drawn.density, rows),
    )


def _fitting(density: FutureDensity | None, rows: pd.DataFrame) -> FutureDensity | None:
    if density is not None and not np.array_equal(density.scene.numpy(), rows["scene"].to_numpy()):
        raise FlowsciError(
            f"The densities ({len(density)} agents in scenes) are not those of the samples "
            f"({len(rows)}). Sample again."
        )
    return density


def _known(rows: pd.DataFrame, prepared: Prepared) -> tuple[np.ndarray, int]:
    """Find the positions (windows, steps, axes) of scenes and tracks, and how many are observed."""
    arrays = prepared.arrays
    numbers = np.arange(arrays.sizes["scene"])
    every = Scenes(arrays, numbers)
    scene = np.repeat(numbers, np.diff(every.bounds))
    track = every.tracks_of(np.arange(len(scene))).numpy()
    index = pd.MultiIndex.from_arrays([scene, track])
    windows = index.get_indexer(pd.MultiIndex.from_frame(rows))
    if (windows < 0).any():
        raise FlowsciError(
            f"{int((windows < 0).sum())} of {len(rows)} sampled agents are not in the dataset: the "
            "samples were drawn for another one. Sample again."
        )
    return every.positions_of(windows).double().numpy(), every.observed_steps
