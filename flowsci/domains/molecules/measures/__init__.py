"""Measures of molecules: every one takes plain graphs, generated or real, and repairs nothing."""
