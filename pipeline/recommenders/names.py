"""Names of the methods in params.yaml, on the command line and in reports."""

HISTORY_ENCODERS = ("mlp", "cnn", "gru", "lstm", "transformer", "none")
BAGS = ("multvae", "lightgcn", "item2vec", "irgan")
LARGE_PRODUCTS = ("sasrec", *BAGS)  # families that multiply large matrices
FAMILIES = (*HISTORY_ENCODERS, *LARGE_PRODUCTS)
BASELINES = ("popular", "personal", "decayed", "contextual", "tifu_knn")
