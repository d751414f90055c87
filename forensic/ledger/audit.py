"""An independent audit of a ledger file: every check of docs/formats/ledger.md, numbered L1 to L17.

It shares the definitions of the format with the writer (entry, schema, order, keys, tally) but none
of its code: it reads with the standard library alone, and leaves the file and its folder as they were
wherever SQLite allows. Whatever the file holds, the answer is a list of findings, not an exception.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from forensic.ledger.entry import MAX_ENVELOPE_BYTES, Head
from forensic.ledger.examination import Examination
from forensic.ledger.findings import CHECKS, AuditResult, Finding, Note
from forensic.ledger.readonly import FileState, reading

__all__ = ["CHECKS", "AuditResult", "Finding", "Note", "audit"]

_LONGEST_VALUE = 2 * MAX_ENVELOPE_BYTES  # SQLite refuses to load more: a hostile row must not fill memory


def audit(
    path: Path,
    expected_head: tuple[int, str] | None = None,
    *,
    cited_heads: Iterable[tuple[int, str]] = (),
    cited_roots: Iterable[tuple[int, str]] = (),
) -> AuditResult:
    """Check the ledger at ``path`` completely. Never raises for anything that the file holds.

    ``expected_head`` and ``cited_heads`` are ``(seq, hash)`` pairs that later documents (an
    attestation, a report) cite: each must be in the ledger. ``cited_roots`` are ``(size, root)`` pairs
    of checkpoints (root: 64 hexadecimal digits): each must be the Merkle root of the first ``size``
    entries. Without them, entries cut off the end cannot be noticed: a shorter chain is still a chain.
    """
    cited = [Head(*head) for head in ([] if expected_head is None else [expected_head])]
    cited += [Head(*head) for head in cited_heads]
    roots = list(cited_roots)
    try:
        before = FileState.of(path) if path.is_file() else None
        if before is None:
            return _unreadable(f"{path} is not a file", cited, roots)
        result = _attempt(path, cited, roots, leave_no_trace=True)
        if FileState.of(path) != before:  # somebody wrote meanwhile: read again, beside the writer
            result = _attempt(path, cited, roots, leave_no_trace=False)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        return _unreadable(f"the file cannot be read: {error}", cited, roots)
    return result


def _attempt(path: Path, cited: list[Head], roots: list[tuple[int, str]], *, leave_no_trace: bool) -> AuditResult:
    examination = Examination(cited, roots)
    try:
        with reading(path, leave_no_trace=leave_no_trace) as connection:
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            connection.execute("BEGIN")  # one consistent view for all queries
            examination.run(connection)
    except sqlite3.Error as error:
        examination.findings.find("L1", None, f"SQLite cannot read it: {error}")
    return examination.result()


def _unreadable(reason: str, cited: list[Head], roots: list[tuple[int, str]]) -> AuditResult:
    examination = Examination(cited, roots)
    examination.findings.find("L1", None, reason)
    return examination.result()
