"""Conditional flow matching for molecules, reactions, weather and trajectories."""

__version__ = "0.1.0"
