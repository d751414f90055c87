"""What a long use case tells its caller while it works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Task(Protocol):
    """One measured piece of work."""

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""


class Progress(Protocol):
    """Receives messages and progress; the command line shows them, a library caller may not."""

    def say(self, message: str) -> None:
        """One line for the person at the terminal."""

    @contextmanager
    def task(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        """A piece of work of ``total`` units (None: unknown)."""


class _SilentTask:
    def advance(self, amount: int = 1) -> None:
        """Nothing to show."""


class Silent:
    """Shows nothing."""

    def say(self, message: str) -> None:
        """Nothing to show."""

    @contextmanager
    def task(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        """Nothing to show."""
        yield _SilentTask()
