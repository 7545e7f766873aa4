"""What the tests of the client packages may ask for."""

from clients_support import address, asking, service

__all__ = ["address", "asking", "service"]
