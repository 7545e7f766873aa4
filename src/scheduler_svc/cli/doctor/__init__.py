"""`doctor`: looks at everything that this service hangs on, and says what is wrong and what to do.

One file a family of checks; `checks.py` is the list. Nothing is changed, no check waits long, and
what can not be looked at is said and does not keep the others from being looked at.
"""
