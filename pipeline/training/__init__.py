"""Training: candidates are fitted, the Keras ranker and the classical baselines."""
