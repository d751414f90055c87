"""Small CSV tables of the measurements that are not a cell: plates, flicker, cost, steps, Set5."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.fidelity.scores import FOLDER

Row = dict[str, str]


def read(name: str, folder: Path | None = None) -> list[Row]:
    """Rows of ``name``.csv; empty where nothing was measured."""
    path = (folder or FOLDER) / f"{name}.csv"
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def merge(name: str, columns: Sequence[str], keys: Sequence[str], rows: Sequence[Row], folder: Path | None) -> None:
    """Put ``rows`` into ``name``.csv, over those of the same ``keys``; whole or not at all."""
    found = {tuple(row[key] for key in keys): row for row in [*read(name, folder), *rows]}
    _write(name, columns, list(found.values()), folder)


def forget(name: str, methods: Iterable[str], folder: Path | None = None) -> None:
    """Drop the rows of ``methods``, so that they are measured again."""
    rows, dropped = read(name, folder), set(methods)
    if rows:
        _write(name, list(rows[0]), [row for row in rows if row["method"] not in dropped], folder)


def _write(name: str, columns: Sequence[str], rows: Sequence[Row], folder: Path | None) -> None:
    path = (folder or FOLDER) / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_suffix(f".{os.getpid()}.tmp")
    with scratch.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    scratch.replace(path)
