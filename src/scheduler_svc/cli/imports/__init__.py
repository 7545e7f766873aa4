"""`import`: files of other schedulers in, a file of jobs and a report out. Asks no service."""
