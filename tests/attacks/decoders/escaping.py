"""Tries what code that has taken the decoder over would try, and tells what came of it."""

import ctypes
import encodings.idna  # noqa: F401 - the socket module looks it up when it is too late to load
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from forensic.media.libav import ExhibitFile
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> None:
    if getattr(_libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _tcp(port: int) -> None:
    socket.create_connection(("127.0.0.1", port), timeout=2).close()


def _udp(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"secret", ("127.0.0.1", port))


def _process() -> None:
    if os.fork() == 0:
        os._exit(0)


def _unlimited() -> None:
    _call("setrlimit", resource.RLIMIT_AS, (ctypes.c_ulong * 2)(1 << 40, 1 << 40))


def attempts(parent: int, target: Path, secret: Path, port: int) -> dict[str, Callable[[], object]]:
    return {
        "tcp": lambda: _tcp(port),
        "udp": lambda: _udp(port),
        "unix socket": lambda: socket.socketpair(),
        "create a file": lambda: target.write_bytes(b"planted"),
        "open to write": lambda: os.open(secret, os.O_WRONLY),
        "read a file": lambda: secret.read_bytes(),
        "write the exhibit": lambda: os.write(0, b"changed"),
        "cut the exhibit": lambda: os.ftruncate(0, 0),
        "rename": lambda: secret.rename(target),
        "remove": lambda: secret.unlink(),
        "file in memory": lambda: os.memfd_create("x"),
        "list a folder": lambda: list(target.parent.iterdir()),
        "start a program": lambda: subprocess.run(["/bin/true"], check=True),
        "fork": _process,
        "exec": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "signal the parent": lambda: os.kill(parent, signal.SIGTERM),
        "trace the parent": lambda: _call("ptrace", 16, parent, 0, 0),
        "read the parent's memory": lambda: _call("process_vm_readv", parent, 0, 0, 0, 0, 0),
        "new code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC),
        "lift a limit": _unlimited,
        "be dumpable again": lambda: _call("prctl", 4, 1, 0, 0, 0),
        "new name space": lambda: _call("unshare", 0x10000000),
    }


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    # Told by the first bytes of the exhibit: port, file to make, file to read.
    port, target, secret = file.head(4096).split(b"\0")[0].decode().split("|")
    told = []
    for name, attempt in attempts(order.parent, Path(target), Path(secret), int(port)).items():
        try:
            attempt()
        except OSError as error:
            told.append(f"{name}: {error.errno}")
        else:
            told.append(f"{name}: DONE")
    outlet.say("error", code="media.escape-attempts", message=" | ".join(told), remedy="")


if __name__ == "__main__":
    sys.exit(main(work))
