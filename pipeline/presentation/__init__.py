"""Presentation: the look of HTML pages. No stage depends on it: an edit here re-runs nothing."""
