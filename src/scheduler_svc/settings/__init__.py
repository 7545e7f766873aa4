"""What an operator can set, read once from the environment into one frozen struct."""

from scheduler_svc.settings.edge import refuse_unsafe
from scheduler_svc.settings.fault import SettingFault, SettingsRefused
from scheduler_svc.settings.fields import Settings
from scheduler_svc.settings.listing import table
from scheduler_svc.settings.reading import load

__all__ = ["SettingFault", "Settings", "SettingsRefused", "load", "refuse_unsafe", "table"]
