"""The event store: what shoppers did and what they were shown, durably in a database."""
