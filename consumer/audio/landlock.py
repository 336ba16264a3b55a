"""Landlock: a Linux process gives up rights for good, and needs no privilege for it (Linux 5.13 and later).

The kernel's own interface, since no library for it is kept up. Numbers and layouts are those of ``linux/landlock.h``;
the numbers of the system calls are the same on every architecture that Python runs on.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION = 1
_PATH_BENEATH = 1

_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 5: 16}
"""Since which version of the interface the kernel knows how many rights on files; each is a bit."""
TCP_SINCE, _TCP = 4, 0b11
"""To listen and to connect."""
_SCOPES_SINCE, _SCOPES = 6, 0b11
"""Abstract Unix sockets and signals stay among processes that are confined together."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scopes", ctypes.c_uint64))


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The interface that the kernel offers; 0 when it has none, has it turned off, or a container forbids it."""
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(_ASK_VERSION))
    except OSError:
        return 0


def restrict(readable: Iterable[Path]) -> int:
    """Leave the calling thread, and all that it starts, no rights but to read what lies in the given folders.

    Files that are open stay open. From then on no file can be opened, made, removed or executed elsewhere; no other
    process can be traced, nor its environment read; from version 4 on no TCP connection can be made or taken, from
    version 6 on no signal reaches a process outside. UDP is not covered.

    Returns:
        The version in force, see `version`; with 0 nothing has changed.

    Raises:
        OSError: the kernel offers Landlock and refuses it; ``PR_SET_NO_NEW_PRIVS`` must have been set.
    """
    offered = version()
    if not offered:
        return 0
    rules = _Ruleset(
        files=(1 << max(count for since, count in _FILE_RIGHTS.items() if since <= offered)) - 1,
        net=_TCP if offered >= TCP_SINCE else 0,
        scopes=_SCOPES if offered >= _SCOPES_SINCE else 0,
    )
    ruleset = _call(_CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), ctypes.c_uint32(0))
    try:
        for folder in readable:
            _allow_reading(ruleset, folder)
        _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    finally:
        os.close(ruleset)
    return offered


def _allow_reading(ruleset: int, folder: Path) -> None:
    try:
        parent = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        return  # what is not there needs no permission
    try:
        rule = _PathBeneath(_READ_FILE | _READ_DIR, parent)
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(_PATH_BENEATH), ctypes.byref(rule), ctypes.c_uint32(0))
    finally:
        os.close(parent)


def _call(number: int, *arguments: object) -> int:
    result: int = _libc.syscall(ctypes.c_long(number), *arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result
