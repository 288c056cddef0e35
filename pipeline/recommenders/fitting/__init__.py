"""Fitting: one training loop, losses, early stopping and thread settings for all families."""
