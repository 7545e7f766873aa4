"""Whom the embedded PostgreSQL runs as.

PostgreSQL refuses root, and root may be all there is (a container, a build machine). Then the
server runs as an unprivileged account, and no folder has its permissions widened for that: where
the account cannot reach the checkout (say, below /root), the server keeps the one capability that
lets it pass. For everybody else the server runs as the caller.
"""

import ctypes
import os
import pwd
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

_PR_SET_PDEATHSIG = 1
_PR_SET_SECUREBITS = 28
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_CAP_DAC_OVERRIDE = 1
# Changing the user id neither clears capabilities then, nor does access(2) ignore them.
_NO_SETUID_FIXUP = 1 << 2
_CAPABILITY_VERSION_3 = 0x20080522
_ACCOUNTS = ("postgres", "nobody")


class Account(NamedTuple):
    uid: int
    gid: int


def server_account(cluster: Path) -> Account | None:
    """Choose the account: None for the caller's own, else the cluster's owner or a known one."""
    if os.geteuid() != 0:
        return None
    if cluster.exists() and (owner := cluster.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise PermissionError(f"root may not run PostgreSQL, and there is no account {_ACCOUNTS}")


def becoming(account: Account | None, paths: list[Path]) -> Callable[[], None]:
    """Make the function that a forked child calls before it executes the server's programs."""
    needs_passage = account is not None and not all(_can_reach(account, path) for path in paths)

    def become() -> None:
        if account is not None:
            _drop_root(account, keep_passage=needs_passage)
        _end_with_parent()

    return become


def _can_reach(account: Account, path: Path) -> bool:
    return all(_may_enter(account, folder.stat()) for folder in path.resolve().parents)


def _may_enter(account: Account, folder: os.stat_result) -> bool:
    if folder.st_uid == account.uid:
        return bool(folder.st_mode & stat.S_IXUSR)
    if folder.st_gid == account.gid:
        return bool(folder.st_mode & stat.S_IXGRP)
    return bool(folder.st_mode & stat.S_IXOTH)


def _drop_root(account: Account, *, keep_passage: bool) -> None:
    keep_passage = keep_passage and sys.platform == "linux"
    if keep_passage:
        _prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP)
    os.setgroups([])
    os.setgid(account.gid)
    os.setuid(account.uid)
    if keep_passage:
        _keep_only(1 << _CAP_DAC_OVERRIDE)
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_OVERRIDE)


def _end_with_parent() -> None:
    """Ask for a fast shutdown should the guard itself be killed; set last, for setuid clears it."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _prctl(option: int, *arguments: int) -> None:
    padded = (*arguments, 0, 0, 0, 0)[:4]
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *(ctypes.c_ulong(argument) for argument in padded)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), f"prctl {option}")


def _keep_only(mask: int) -> None:
    """Set permitted, effective and inheritable capabilities (capset(2), version 3: two words)."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), "capset")
