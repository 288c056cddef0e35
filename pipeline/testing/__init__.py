"""Testing: candidates are measured on unseen time, and one is chosen."""
