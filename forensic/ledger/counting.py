"""The stored tally and index: loaded as far as some identifiers need them, written back where they changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection

from forensic.ledger.tally import Kind, Tally, prefixes

_STEP = 8  # digits: 16**8 identifiers before two share them by chance


def load_tally(connection: Connection, keys: Sequence[bytes], root: bytes) -> Tally:
    """The part of the stored tally on the way to ``keys``. What it holds is checked when it is used."""
    contents: dict[str, bytes] = {}
    first, last = 0, _STEP
    while True:
        paths = prefixes(keys, first, last)
        marks = ",".join("?" * len(paths))
        rows = connection.exec_driver_sql(
            f"SELECT path, content FROM tally WHERE path IN ({marks})",  # noqa: S608
            tuple(paths),
        )
        contents.update((path, bytes(content)) for path, content in rows)
        keys = [key for key in keys if is_branch(contents.get(key.hex()[:last]))]
        if not keys or last >= 64:
            return Tally(contents, root)
        first, last = last + 1, last + _STEP


def is_branch(content: bytes | None) -> bool:
    """Whether other identifiers share these digits."""
    return content is not None and len(content) == 512


def write_tally(connection: Connection, tally: Tally) -> None:
    """Store what ``add`` changed."""
    connection.exec_driver_sql(
        "INSERT INTO tally (path, content) VALUES (?, ?) ON CONFLICT (path) DO UPDATE SET content = excluded.content",
        [(path, tally.contents[path]) for path in sorted(tally.changed)],
    )
    tally.changed.clear()


def write_mentions(connection: Connection, mentions: Iterable[tuple[Kind, str, int]]) -> None:
    """Enter ``(kind, name, seq)`` into the index."""
    connection.exec_driver_sql("INSERT INTO mentions (kind, name, seq) VALUES (?, ?, ?)", list(mentions))
