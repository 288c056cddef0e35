"""Deployment: the champion is bundled, proved in a running service, registered and promoted."""
