"""Reading entries for a verifier: standard library only, without a trace in the folder.

Nothing is checked here beyond the form of each entry: run the audit first.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

from forensic.errors import VerificationFailed
from forensic.ledger.entry import LedgerEntry, parse_entry
from forensic.ledger.readonly import reading


def audited_entries(path: Path) -> Iterator[LedgerEntry]:
    """Entries of the ledger at ``path`` in order.

    Raises ``VerificationFailed`` (``ledger.corrupt``) if the file cannot be read, ``BadInput``
    (``ledger.entry``) for an entry that is none.
    """
    try:
        with reading(path, leave_no_trace=True) as connection:
            for (entry,) in connection.execute("SELECT CAST(entry AS BLOB) FROM entries ORDER BY seq"):
                yield parse_entry(entry or b"")
    except (OSError, sqlite3.Error, UnicodeDecodeError) as error:
        raise VerificationFailed("ledger.corrupt", f"The ledger at {path} cannot be read: {error}.") from error
