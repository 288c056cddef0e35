"""User state: purchases since the bundle was built, merged with its histories."""
