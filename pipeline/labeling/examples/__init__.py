"""Examples: windows, baskets, carts and negatives from events."""
