"""Deployment: the challenger is bundled, checked in a running service, promoted and registered."""
