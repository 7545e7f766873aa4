"""The process of one replica: everything is built here and ends together."""

from scheduler_svc.service.process import serve

__all__ = ["serve"]
