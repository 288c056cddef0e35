"""Presentation: how pages look. No stage depends on it: an edit here re-runs nothing."""
