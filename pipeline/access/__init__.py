"""Access: who may ask the endpoint for what, how often, and what is kept of it."""
