"""What is wrong with a setting, and the refusal that carries all of it."""

from typing import NamedTuple


class SettingFault(NamedTuple):
    name: str
    detail: str


class SettingsRefused(Exception):
    """The environment cannot be used; carries every fault, each with the variable's name."""

    def __init__(self, faults: list[SettingFault]) -> None:
        self.faults = tuple(faults)
        lines = "\n".join(f"  {fault.name}: {fault.detail}" for fault in faults)
        super().__init__(f"{len(faults)} setting(s) cannot be used:\n{lines}")
