"""Collection: turns raw tables into clean, validated, monthly tables."""
