"""Fit: one family on the training weeks (`python -m pipeline.training.fit NAME`)."""
