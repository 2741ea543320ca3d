"""Conformers of one molecule at a temperature, with exact densities and importance weights."""
