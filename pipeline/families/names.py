"""The names by which methods are asked for in params.yaml, on the command line and in reports."""

HISTORY_ENCODERS = ("mlp", "cnn", "gru", "lstm", "transformer", "none")
FAMILIES = HISTORY_ENCODERS
BASELINES = ("popular", "personal", "decayed", "tifu_knn")
