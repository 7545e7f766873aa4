"""The settings as a command sees them: the environment, with the command's switches on top."""

import os
import sys

from scheduler_svc.settings import Settings, load


def settings_with(**switches: object) -> Settings:
    """Read the settings; a switch that was given replaces its variable, and is judged like it.

    Raises SettingsRefused.
    """
    given = {
        f"SCHEDULER_{name.upper()}": str(value)
        for name, value in switches.items()
        if value is not None
    }
    return load(os.environ | given, terminal=sys.stdout.isatty())
