"""Reranking: availability, diversity and exploration rules on top of the model."""
