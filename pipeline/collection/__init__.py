"""Collection: raw tables become clean, validated, monthly tables."""
