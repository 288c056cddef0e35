"""Explanations: why an item was recommended, now and later."""
