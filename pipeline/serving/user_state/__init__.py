"""User state: purchases and events since the bundle's `as_of`, merged with its histories."""
