"""Faults injected into production from outside the product, and what monitoring makes of them."""
