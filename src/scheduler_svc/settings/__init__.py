"""What an operator can set, read once from the environment into one frozen struct."""

from scheduler_svc.settings.fields import Settings
from scheduler_svc.settings.listing import table
from scheduler_svc.settings.reading import SettingFault, SettingsRefused, load

__all__ = ["SettingFault", "Settings", "SettingsRefused", "load", "table"]
