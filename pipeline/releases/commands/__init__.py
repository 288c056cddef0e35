"""One module per command of `python -m pipeline.serving` that concerns releases."""
