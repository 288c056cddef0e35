"""Serving: the HTTP service that answers `/recommend` and takes `/events` in."""
