"""What the log's keys, events and times are called; light enough for the verifier."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from forensic.case.layout import WorkspaceLayout
from forensic.signing.note import SignatureType

KEY_INTRODUCED = "log.key-introduced"
ISSUED = "checkpoint.issued"
COSIGNED = "checkpoint.cosigned"
EXPORTED = "checkpoint.exported"
REFUSED = "checkpoint.refused"
COSIGNATURE_REFUSED = "checkpoint.cosignature-refused"
WITNESSED = "witness.cosigned"
LOG_ACCEPTED = "witness.log-accepted"
WITNESS_REFUSED = "witness.refused"

ANCHORING = ("log.", "checkpoint.", "timestamp.")
"""Families of events that only anchor others: by themselves they are no reason for a new checkpoint."""

_LATEST_UTC = 253402300799  # 9999-12-31T23:59:59Z


@dataclass(frozen=True)
class Purpose:
    """What a key is for: the word in the ledger, the first part of its name, and its type."""

    word: str
    family: str
    type: SignatureType

    def name(self, workspace_id: str) -> str:
        """The key's name in a workspace; that of the log's key is also the origin of its checkpoints."""
        return f"{self.family}/{workspace_id}"

    def path(self, layout: WorkspaceLayout) -> Path:
        """Where the key lies."""
        return layout.log_key if self.word == "log" else layout.witness_key


LOG = Purpose("log", "forensic-ledger", SignatureType.ED25519)
WITNESS = Purpose("witness", "forensic-witness", SignatureType.COSIGNATURE)


def time_text(time: int | None) -> str | None:
    """POSIX seconds as ISO 8601 in UTC; None for a time that no calendar has."""
    if time is None or not 0 < time <= _LATEST_UTC:
        return None
    return dt.datetime.fromtimestamp(time, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
