"""What the child does to itself before it reads a byte of the file. Nothing of it can be undone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from forensic.media.sandbox import seccomp

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_NO_NEW_PRIVS = 1, 4, 38
_OPEN_FILES = 16
UNAVAILABLE = "not available"


def confine(parent: int, memory: int, cpu_s: int) -> dict[str, Any]:
    """Confine this process; return what is in force, for the record.

    ``memory``: bytes of address space beyond what is taken now. ``cpu_s``: processor seconds until the first
    renewal by the parent, whose process id is ``parent``. What a platform lacks is said, not an error.
    """
    linux = sys.platform == "linux"
    dies = False
    if linux:
        # The system may take memory back from here first. Refused only where /proc is.
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")
        dies = _prctl(_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit(0)  # it ended before the line above
    limits = _limits(memory, cpu_s)
    no_new_privileges = linux and _prctl(_SET_DUMPABLE, 0) and _prctl(_SET_NO_NEW_PRIVS, 1)
    why_not = seccomp.install() if no_new_privileges else f"not on {sys.platform}" if not linux else "no_new_privs"
    filtered = why_not is None
    return {
        "process": "separate",
        "system_call_filter": "seccomp" if filtered else f"{UNAVAILABLE}: {why_not}",
        "network": "blocked" if filtered else UNAVAILABLE,
        "opening_files": "blocked" if filtered else UNAVAILABLE,
        "new_processes": "blocked" if filtered else UNAVAILABLE,
        "no_new_privileges": bool(no_new_privileges),
        "ends_with_parent": dies,
        "limits": limits,
    }


def _prctl(option: int, value: int) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    return libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero) == 0


def _limits(memory: int, cpu_s: int) -> dict[str, Any]:
    if resource is None:
        return {"resource_limits": UNAVAILABLE}
    set_ = {
        "written_file_bytes": _lower(resource.RLIMIT_FSIZE, 0),
        "core_bytes": _lower(resource.RLIMIT_CORE, 0),
        "open_files": _lower(resource.RLIMIT_NOFILE, _OPEN_FILES),
        # Without prlimit(2) the parent cannot renew it, and a long recording would be cut off.
        "processor_s": _lower(resource.RLIMIT_CPU, cpu_s, hard=False) if hasattr(resource, "prlimit") else None,
        "address_space_bytes": None,
    }
    taken = _address_space()
    if taken is not None:
        set_["address_space_bytes"] = _lower(resource.RLIMIT_AS, taken + memory, hard=False) and memory
    return {name: UNAVAILABLE if value is None else value for name, value in set_.items()}


def _lower(kind: int, value: int, *, hard: bool = True) -> int | None:
    """Set a limit, never above what is in force. ``hard`` False leaves room for the parent to raise it."""
    _, highest = resource.getrlimit(kind)
    if highest != resource.RLIM_INFINITY:
        value = min(value, highest)
    try:
        resource.setrlimit(kind, (value, value if hard else highest))
    except (OSError, ValueError):
        return None
    return value


def _address_space() -> int | None:
    """Bytes of address space taken now, where the system tells."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except (OSError, ValueError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
