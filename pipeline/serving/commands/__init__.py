"""One module per command of `uv run python -m pipeline.serving`."""
