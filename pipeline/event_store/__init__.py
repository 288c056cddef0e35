"""The event store: events and predictions in a durable database."""
