"""Definitions of other schedulers as jobs of ours, with every difference in meaning said.

Pure: parsed documents in, drafts of jobs out. Files, YAML and reports are the command line's.
"""
