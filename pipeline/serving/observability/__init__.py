"""Observability: metrics, logs and traces, with no user id in them."""
