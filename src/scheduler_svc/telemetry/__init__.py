"""Logs, metrics and traces, made from small frozen records at the edges.

Promises never to raise into the caller, and never to print a secret.
"""
