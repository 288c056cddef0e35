"""How good the answers are: every method, family, rule and reason, with intervals."""
