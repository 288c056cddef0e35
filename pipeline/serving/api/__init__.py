"""API: routes, middleware and the OpenAPI document."""
