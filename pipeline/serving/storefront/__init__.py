"""Storefront: the page at `/` that shows what a shopper is recommended, and why."""
