"""The shelf: from a request and what is known of the shopper to items with reasons."""
