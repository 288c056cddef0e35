"""Serving: the HTTP service that answers /recommend and stores /events."""
