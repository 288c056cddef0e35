"""Releases: which bundle answers, changed while the service runs; shadow, canary, rollback."""
