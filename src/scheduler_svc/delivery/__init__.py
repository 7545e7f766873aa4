"""Calls to targets: the request, the guarded way out, the HTTP exchange and what came of it."""
