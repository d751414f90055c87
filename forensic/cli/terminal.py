"""Talking to the person at the terminal: messages and progress on stderr, the result on stdout."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from forensic.case.progress import Silent, Task
from forensic.cli.termination import Heeding


def printable(text: str) -> str:
    """``text`` with control and direction-changing characters shown escaped, so that no file name or
    tag can begin a line of its own, move the cursor, recolour the screen or reverse a line."""
    return "".join(
        character
        if unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
        else f"\\u{ord(character):04x}"
        for character in text
    )


def result(text: str) -> None:
    """One line of the result, to stdout."""
    click.echo(printable(text))


def result_text(text: str) -> None:
    """Text of several lines that this program or a file of its own makes up, to stdout."""
    for line in text.splitlines():
        result(line)


def result_json(value: Any) -> None:
    """The result as one JSON value on one line, to stdout."""
    click.echo(json.dumps(value, ensure_ascii=True, sort_keys=True))


def facts_of(value: Any, indent: str = "") -> None:
    """Nested facts as indented text, to stdout."""
    for key, entry in value.items():
        if isinstance(entry, dict):
            result(f"{indent}{key}")
            facts_of(entry, indent + "  ")
        elif isinstance(entry, list) and any(isinstance(item, dict) for item in entry):
            result(f"{indent}{key}")
            for item in entry:
                facts_of(item, indent + "  ")
                result("")
        elif isinstance(entry, list):
            result(f"{indent}{key}")
            for item in entry:
                result(f"{indent}  - {item}")
        else:
            result(f"{indent}{key}: {entry}")


class _RichTask:
    def __init__(self, progress: Any, task_id: Any) -> None:
        self._progress, self._task_id = progress, task_id

    def advance(self, amount: int = 1) -> None:
        """So much more is done."""
        self._progress.advance(self._task_id, amount)


class Terminal:
    """Shows messages, and bars with remaining time where stderr is a terminal."""

    def say(self, message: str) -> None:
        """One line on stderr."""
        click.echo(printable(message), err=True)

    @contextmanager
    def task(self, title: str, total: int | None, unit: str) -> Iterator[Task]:
        """A progress bar; without a terminal, one line when the work begins."""
        if not sys.stderr.isatty():
            self.say(title if total is None else f"{title} ({total} {unit})")
            with Silent().task(title, total, unit) as silent:
                yield silent
            return
        from rich.console import Console
        from rich.markup import escape
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn(unit), TimeRemainingColumn(),
        )  # fmt: skip
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            yield _RichTask(progress, progress.add_task(escape(printable(title)), total=total))


def reporter(quiet: bool) -> Heeding:
    """What to give a use case as its progress."""
    return Heeding(Silent() if quiet else Terminal())
