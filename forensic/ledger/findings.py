"""What an audit says: its checks by number, what failed, what a reader should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forensic.ledger.entry import Head

_LISTED = 1000

CHECKS: dict[str, str] = {
    "L1": "the file is a sound SQLite database",
    "L2": "it has the ledger's schema, append-only triggers included, and nothing else",
    "L3": "entries are numbered 1, 2, 3, … without a gap",
    "L4": "every value has its type and an allowed size",
    "L5": "every entry is canonical JSON (RFC 8785) of the specified form",
    "L6": "every entry's SHA-256 is the one stored",
    "L7": "every entry names the hash of the one before it",
    "L8": "every envelope is a strict DSSE envelope holding exactly its entry",
    "L9": "every entry is signed by its actor's key, which an earlier entry introduced and none retired or revoked",
    "L10": "a clock that went back is marked, and only then",
    "L11": "events stand in a possible order",
    "L12": "the heads cited elsewhere are in the ledger",
    "L13": "every entry signs the root of the Merkle tree over the entries before it",
    "L14": "every entry names the entry before it in its case, its exhibit and its run",
    "L15": "every entry signs the root of the tally up to and with it",
    "L16": "the stored tree, index and tally are those of the entries",
    "L17": "the roots cited elsewhere are roots of this ledger",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong: its number, the check it failed, the entry (if one), and why."""

    number: int
    check: str
    seq: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class Note:
    """Something a reader should know that is not a fault: a clock set back, a run never finished."""

    seq: int | None
    text: str


@dataclass(frozen=True, slots=True)
class AuditResult:
    """The outcome. ``ok`` only if no check failed; at most 1000 findings and notes are listed, all are counted."""

    entries: int
    head: Head | None
    findings: tuple[Finding, ...]
    findings_total: int
    notes: tuple[Note, ...]
    notes_total: int
    signers: tuple[dict[str, Any], ...]
    """Facts of every certificate that the ledger introduces, in order: those of ``certificate_facts``,
    ``introduced_at_seq``, and where it applies ``role`` (text), ``retired_at_seq``, ``revoked_at_seq``."""
    root: str | None
    """RFC 9162 root (64 hexadecimal digits) over all entries as they are; None if there is none."""

    @property
    def ok(self) -> bool:
        """Whether the ledger holds in every respect that was checked."""
        return self.findings_total == 0

    def failed_checks(self) -> tuple[str, ...]:
        """Ids of the checks that failed (of those listed), in their order."""
        failed = {finding.check for finding in self.findings}
        return tuple(check for check in CHECKS if check in failed)

    def to_json(self) -> dict[str, Any]:
        """The whole outcome, JSON-ready."""
        return {
            "ok": self.ok,
            "entries": self.entries,
            "head": None if self.head is None else {"seq": self.head.seq, "hash": self.head.hash},
            "root": self.root,
            "checks": dict(CHECKS),
            "findings": [
                {"number": found.number, "check": found.check, "seq": found.seq, "reason": found.reason}
                for found in self.findings
            ],
            "findings_total": self.findings_total,
            "notes": [{"seq": note.seq, "text": note.text} for note in self.notes],
            "notes_total": self.notes_total,
            "signers": list(self.signers),
        }


class Findings:
    """Collects findings and notes; all are counted, the first 1000 of each are kept."""

    def __init__(self) -> None:
        self.listed: list[Finding] = []
        self.total = 0
        self.notes: list[Note] = []
        self.notes_total = 0

    def find(self, check: str, seq: int | None, reason: str) -> None:
        """Something is wrong."""
        self.total += 1
        if len(self.listed) < _LISTED:
            self.listed.append(Finding(self.total, check, seq, reason))

    def note(self, seq: int | None, text: str) -> None:
        """Something is odd."""
        self.notes_total += 1
        if len(self.notes) < _LISTED:
            self.notes.append(Note(seq, text))
