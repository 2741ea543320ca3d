"""Minimum-energy paths: image-dependent pair potential, then a climbing nudged elastic band.

S. Smidstrup et al., J. Chem. Phys. 140, 214106 (2014); G. Henkelman and H. Jónsson, J. Chem. Phys.
113, 9978 (2000); G. Henkelman, B. Uberuaga and H. Jónsson, J. Chem. Phys. 113, 9901 (2000).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from flowsci.domains.transition_states.chemistry.failure import Failure
from flowsci.domains.transition_states.chemistry.frequencies import Potential

Surface = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Energies (m,) and gradients (m, n, 3) of m images (m, n, 3)."""


CLOSEST = 0.1
"""Å: atoms that coincide on a straight path are held to be this far apart."""


@dataclass(frozen=True)
class Band:
    """Settings of a band: images between the ends, springs in eV/Å², at most `steps` of FIRE.

    From `climb_after` steps on, the highest image climbs; the band is done when the force on it is
    below `force` (eV/Å). It is given up where it lies more than `height` (eV) above both ends, or
    where the force on the highest image stays above `hopeless_force`.
    """

    images: int = 5
    springs: float = 1.0
    steps: int = 40
    climb_after: int = 8
    force: float = 0.4
    hopeless_force: float = 6.0
    height: float = 8.0


@dataclass(frozen=True)
class Guess:
    """The highest image of a band: positions (n, 3), path direction there (n, 3), energy (eV)."""

    positions: np.ndarray
    direction: np.ndarray
    energy: float
    steps: int


