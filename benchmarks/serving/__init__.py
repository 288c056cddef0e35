"""How fast and how robust the endpoint is."""
