"""Bundles: the served files and their manifest, the archive of versions, the release pointer."""
