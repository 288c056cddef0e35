"""Evergreen: a product recommender that runs its own deep-learning lifecycle.

One package per phase, in the order of the cycle. A package imports only from the ones before it.
"""
