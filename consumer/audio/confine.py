"""What a decoder process may not do, put into force by itself before it looks at a recording.

Whoever takes the process over through a flaw of a codec holds what is left: the recording it works on, the files for
its tracks, a processor for ``limits.decode_cpu_seconds``, and the memory that ``limits.decode_bytes`` gives.
"""

from __future__ import annotations

import contextlib
import ctypes
import resource
import sysconfig
import time
from dataclasses import dataclass
from pathlib import Path

from consumer.audio import landlock
from consumer.transcript.types import SAMPLE_BYTES, SAMPLE_RATE

OPEN_FILES = 1024
"""Most files; one for each channel of a split recording, and a few."""

SLACK_BYTES = 1 << 20
"""What a track may be longer than its limit: the last frame is written before it is counted as too much."""

LIBRARIES = frozenset(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
"""Folders of Python's own and of installed modules: one that imports a part of itself late must find it."""

_PR_SET_NO_NEW_PRIVS = 38
_CLONE_NEWUSER, _CLONE_NEWNET = 0x1000_0000, 0x4000_0000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one recording may take of the process.

    Attributes:
        seconds: longest audio, and by that the longest file.
        memory: bytes of address space.
        cpu_seconds: processor time.
    """

    seconds: int
    memory: int
    cpu_seconds: int


@dataclass(frozen=True, slots=True)
class Confinement:
    """What this system let a decoder process give up.

    Attributes:
        landlock: version of Landlock in force, 0 for none: then the process can read what its user can.
        own_network: it has a network namespace of its own, with nothing in it.
    """

    landlock: int
    own_network: bool


def give_up_rights() -> Confinement:
    """No core dumps, no new privileges, no files but Python's own libraries to read, no network as far as possible.

    Call it while there is one thread: some of this holds for the calling thread and those it starts afterwards. The
    network goes with a namespace of its own, where the system lets any user have one, and TCP with Landlock; a system
    that offers neither leaves both files and network to the process.

    Raises:
        OSError: the system refuses what every Linux grants.
    """
    with contextlib.suppress(OSError):  # when memory runs out, one recording is a cheaper loss than the service
        Path("/proc/self/oom_score_adj").write_text("500", encoding="ascii")
    _bound(resource.RLIMIT_CORE, 0)
    _bound(resource.RLIMIT_NOFILE, OPEN_FILES)
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs cannot be set")
    alone = _libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET) == 0  # containers often forbid it; then it changes nothing
    return Confinement(landlock.restrict(LIBRARIES), alone)


def start_nothing_more() -> None:
    """From now on no thread and no process can be started; the system exempts root from this."""
    _bound(resource.RLIMIT_NPROC, 0)


def bound_job(bounds: Bounds) -> None:
    """Bound the work on the next recording: processor time anew, the rest as before."""
    _bound(resource.RLIMIT_AS, bounds.memory)
    _bound(resource.RLIMIT_FSIZE, bounds.seconds * SAMPLE_RATE * SAMPLE_BYTES + SLACK_BYTES)
    # The soft limit alone, which can be raised again for the next recording; its signal ends the process. Time counts
    # from the start of the process, in whole seconds.
    end = int(time.process_time()) + 1 + bounds.cpu_seconds
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (end if hard == resource.RLIM_INFINITY else min(end, hard), hard))


def _bound(limit: int, value: int) -> None:
    """Set a limit for good; where the system already bounds it lower, that stays."""
    hard = resource.getrlimit(limit)[1]
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (bound, bound))
