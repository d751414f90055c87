"""A filter of system calls (seccomp-BPF), installed through ``ctypes``: what is not named here is refused.

Kernel documentation: Documentation/userspace-api/seccomp_filter.rst; numbers: the kernel's
arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h (aarch64). Refused calls fail with
EPERM; calls newer than this table fail with ENOSYS, upon which the C library takes the older way.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from dataclasses import dataclass

# name: (x86_64, aarch64); None where the architecture has no such call.
ALLOWED: dict[str, tuple[int | None, int | None]] = {
    "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
    "lseek": (8, 62), "close": (3, 57), "fstat": (5, 80), "fcntl": (72, 25), "ppoll": (271, 73), "poll": (7, None),
    "munmap": (11, 215), "mremap": (25, 216), "brk": (12, 214), "madvise": (28, 233), "futex": (202, 98),
    "set_robust_list": (273, 99), "rseq": (334, 293), "membarrier": (324, 283), "set_tid_address": (218, 96),
    "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139), "sigaltstack": (131, 132),
    "restart_syscall": (219, 128), "exit": (60, 93), "exit_group": (231, 94),
    "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115), "nanosleep": (35, 101),
    "gettimeofday": (96, 169), "time": (201, None),
    "getpid": (39, 172), "gettid": (186, 178), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
    "getrusage": (98, 165), "sysinfo": (99, 179), "uname": (63, 160), "getrandom": (318, 278),
}  # fmt: skip
# Allowed under a condition on an argument.
CLONE, MMAP, MPROTECT, TGKILL = (56, 220), (9, 222), (10, 226), (234, 131)
_ARCHITECTURES = {"x86_64": (0, 0xC000003E, 317), "aarch64": (1, 0xC00000B7, 277)}  # audit value; seccomp(2)
_NEWEST_KNOWN = 462  # Linux 6.10
_CLONE3 = 435
_X32 = 0x40000000

_LOAD, _JUMP_EQUAL, _JUMP_GREATER_EQUAL, _JUMP_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _ERROR = 0x7FFF0000, 0x80000000, 0x00050000
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_CLONE_THREAD, _PROT_EXEC = 0x00010000, 0x4
_SET_MODE_FILTER, _ALL_THREADS = 1, 1


@dataclass(frozen=True)
class _Step:
    """One instruction; jumps name labels."""

    code: int
    value: int
    true: str = ""
    false: str = ""
    label: str = ""


def _argument(index: int) -> int:
    return _ARGUMENTS_AT + 8 * index  # low half on these little-endian machines


def _steps(column: int, audit: int, pid: int) -> list[_Step]:
    refuse = _ERROR | errno.EPERM
    steps = [
        _Step(_LOAD, _ARCHITECTURE_AT),
        _Step(_JUMP_EQUAL, audit, "", "kill"),
        _Step(_LOAD, _NUMBER_AT),
    ]
    if column == 0:
        steps.append(_Step(_JUMP_GREATER_EQUAL, _X32, "refuse"))
    numbers = [pair[column] for pair in ALLOWED.values()]
    steps += [_Step(_JUMP_EQUAL, number, "allow") for number in numbers if number is not None]
    steps += [
        _Step(_JUMP_EQUAL, CLONE[column], "clone"),
        _Step(_JUMP_EQUAL, MMAP[column], "memory"),
        _Step(_JUMP_EQUAL, MPROTECT[column], "memory"),
        _Step(_JUMP_EQUAL, TGKILL[column], "signal"),
        _Step(_JUMP_EQUAL, _CLONE3, "unknown"),  # its flags lie in memory, where no filter can look
        _Step(_JUMP_GREATER_EQUAL, _NEWEST_KNOWN + 1, "unknown", "refuse"),
        _Step(_LOAD, _argument(0), label="clone"),  # threads, no processes
        _Step(_JUMP_BITS, _CLONE_THREAD, "allow", "refuse"),
        _Step(_LOAD, _argument(2), label="memory"),  # no new code
        _Step(_JUMP_BITS, _PROT_EXEC, "refuse", "allow"),
        _Step(_LOAD, _argument(0), label="signal"),  # abort() signals itself
        _Step(_JUMP_EQUAL, pid, "allow", "refuse"),
        _Step(_RETURN, _ALLOW, label="allow"),
        _Step(_RETURN, refuse, label="refuse"),
        _Step(_RETURN, _ERROR | errno.ENOSYS, label="unknown"),
        _Step(_RETURN, _KILL, label="kill"),
    ]
    return steps


def program(machine: str, pid: int) -> bytes:
    """The filter as an array of ``struct sock_filter`` for ``machine`` (``x86_64``, ``aarch64``)."""
    column, audit, _ = _ARCHITECTURES[machine]
    steps = _steps(column, audit, pid)
    places = {step.label: place for place, step in enumerate(steps) if step.label}

    def distance(place: int, label: str) -> int:
        return places[label] - place - 1 if label else 0

    return b"".join(
        struct.pack("=HBBI", step.code, distance(place, step.true), distance(place, step.false), step.value)
        for place, step in enumerate(steps)
    )


def install() -> str | None:
    """Put the filter on every thread of this process; None on success, else why it is not there.

    PR_SET_NO_NEW_PRIVS must have been set.
    """
    machine = platform.machine()
    if sys.platform != "linux":
        return f"not on {sys.platform}"
    if machine not in _ARCHITECTURES or sys.maxsize < 1 << 32 or sys.byteorder != "little":
        return f"not for {machine}"
    code = program(machine, os.getpid())
    buffer = ctypes.create_string_buffer(code, len(code))
    filter_program = struct.pack("=H6xQ", len(code) // 8, ctypes.addressof(buffer))  # struct sock_fprog
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    done = libc.syscall(
        ctypes.c_long(_ARCHITECTURES[machine][2]),
        ctypes.c_ulong(_SET_MODE_FILTER),
        ctypes.c_ulong(_ALL_THREADS),
        ctypes.c_char_p(filter_program),
    )
    return None if done == 0 else f"the kernel refused it: {os.strerror(ctypes.get_errno())}"
