"""The HTTP API: routes as values, handlers as functions, problems made at one place."""
