"""Tuning: the search for better hyper-parameters, outside the cycle."""
