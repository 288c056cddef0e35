"""Releases: which bundle answers, exchanged while the service runs; shadow, canary, rollback."""
