"""Search: hyper-parameter search, outside the cycle."""
