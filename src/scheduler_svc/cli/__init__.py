"""The commands of `scheduler-svc`: one file for each, one list of them in `commands`.

Promises exit code 0 for done, 1 for failed, 2 for a wrong call or settings that cannot be used.
"""
