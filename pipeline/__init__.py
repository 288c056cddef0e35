"""Evergreen: a product recommender that runs its own deep-learning lifecycle.

One package per phase, and what they share below them. A package imports only from those below it:
pyproject.toml lists them from top to bottom.
"""
