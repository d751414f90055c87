"""A polite kill (SIGTERM) ends a command as an interrupt does; one that got lost is noticed at the next frame.

While a module is imported nothing is raised: Python wraps what is raised as a class comes into being in a
``RuntimeError``, which others may catch, and half-imported modules stay behind. The signal comes again a moment later.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from forensic.case.ending import Terminated
from forensic.case.progress import Progress, Task

_AGAIN = 0.05  # seconds
_told: list[int] = []


def terminate(signum: int, frame: FrameType | None) -> None:
    """A polite kill is recorded; unlike after Ctrl-C, a run can be resumed. Raises ``Terminated``, if not at once."""
    _told.append(signum)
    if _importing(frame) and hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, terminate)
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        return
    raise Terminated


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


def heed() -> None:
    """Raise ``Terminated`` where SIGTERM came and the work went on: an exception raised inside a library's callback may
    be swallowed there."""
    if _told:
        _told.clear()
        raise Terminated


class _HeedingTask:
    def __init__(self, task: Task) -> None:
        self._task = task

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""
        heed()
        self._task.advance(amount)


class Heeding:
    """Passes on to ``progress``, and ends the work where a termination got lost."""

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
