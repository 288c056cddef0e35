"""Recommenders: every method maps raw requests to ranked items."""
