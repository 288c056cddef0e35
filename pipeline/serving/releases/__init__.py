"""Releases: which version serves, and how it changes while the service runs."""
