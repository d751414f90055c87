"""The parent's side: start the decoder process, listen to it, end it, and say why it ended."""

from __future__ import annotations

import contextlib
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any, cast

from forensic.errors import BadInput, InternalError
from forensic.frames.frame import Geometry
from forensic.media.libav import ExhibitFile, out_of_memory
from forensic.media.sandbox.framing import Breach, receive
from forensic.media.sandbox.order import Order
from forensic.media.visible import visible

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

DECODER = "forensic.media.sandbox.decoder"
_AHEAD_BYTES = 64 << 20
_MOST_AHEAD = 8
_PIPE_BYTES = 1 << 20
_LAST_WORDS = 2000
_START_S = 120.0
_CODE = re.compile(r"(media|frame)\.[a-z-]{1,40}")
_KEPT_ENVIRONMENT = ("PATH", "PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT", "VIRTUAL_ENV")
_F_SETPIPE_SZ = 1031

Take = Callable[[dict[str, Any], int, RawIOBase], Any]


@dataclass(frozen=True)
class Limits:
    """What a decoder is granted. The figures follow from the file alone, not from the machine.

    ``memory``: bytes of address space while the file is opened; then ``pictures`` times the size of one
    picture more. ``silent_s``: wall seconds without a sign of work, a second more per megapixel.
    ``barren_s``: wall seconds without a frame.
    """

    memory: int = 3 << 30
    pictures: int = 24
    silent_s: float = 60.0
    barren_s: float = 900.0

    def memory_for(self, picture_bytes: int) -> int:
        """Bytes of address space once the size of a picture is known."""
        return self.memory + self.pictures * picture_bytes


