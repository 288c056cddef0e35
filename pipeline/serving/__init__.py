"""Serving: answers `/recommend` from history, cart and what was viewed a second ago."""
