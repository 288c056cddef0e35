"""Sequence families: self-attention over the purchase sequence."""
