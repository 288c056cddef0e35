"""Peers: how other people's methods, and ours, are fitted and asked at one cut-off."""
