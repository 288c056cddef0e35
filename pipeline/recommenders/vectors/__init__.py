"""Vector families: a user vector against item vectors."""
