"""Base: requests, histories, the exported graph, and the recommender around it."""
