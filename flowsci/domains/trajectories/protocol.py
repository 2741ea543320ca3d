"""How a run was judged, in words and numbers that stand beside the measures."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from flowsci.domains.trajectories.baselines import OffsetGaussian, Spread
from flowsci.domains.trajectories.cases import Cases
from flowsci.domains.trajectories.online import PRIOR_WINDOWS
from flowsci.domains.trajectories.scores import (
    LEAST_KERNEL,
    LEAST_KERNEL_LOG_DENSITY,
    LEVELS,
    REGROUPINGS,
)
from flowsci.domains.trajectories.settings import TrajectoriesEvaluation
from flowsci.domains.trajectories.windows import JUMPS
from flowsci.store.prepared import Prepared


def protocol_of(
    cases: Cases,
    prepared: Prepared,
    spread: Spread,
    gaussian: OffsetGaussian,
    judged: Mapping[str, np.ndarray],
    settings: TrajectoriesEvaluation,
) -> dict[str, Any]:
    """Say what was judged, by which estimators, and what every number means."""
    return (
        _what(cases, prepared)
        | _minima(cases)
        | _rates(cases, settings)
        | _densities(cases, gaussian, judged, settings)
        | _baselines(cases, spread)
        | {
            "interval": f"{settings.confidence:.0%} by bootstrap over tracks, because windows of "
            "one track overlap, and of joint measures over periods of a recording, because scenes "
            f"do; {settings.bootstrap} resamples; of calibration_error shifted to "
            "have its median at the measure, because resampling adds error of its own"
        }
    )


def _what(cases: Cases, prepared: Prepared) -> dict[str, Any]:
    attributes = prepared.arrays.attrs
    agents = np.unique(cases.scene, return_counts=True)[1]
    probable = "equal" if np.ptp(cases.probability) < 1e-6 else "those of the model's modes"
    return {
        "scenes": len(agents),
        "scenes with one agent": int((agents == 1).sum()),
        "windows": len(cases.track),
        "tracks": len(np.unique(cases.track)),
        "samples": cases.samples.shape[1],
        "probabilities of the samples": probable,
        "observed_steps": int(attributes["observed_steps"]),
        "predicted_steps": int(attributes["predicted_steps"]),
        "step_seconds": float(attributes["step_seconds"]),
        "axes": ", ".join(cases.axes),
        "unit of length": cases.unit,
        "positions": _positions(attributes),
        "scenes hold": "tracks of the split that are known over all observed and predicted steps"
        + _possible(prepared),
    }


def _possible(prepared: Prepared) -> str:
    """Say what a limit on accelerations left out; nothing where the dataset has none."""
    dropped = prepared.counts["windows"]["dropped"]
    if JUMPS not in dropped:
        return ""
    return (
        " and whose acceleration between these steps, those to be predicted included, is within "
        f"the dataset's limit: {dropped[JUMPS]} windows of all splits are left out"
    )


def _positions(attributes: Mapping[str, Any]) -> str:
    gap = attributes.get("interpolation_gap_seconds")
    if gap is None:
        return "as recorded"
    barometric = "; altitude is barometric" if "origin_latitude_degrees" in attributes else ""
    return (
        "on the clock by interpolation between rows, so that an observed position may use a row "
        f"that comes up to {gap:g} s later{barometric}"
    )


def _minima(cases: Cases) -> dict[str, str]:
    return {
        "min_ade_K and min_fde_K": "each minimised apart over the K most probable samples of an "
        "agent, equally probable ones in the order in which they were drawn; mean over windows (an "
        f"agent in a scene); distances over {len(cases.axes)} axes",
        "joint_min_ade_K and joint_min_fde_K": "one of the scene's K most probable samples for all "
        "of its agents, each measure minimised apart; mean over windows, so that scenes count by "
        "their agents",
        "shuffled": "the same futures, shuffled between samples for each agent apart; mean of "
        f"{REGROUPINGS} shuffles. Of modes, a shuffle also puts likely ones beside unlikely ones "
        "and takes away that a mode means much the same for everybody, so that the difference "
        "says little about what agents know of each other",
        "strangers": "agents with their samples in order, put at random into scenes of the same "
        f"sizes; mean of {REGROUPINGS} regroupings. They share the samples' numbers (of modes, "
        "ranks by their probability in the own scene) and nothing else: the model lies below by "
        "what the agents of a scene tell of each other. The table joint_against_independent has "
        "the paired differences from both, with intervals; of strangers each agent is paired with "
        "itself",
    }


def _rates(cases: Cases, settings: TrajectoriesEvaluation) -> dict[str, str]:
    return {
        "miss_rate": "share of windows where no sample ends within "
        f"{settings.miss_radius:g} {cases.unit}",
        "collision_rate": "share of futures that come within "
        f"{settings.collision_radius:g} {cases.unit} of another agent's in the same sample, "
        "straight from step to step; samples weigh by their probability; the reference is that of "
        "the true futures",
    }


def _densities(
    cases: Cases,
    gaussian: OffsetGaussian,
    judged: Mapping[str, np.ndarray],
    settings: TrajectoriesEvaluation,
) -> dict[str, str]:
    unit = f"1/{cases.unit}^{len(cases.axes)}"
    said = {
        "energy_score": "of the position, unbiased over pairs of samples that weigh by their "
        "probability, averaged over steps"
    }
    if "kde_nll" in judged:
        floored = float((judged["kde_nll"] >= -LEAST_KERNEL_LOG_DENSITY).mean())
        said["kde_nll"] = (
            "negative log-density of the true position under Gaussian kernels around the samples, "
            f"averaged over steps (Ivanovic and Pavone, 2019), of densities in {unit}; covariance "
            "of the samples at the step times n^(-2 / (axes + 4)) (Scott), plus, squared, "
            f"{LEAST_KERNEL:.0%} of what constant velocity misses by on the training split; "
            f"log-densities below {LEAST_KERNEL_LOG_DENSITY:g} count as that: {floored:.2%} here"
        )
    if cases.density is None:
        said["coverage"] = (
            "share of truths in the central region of the samples at a lead time, ranked by the "
            "distance from the mean of all other points, truth included; averaged over steps"
        )
    else:
        said["nll and joint_nll"] = (
            "exact negative log-density of the true future, of an agent and of all agents of a "
            f"scene, divided by steps (and agents), of densities in {unit} a step"
        )
        said["constant_velocity_gaussian"] = (
            "a Gaussian of what constant velocity misses in the agent's frame, with full "
            f"covariance over steps and axes, fitted on the training split; {gaussian.raised} of "
            f"{len(gaussian.scale)} standard deviations were raised to 0.01 % of the largest"
        )
        said["independent_agents"] = "the density's own agents without what they share: nll"
        said["coverage"] = (
            "share of truths in the region of highest density at a lead time, by the exact "
            f"marginal density and {settings.density_draws} draws of it; averaged over steps; of "
            "the sampled baseline by the distance from the mean of all other points"
        )
    said["coverage_online"] = (
        "of regions whose level is, at each lead time, the quantile of the ranks of the truths "
        f"that the same recording had shown when the forecast was made, of {PRIOR_WINDOWS} windows "
        "as all lead times together had shown, and for these of as many as the density says; "
        "samples and density stay as they are; "
        "fixed_level is the coverage without it"
    )
    said["calibration_error"] = (
        f"mean of |coverage - level| over lead times and {len(LEVELS)} levels, "
        f"{LEVELS[0]:.2f} to {LEVELS[-1]:.2f}"
    )
    return said


def _baselines(cases: Cases, spread: Spread) -> dict[str, Any]:
    return {
        "constant_velocity": "goes on with the difference of the last two observed positions "
        f"({cases.step_seconds:g} s); one future",
        "sampled_constant_velocity": f"as many draws of {', '.join(spread.summary())} around it, "
        "with standard deviations fitted on the training split, weighed by squared speed",
        "sampled_constant_velocity spread": spread.summary(),
    }
