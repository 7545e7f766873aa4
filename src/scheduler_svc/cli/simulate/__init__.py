"""`simulate`: what jobs will do in a stretch of time, and whether that is within limits.

Sends nothing. Jobs come from files, or from a running service.
"""
