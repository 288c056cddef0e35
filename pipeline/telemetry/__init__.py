"""Telemetry: what the endpoint tells about itself, and never about a shopper by name."""
