"""Learning rate over training: linear warm-up, then a cosine to zero."""

import math

from flowsci.settings import TrainingSettings

GRACE = 0.05
"""Share of the time limit that costs nothing: starting up must not set the first learning rates."""


def progress_of(settings: TrainingSettings, step: int, seconds: float) -> float:
    """Give the finished share of the budget, from 0 to 1: of the steps or of the time.

    The larger share counts. The time's begins after `GRACE` of its limit, so that the share is a
    function of the step alone wherever the steps keep ahead of the clock.
    """
    time = (seconds / (60 * settings.minutes) - GRACE) / (1 - GRACE)
    return min(1.0, max(step / settings.steps, time))


def learning_rate(settings: TrainingSettings, step: int, progress: float) -> float:
    """Give the learning rate of a step (from 0) at a finished share of the budget."""
    warm_up = min(1.0, (step + 1) / settings.warm_up_steps) if settings.warm_up_steps else 1.0
    return settings.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * progress))
