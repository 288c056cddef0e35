"""Monitoring: replays production traffic, and judges drift and quality."""
