"""The names by which methods are asked for in params.yaml, on the command line and in reports."""

HISTORY_ENCODERS = ("mlp", "cnn", "gru", "lstm", "transformer", "none")
BAGS = ("multvae", "lightgcn", "item2vec", "irgan")
FAMILIES = (*HISTORY_ENCODERS, "sasrec", *BAGS)
BASELINES = ("popular", "personal", "decayed", "tifu_knn")
