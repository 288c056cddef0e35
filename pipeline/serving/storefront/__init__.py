"""Storefront: the page at `/` on which a person watches what a shopper is recommended."""
