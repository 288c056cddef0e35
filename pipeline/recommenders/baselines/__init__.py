"""Baselines: frequency counting, with nothing fitted."""
