"""Learning rate over training: linear warm-up, then a cosine to zero."""

import math

from flowsci.settings import TrainingSettings


def progress_of(settings: TrainingSettings, step: int, seconds: float) -> float:
    """Give the finished share of the budget: of the steps or of the time, whichever is larger.

    While the steps are ahead of the clock, the share is a function of the step alone.
    """
    return min(1.0, max(step / settings.steps, seconds / (60 * settings.minutes)))


def learning_rate(settings: TrainingSettings, step: int, progress: float) -> float:
    """Give the learning rate of a step (from 0) at a finished share of the budget."""
    warm_up = min(1.0, (step + 1) / settings.warm_up_steps) if settings.warm_up_steps else 1.0
    return settings.learning_rate * warm_up * 0.5 * (1 + math.cos(math.pi * progress))
