"""A service that calls HTTP targets on a schedule, durably, on nothing but PostgreSQL.

Promises the version; the folders below say the rest.
"""

from importlib.metadata import version

__version__ = version("scheduler-svc")
