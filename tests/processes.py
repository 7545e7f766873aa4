"""Processes as tests need them: frozen, awaited until gone."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import psutil


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process and its descendants with SIGSTOP, as a host that pauses would."""
    root = psutil.Process(pid)
    family = [root, *root.children(recursive=True)]
    for process in family:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(family):
            if process.is_running():
                process.send_signal(signal.SIGCONT)


def ends_within(pid: int, seconds: float) -> bool:
    """Wait for the end of a process that need not be a child of ours."""
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return True
    _, alive = psutil.wait_procs([process], timeout=seconds)
    return not alive