def superpose(positions: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Turn and shift `positions` (n, 3) onto `onto`, atom by atom, by a proper rotation."""
    centre, target = positions.mean(0), onto.mean(0)
    left, _, right = np.linalg.svd((positions - centre).T @ (onto - target))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return (positions - centre) @ (left @ flip @ right) + target


def interpolate(first: np.ndarray, last: np.ndarray, images: int) -> np.ndarray:
    """Give `images` geometries between two superposed ends, whose distances change evenly."""
    shares = np.linspace(0, 1, images + 2)[1:-1, None, None]
    straight = first + shares * (last - first)
    wanted = _distances(first) + shares * (_distances(last) - _distances(first))
    moved, _ = fire(
        straight,
        lambda inner: band_forces(inner, first, last, *pair_potential(inner, wanted), 0.1),
        steps=80,
        force=0.02,
        largest=0.1,
    )
    return moved


def pair_potential(images: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Give the IDPP energies (m,) and gradients (m, n, 3): Σ (d - wanted)² / d⁴ over pairs."""
    apart = images[:, :, None] - images[:, None]
    distance = np.maximum(np.sqrt((apart**2).sum(-1)), CLOSEST)
    distance[:, range(images.shape[1]), range(images.shape[1])] = 1.0
    error = distance - wanted
    error[:, range(images.shape[1]), range(images.shape[1])] = 0.0
    energies = 0.5 * (error**2 / distance**4).sum((1, 2))
    slope = 2 * error / distance**4 - 4 * error**2 / distance**5
    return energies, ((slope / distance)[..., None] * apart).sum(2)


def climb(
    potentials: Sequence[Potential],
    first: tuple[np.ndarray, float],
    last: tuple[np.ndarray, float],
    band: Band = Band(),
) -> Guess:
    """Relax a band between two minima (positions, energy) and give its highest image.

    `potentials` holds one potential an image, so that each keeps its own wavefunction. Raises
    `Failure` where the path has no barrier inside or lies too high.
    """
    ends = (first[0], superpose(last[0], first[0]))
    end_energies = (first[1], last[1])
    images = interpolate(*ends, band.images)
    step = 0
    state: dict[str, np.ndarray] = {}

    def forces(inner: np.ndarray) -> np.ndarray:
        nonlocal step
        results = [potential(image) for potential, image in zip(potentials, inner, strict=True)]
        energies = np.array([result[0] for result in results])
        gradients = np.array([result[1] for result in results])
        state.update(energies=energies, gradients=gradients)
        step += 1
        if step > band.climb_after and energies.min() > max(end_energies) + band.height:
            raise Failure("path_too_high", f"{energies.min() - max(end_energies):.1f} eV")
        return band_forces(
            inner, *ends, energies, gradients, band.springs, end_energies, step > band.climb_after
        )

    def done(inner: np.ndarray, force: np.ndarray) -> bool:
        top = int(state["energies"].argmax())
        return step > band.climb_after + 3 and float(np.abs(force[top]).max()) < band.force

    images, steps = fire(images, forces, steps=band.steps, done=done, largest=0.2)
    energies = state["energies"]
    top = int(energies.argmax())
    if energies[top] <= max(end_energies) + 1e-3:
        raise Failure("path_without_barrier")
    if float(np.abs(state["gradients"][top]).max()) > band.hopeless_force:
        raise Failure("path_not_relaxed")
    tangents = _tangents(images, *ends, energies, end_energies)
    return Guess(images[top], tangents[top], float(energies[top]), steps)


def band_forces(
    inner: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    energies: np.ndarray,
    gradients: np.ndarray,
    springs: float,
    end_energies: tuple[float, float] | None = None,
    climbing: bool = False,
) -> np.ndarray:
    """Give the forces (m, n, 3) on the images of a band, with improved tangents."""
    ends = (energies[0] - 1e-6, energies[-1] - 1e-6) if end_energies is None else end_energies
    tangents = _tangents(inner, first, last, energies, ends)
    chain = np.concatenate([first[None], inner, last[None]])
    lengths = np.sqrt(((chain[1:] - chain[:-1]) ** 2).sum((1, 2)))
    along = (gradients * tangents).sum((1, 2))[:, None, None]
    force = -gradients + along * tangents
    force += (springs * (lengths[1:] - lengths[:-1]))[:, None, None] * tangents
    if climbing:
        top = int(energies.argmax())
        force[top] = -gradients[top] + 2 * along[top] * tangents[top]
    return force


def _tangents(
    inner: np.ndarray,
    first: np.ndarray,
    last: np.ndarray,
    energies: np.ndarray,
    end_energies: tuple[float, float],
) -> np.ndarray:
    chain = np.concatenate([first[None], inner, last[None]])
    levels = np.concatenate([[end_energies[0]], energies, [end_energies[1]]])
    ahead, behind = chain[2:] - chain[1:-1], chain[1:-1] - chain[:-2]
    rise, fall = levels[2:] - levels[1:-1], levels[:-2] - levels[1:-1]
    most = np.maximum(np.abs(rise), np.abs(fall))
    least = np.minimum(np.abs(rise), np.abs(fall))
    weight_ahead = np.where(levels[2:] > levels[:-2], most, least)
    weight_behind = np.where(levels[2:] > levels[:-2], least, most)
    weight_ahead = np.where((rise > 0) & (fall < 0), 1.0, weight_ahead)
    weight_behind = np.where((rise > 0) & (fall < 0), 0.0, weight_behind)
    weight_ahead = np.where((rise < 0) & (fall > 0), 0.0, weight_ahead)
    weight_behind = np.where((rise < 0) & (fall > 0), 1.0, weight_behind)
    tangents = weight_ahead[:, None, None] * ahead + weight_behind[:, None, None] * behind
    return tangents / np.maximum(np.sqrt((tangents**2).sum((1, 2), keepdims=True)), 1e-12)


def fire(
    positions: np.ndarray,
    forces: Callable[[np.ndarray], np.ndarray],
    *,
    steps: int,
    force: float = 0.0,
    largest: float,
    done: Callable[[np.ndarray, np.ndarray], bool] | None = None,
) -> tuple[np.ndarray, int]:
    """Follow forces with inertia: E. Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006).

    No atom moves further than `largest` (Å) a step. Ends after `steps`, where all forces are below
    `force`, or where `done(positions, forces)`.
    """
    velocity = np.zeros_like(positions)
    time_step, mixing, downhill = 0.1, 0.1, 0
    for step in range(steps):
        push = forces(positions)
        if float(np.abs(push).max()) < force or (done is not None and done(positions, push)):
            return positions, step
        if float((push * velocity).sum()) > 0:
            ratio = np.sqrt((velocity**2).sum() / max((push**2).sum(), 1e-24))
            velocity = (1 - mixing) * velocity + mixing * ratio * push
            downhill += 1
            if downhill > 5:
                time_step, mixing = min(1.1 * time_step, 0.35), mixing * 0.99
        elif step:
            velocity = np.zeros_like(positions)
            time_step, mixing, downhill = time_step / 2, 0.1, 0
        velocity = velocity + time_step * push
        move = time_step * velocity
        positions = positions + move * min(1.0, largest / max(float(np.abs(move).max()), 1e-12))
    return positions, steps


def _distances(positions: np.ndarray) -> np.ndarray:
    return np.sqrt(((positions[:, None] - positions[None]) ** 2).sum(-1))
