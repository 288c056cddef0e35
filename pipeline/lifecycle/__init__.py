"""Lifecycle: reads the verdicts of all phases, and reports their status."""
