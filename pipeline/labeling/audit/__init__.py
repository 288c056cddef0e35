"""Audit: label issues found, reviewed and counted."""
