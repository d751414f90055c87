"""A polite kill (SIGTERM) and Ctrl-C end a command by an exception; one that got lost is noticed at the next frame.

While a module is imported nothing is raised: Python wraps what is raised as a class comes into being in a
``RuntimeError``, which others may catch, and half-imported modules stay behind. The signal comes again a moment later.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from forensic.case.ending import Terminated
from forensic.case.progress import Progress, Task

_AGAIN = 0.05  # seconds
_RAISED: dict[int, type[KeyboardInterrupt]] = {signal.SIGTERM: Terminated, signal.SIGINT: KeyboardInterrupt}
_told: list[int] = []


def heed_signals() -> None:
    """From here on SIGTERM raises ``Terminated``, after which a run can be resumed; SIGINT ``KeyboardInterrupt``."""
    for signum in _RAISED:
        signal.signal(signum, end)


def end(signum: int, frame: FrameType | None) -> None:
    """Signal handler: raise what ``signum`` stands for, if not at once."""
    if signum in _RAISED:
        _told.append(signum)
    if not _told:
        return  # an alarm that was set before the work ended
    if _importing(frame) and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, end)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        return
    _disarm()
    raise _RAISED[_told[-1]]


def _disarm() -> None:
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def heed() -> None:
    """Raise again what a signal raised, where the work went on all the same: an exception raised inside a library's
    callback may be swallowed there. Not amid the handling of an exception, where the end is being put on record."""
    if _told and sys.exc_info()[0] is None:
        signum = _told[-1]
        _told.clear()
        _disarm()
        raise _RAISED[signum]


class _HeedingTask:
    def __init__(self, task: Task) -> None:
        self._task = task

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""
        heed()
        self._task.advance(amount)


class Heeding:
    """Passes on to ``progress``, and ends the work where a signal got lost."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def say(self, message: str) -> None:
        """One line for the person at the terminal."""
        self._progress.say(message)

    @contextmanager
    def task(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        """A piece of work of ``total`` units (None: unknown)."""
        with self._progress.task(title, total, unit) as task:
            yield _HeedingTask(task)
