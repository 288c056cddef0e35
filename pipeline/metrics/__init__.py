"""Metrics: ranking quality, bootstrap intervals and drift statistics; one of each."""
