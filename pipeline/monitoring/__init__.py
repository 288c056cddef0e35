"""Monitoring: production traffic is replayed, drift and quality are judged."""
