"""The temporal ranker: features and a history encoder per own item, and an explore head."""
