"""The temporal ranker: features and a history encoder per candidate, and an explore head."""
