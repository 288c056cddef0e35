"""How fast the default model learns and scores."""
