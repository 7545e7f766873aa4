"""Commands that ask a running service over its API: what anybody may do who has a key for it.

They import nothing of the service but its words, so what they can do is what the API can do.
"""
