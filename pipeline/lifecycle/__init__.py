"""Lifecycle: the outer loop that reads the verdicts of all phases."""
