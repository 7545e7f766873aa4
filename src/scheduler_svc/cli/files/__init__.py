"""Files of jobs: read with their lines, written so that a difference between two is easy to read.

Nothing here asks a service; what a job may be is judged there.
"""