class DecoderProcess:
    """Context manager over one child that works on the file at ``path``.

    ``task`` as in :class:`~forensic.media.sandbox.order.Order`. ``take`` turns a message
    with a payload into what :meth:`next` gives out; it runs on the thread that listens. ``coding`` as in the
    order. ``module`` is the child's program; only tests give another. Raises ``BadInput`` as
    ``ExhibitFile.at``, and whatever the child found or died of: ``media.decoder-crashed``,
    ``media.decoder-timeout``, ``media.decoder-memory``, ``media.decoder-failed``, ``media.decoder-breach``.

    The system ends the child with the *thread* that started it: start it in a thread that lives as long.
    """

    def __init__(
        self,
        path: Path | None,
        task: str,
        *,
        limits: Limits | None = None,
        take: Take | None = None,
        module: str = DECODER,
        coding: bool = False,
    ) -> None:
        self._path = path
        self._coding = coding
        self._task = task
        self.limits = limits or Limits()
        self._take = take
        self._module = module
        self._heard: queue.SimpleQueue[tuple[dict[str, Any], Any] | Exception | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(0)  # for messages with a payload, until `grant`
        self._silent_s = _START_S  # until it is ready: a busy machine takes its time to import
        self._last_words = b""
        self._closed = self._let_go = False
        self._go: int | None = None
        self.isolation: dict[str, Any] = {}

    def __enter__(self) -> DecoderProcess:
        file = None if self._path is None else ExhibitFile.at(self._path)
        try:
            label = "" if file is None else file.label
            self.size = 0 if file is None else file.size
            self._child = self._start(label, subprocess.DEVNULL if file is None else file.fileno())
        finally:
            if file is not None:
                file.close()
        self._began = self._sign = self._renewed = time.monotonic()
        self._threads = [
            threading.Thread(target=self._listen, name="decoder", daemon=True),
            threading.Thread(target=self._hear_last_words, name="decoder-words", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        try:
            ready, _ = self.expect("ready")
            isolation = ready.get("isolation")
            if not isinstance(isolation, dict):
                raise self._breach("no word of its confinement")
            self.isolation = isolation
            self._silent_s = self.limits.silent_s
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self, label: str, stdin: int) -> subprocess.Popen[bytes]:
        if not sys.executable:
            raise InternalError("media.no-interpreter", "The program does not know its own interpreter.")
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        environment |= {
            # What this process imports from, and never the current folder, which may be somebody else's.
            "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUTF8": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",
        }
        posix = os.name == "posix"
        go, self._go = os.pipe() if posix else (None, None)
        order = Order(self._task, label, os.getpid(), self.limits.memory, self._processor_s(0.0), go, self._coding)
        try:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", self._module, order.to_json()],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                pass_fds=() if go is None else (go,),
                start_new_session=True,  # Ctrl-C is for us; we end the child
            )
        except OSError as error:
            self._close_go()
            raise InternalError("media.decoder-start", f"The decoder process cannot be started: {error}.") from error
        finally:
            if go is not None:
                os.close(go)
        self._widen(cast("RawIOBase", child.stdout))
        return child

    @staticmethod
    def _widen(pipe: RawIOBase) -> None:
        try:
            import fcntl
        except ImportError:  # Windows
            return
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)

    def grant(self, geometry: Geometry) -> None:
        """Adapt memory, patience and how far the child may run ahead to the size of the pictures; let it go on."""
        samples = sum(rows * columns for rows, columns in geometry.plane_shapes)
        picture_bytes = samples * geometry.layout.dtype.itemsize
        self._silent_s = self.limits.silent_s + geometry.width * geometry.height / 1e6
        self._grant_memory(self.limits.memory_for(picture_bytes))
        self.go_on(max(1, min(_MOST_AHEAD, _AHEAD_BYTES // picture_bytes)))

    def go_on(self, ahead: int) -> None:
        """Take in up to ``ahead`` messages with a payload beyond the one asked for."""
        self._let_go = True
        self._room.release(ahead)
        if self._go is not None:
            with contextlib.suppress(OSError):  # it has ended: the next message will say why
                os.write(self._go, b".")

    def _grant_memory(self, more: int) -> None:
        granted = self.isolation.get("limits")
        if resource is None or not hasattr(resource, "prlimit") or not isinstance(granted, dict):
            return
        if granted.get("address_space_bytes") != self.limits.memory:
            return
        with contextlib.suppress(OSError, ValueError):  # it has ended, or may not be asked
            now, highest = resource.prlimit(self._child.pid, resource.RLIMIT_AS)
            resource.prlimit(self._child.pid, resource.RLIMIT_AS, (now - self.limits.memory + more, highest))
            granted["address_space_bytes"] = more

    def _processor_s(self, elapsed: float) -> int:
        """The child works on one thread: it cannot use more processor time than has passed."""
        return int(elapsed + 2 * self.limits.silent_s) + 2

    def _renew(self, now: float) -> None:
        if now - self._renewed < self.limits.silent_s / 4 or resource is None or not hasattr(resource, "prlimit"):
            return
        self._renewed = now
        with contextlib.suppress(OSError, ValueError):
            _, highest = resource.prlimit(self._child.pid, resource.RLIMIT_CPU)
            seconds = self._processor_s(now - self._began)
            if highest == resource.RLIM_INFINITY or seconds < highest:
                resource.prlimit(self._child.pid, resource.RLIMIT_CPU, (seconds, highest))

    def _listen(self) -> None:
        """Thread: read messages, count them as signs of life, pass them on in order."""
        pipe = cast("RawIOBase", self._child.stdout)
        try:
            while (message := receive(pipe)) is not None:
                header, length = message
                self._sign = time.monotonic()
                self._renew(self._sign)
                if header["kind"] == "alive" and not length:
                    continue
                content = None
                if length:
                    if self._take is None or (self._go is not None and not self._let_go):
                        raise Breach("a payload where none belongs")
                    self._room.acquire()
                    if self._closed:
                        return
                    content = self._take(header, length, pipe)
                self._heard.put((header, content))
            self._heard.put(None)
        except (Breach, BadInput, OSError, ValueError, MemoryError) as error:
            self._heard.put(error)

    def _hear_last_words(self) -> None:
        pipe = cast("RawIOBase", self._child.stderr)
        with contextlib.suppress(OSError, ValueError):
            while data := pipe.read(_LAST_WORDS):
                self._last_words = (self._last_words + data)[-_LAST_WORDS:]

    def next(self, since: float | None = None) -> tuple[dict[str, Any], Any]:
        """The next message and what ``take`` made of its payload. Raises ``BadInput`` for any other end.

        ``since``: when the caller began to wait for something of use (``time.monotonic``), now if None.
        """
        asked = time.monotonic() if since is None else since
        while True:
            now = time.monotonic()
            silent = now - max(self._sign, asked)
            left = min(self._silent_s - silent, self.limits.barren_s - (now - asked))
            try:
                heard = self._heard.get(timeout=max(0.05, left))
                break
            except queue.Empty:
                if left <= 0:
                    raise self._too_slow(silent >= self._silent_s) from None
        if heard is None:
            raise self._ended()
        if isinstance(heard, MemoryError):
            raise out_of_memory() from heard
        if isinstance(heard, Exception):
            raise self._ended(heard if isinstance(heard, Breach) else None) from heard
        header, content = heard
        if content is not None:
            self._room.release()
        if header["kind"] == "error":
            raise self._reported(header)
        return header, content

    def expect(self, *kinds: str, since: float | None = None) -> tuple[dict[str, Any], Any]:
        """As :meth:`next`; a message of another kind is a breach."""
        header, content = self.next(since)
        if header["kind"] not in kinds:
            raise self._breach(f"{header['kind'][:40]!r} where {' or '.join(kinds)} is due")
        return header, content

    def _reported(self, header: dict[str, Any]) -> BadInput:
        code, message, remedy = (header.get(name) for name in ("code", "message", "remedy"))
        if not (isinstance(code, str) and isinstance(message, str) and isinstance(remedy, str)):
            return self._breach("an error without words")
        if not _CODE.fullmatch(code):
            return self._breach("an error of another area")
        return BadInput(code, visible(message), visible(remedy))

    def breach(self, error: Breach) -> BadInput:
        """The error for an answer that no honest decoder gives."""
        return self._breach(str(error))

    def _breach(self, what: str) -> BadInput:
        return BadInput(
            "media.decoder-breach",
            f"The decoder process answered against its protocol ({visible(what, 200)}): "
            "the file may have taken it over.",
            "Do not open the file with other software on this machine; have it examined.",
        )

    def _too_slow(self, silent: bool) -> BadInput:
        self._child.kill()
        what = (
            f"showed no sign of work for {self._silent_s:.0f} s"
            if silent
            else f"gave no frame for {self.limits.barren_s:.0f} s"
        )
        return BadInput(
            "media.decoder-timeout", f"The decoder {what} and was ended.", "The file is damaged or made to do harm."
        )

    def _ended(self, breach: Breach | None = None) -> BadInput:
        """Why the child ended, from its status."""
        try:
            status = self._child.wait(5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            return self._breach("it closed the pipe and went on")
        if status == 0:
            return self._breach("it ended without a result" if breach is None else str(breach))
        if status < 0:
            return self._killed(-status)
        for thread in self._threads[1:]:
            thread.join(5)
        said = visible(self._last_words.decode("utf-8", "replace").strip().rpartition("\n")[2], 300)
        if said.startswith("MemoryError"):
            return out_of_memory()
        return BadInput(
            "media.decoder-failed", f"The decoder stopped: {said or f'status {status}'}.", "Please report this defect."
        )

    def _killed(self, number: int) -> BadInput:
        name = signal.Signals(number).name if number in {s.value for s in signal.Signals} else str(number)
        if name == "SIGXCPU":
            return BadInput(
                "media.decoder-timeout", "The decoder used up its processor time and was ended.",
                "The file is damaged or made to do harm.",
            )  # fmt: skip
        why = " (the system takes memory back this way)" if name == "SIGKILL" else ""
        return BadInput(
            "media.decoder-crashed", f"The decoder crashed on the file: signal {name}{why}.",
            "The file is damaged or made to do harm; nothing else was touched.",
        )  # fmt: skip

    def close(self) -> None:
        """End the child, whatever it is doing, and the threads that listen to it."""
        self._closed = True
        self._child.kill()
        self._room.release(_MOST_AHEAD)
        self._child.wait()
        for thread in self._threads:
            thread.join(5)
        for pipe in (self._child.stdout, self._child.stderr):
            if pipe is not None:
                pipe.close()
        self._close_go()

    def _close_go(self) -> None:
        if self._go is not None:
            os.close(self._go)
            self._go = None


def isolation_here() -> dict[str, Any]:
    """What confines a decoder on this machine: starts one that only looks. Raises ``BadInput``, ``InternalError``."""
    with DecoderProcess(None, "look") as process:
        return process.isolation
