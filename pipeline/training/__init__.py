"""Training: candidates are fitted and compared, the chosen one is refitted on all data."""
