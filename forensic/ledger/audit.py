"""An independent audit of a ledger file: every check of docs/formats/ledger.md, numbered L1 to L12.

It shares the definitions of the format with the writer (entry, schema, order) but none of its
code: it reads with the standard library alone, and leaves the file and its folder as they were
wherever SQLite allows. Whatever the file holds, the answer is a list of findings, not an exception.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forensic.errors import ForensicError
from forensic.hashes import parse_canonical, sha256_bytes
from forensic.ledger.entry import (
    GENESIS,
    MAX_ENTRY_BYTES,
    MAX_ENVELOPE_BYTES,
    PAYLOAD_TYPE,
    Head,
    LedgerEntry,
    parse_entry,
)
from forensic.ledger.order import CREATED, INTRODUCED, EventOrder
from forensic.ledger.readonly import FileState, reading
from forensic.ledger.schema import APPLICATION_ID, USER_VERSION, schema_faults
from forensic.signing.certificate import Certificate, certificate_facts, key_id, read_certificate
from forensic.signing.dsse import verify_envelope

CHECKS: dict[str, str] = {
    "L1": "the file is a sound SQLite database",
    "L2": "it has the ledger's schema, append-only triggers included, and nothing else",
    "L3": "entries are numbered 1, 2, 3, … without a gap",
    "L4": "every value has its type and an allowed size",
    "L5": "every entry is canonical JSON (RFC 8785) of the specified form",
    "L6": "every entry's SHA-256 is the one stored",
    "L7": "every entry names the hash of the one before it",
    "L8": "every envelope is a strict DSSE envelope holding exactly its entry",
    "L9": "every entry is signed by its actor's key, which an earlier entry introduced",
    "L10": "a clock that went back is marked, and only then",
    "L11": "events stand in a possible order",
    "L12": "the heads cited elsewhere are in the ledger",
}

_LISTED = 1000
_LONGEST_VALUE = 2 * MAX_ENVELOPE_BYTES  # SQLite refuses to load more: a hostile row must not fill memory
_QUERY = """
SELECT seq, typeof(entry), typeof(entry_hash), typeof(envelope),
       CAST(entry AS BLOB), CAST(entry_hash AS BLOB), CAST(envelope AS BLOB)
FROM entries ORDER BY seq"""


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
    signers: tuple[dict[str, str], ...]
    """Facts of every certificate that the ledger introduces, in order."""

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


def audit(
    path: Path, expected_head: tuple[int, str] | None = None, *, cited_heads: Iterable[tuple[int, str]] = ()
) -> AuditResult:
    """Check the ledger at ``path`` completely. Never raises for anything that the file holds.

    ``expected_head`` and ``cited_heads`` are ``(seq, hash)`` pairs that later documents (an
    attestation, a report) cite: each must be in the ledger. Without them, entries cut off the end
    cannot be noticed: a shorter chain is still a chain.
    """
    cited = [Head(*head) for head in ([] if expected_head is None else [expected_head])]
    cited += [Head(*head) for head in cited_heads]
    try:
        before = FileState.of(path) if path.is_file() else None
        if before is None:
            return _unreadable(f"{path} is not a file", cited)
        result = _attempt(path, cited, leave_no_trace=True)
        if FileState.of(path) != before:  # somebody wrote meanwhile: read again, beside the writer
            result = _attempt(path, cited, leave_no_trace=False)
    except (OSError, ValueError) as error:  # ValueError: a path that no file can have
        return _unreadable(f"the file cannot be read: {error}", cited)
    return result


def _attempt(path: Path, cited: list[Head], *, leave_no_trace: bool) -> AuditResult:
    examination = _Examination(cited)
    try:
        with reading(path, leave_no_trace=leave_no_trace) as connection:
            connection.text_factory = bytes
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
            connection.execute("BEGIN")  # one consistent view for all queries
            examination.run(connection)
    except sqlite3.Error as error:
        examination.find("L1", None, f"SQLite cannot read it: {error}")
    return examination.result()


def _unreadable(reason: str, cited: list[Head]) -> AuditResult:
    examination = _Examination(cited)
    examination.find("L1", None, reason)
    return examination.result()


@dataclass
class _Examination:
    cited: list[Head]
    findings: list[Finding] = field(default_factory=list)
    findings_total: int = 0
    notes: list[Note] = field(default_factory=list)
    notes_total: int = 0
    entries: int = 0
    head: Head | None = None
    utc: str = ""
    certificates: dict[str, Certificate] = field(default_factory=dict)
    signers: list[dict[str, str]] = field(default_factory=list)
    order: EventOrder = field(default_factory=EventOrder)

    def __post_init__(self) -> None:
        self.cited_by_seq: dict[int, set[str]] = {}
        for seq, digest in self.cited:
            self.cited_by_seq.setdefault(seq, set()).add(digest)

    def find(self, check: str, seq: int | None, reason: str) -> None:
        self.findings_total += 1
        if len(self.findings) < _LISTED:
            self.findings.append(Finding(self.findings_total, check, seq, reason))

    def note(self, seq: int | None, text: str) -> None:
        self.notes_total += 1
        if len(self.notes) < _LISTED:
            self.notes.append(Note(seq, text))

    def result(self) -> AuditResult:
        for seq, digests in sorted(self.cited_by_seq.items()):
            for digest in sorted(digests):
                where = f"the ledger ends at {self.entries}" if seq > self.entries else "it is not in the ledger"
                self.find("L12", seq, f"entry {seq} with hash {digest} is cited elsewhere, but {where}")
        return AuditResult(
            entries=self.entries,
            head=self.head,
            findings=tuple(self.findings),
            findings_total=self.findings_total,
            notes=tuple(self.notes),
            notes_total=self.notes_total,
            signers=tuple(self.signers),
        )

    def run(self, connection: sqlite3.Connection) -> None:
        if not self._schema_is_usable(connection):
            return
        for (line,) in connection.execute("PRAGMA integrity_check(20)"):
            if line != b"ok":
                self.find("L1", None, f"SQLite's integrity check: {_text(line)}")
        self._walk(connection.execute(_QUERY))
        if self.entries == 0:
            self.find("L3", None, "there is no entry")
        for run, seq in self.order.unfinished().items():
            self.note(seq, f"run {run} started and did not finish")

    def _schema_is_usable(self, connection: sqlite3.Connection) -> bool:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            self.find("L2", None, "the file is not marked as a ledger (application_id)")
        if version != USER_VERSION:
            self.find("L2", None, f"the ledger's format version is {version}, not {USER_VERSION}")
        master = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 1000").fetchall()
        faults = schema_faults((_text(kind), _text(name), _text(sql)) for kind, name, sql in master)
        for fault in faults:
            self.find("L2", None, fault)
        # A table that is not the specified one may be a view that computes what it shows: not walked.
        return not any(fault.startswith("table entries") for fault in faults)

    def _walk(self, stored: Iterable[tuple[Any, ...]]) -> None:
        previous = GENESIS
        for seq, *types, entry, entry_hash, envelope in stored:
            self.entries += 1
            if seq != previous.seq + 1:
                self.find("L3", seq, f"entry {seq} follows entry {previous.seq}")
            if types != [b"text"] * 3:
                self.find("L4", seq, f"entry {seq} holds {' and '.join(_text(t) for t in types)} instead of text")
            if entry is None or entry_hash is None or envelope is None:
                previous = Head(seq, _text(entry_hash))
                continue
            if len(entry) > MAX_ENTRY_BYTES or len(envelope) > MAX_ENVELOPE_BYTES:
                self.find("L4", seq, f"entry {seq} has {len(entry)} bytes and its envelope {len(envelope)}: too large")
            # The next link is held against what this entry *is*, so that one change is one finding.
            actual = Head(seq, sha256_bytes(entry))
            self._examine(seq, previous, actual, entry, entry_hash, envelope)
            self.cited_by_seq.get(seq, set()).discard(actual.hash)
            previous = self.head = actual

    def _examine(
        self, seq: int, previous: Head, actual: Head, canonical: bytes, entry_hash: bytes, envelope: bytes
    ) -> None:
        if entry_hash != actual.hash.encode():
            self.find("L6", seq, f"entry {seq} hashes to {actual.hash}, not to the stored {_text(entry_hash)}")
        try:
            entry = parse_entry(canonical)
        except ForensicError as error:
            self.find("L5", seq, f"entry {seq}: {error.message}")
            return
        if entry.seq != seq:
            self.find("L5", seq, f"entry {seq} calls itself entry {entry.seq}")
        if entry.prev != previous.hash:
            self.find("L7", seq, f"entry {seq} names {entry.prev} as its predecessor, which is {previous.hash}")
        self._check_time(entry, seq)
        fault = self.order.fault(seq, entry.event, entry.case, entry.exhibit, entry.run)
        if fault is not None:
            self.find("L11", seq, f"entry {seq}: {fault}")
        self.order.admit(seq, entry.event, entry.case, entry.exhibit, entry.run)
        if entry.event == CREATED and seq == 1:
            self._introduce(entry, seq)  # signs itself; every later certificate is vouched for
        if self._signature_holds(entry, seq, envelope) and entry.event == INTRODUCED:
            self._introduce(entry, seq)

    def _check_time(self, entry: LedgerEntry, seq: int) -> None:
        went_back = entry.utc < self.utc
        if entry.time["clock_regression"] != went_back:
            self.find("L10", seq, f"entry {seq} says clock_regression {entry.time['clock_regression']}, wrongly")
        if went_back:
            self.note(seq, f"the clock went back from {self.utc} to {entry.utc}")
        self.utc = entry.utc

    def _introduce(self, entry: LedgerEntry, seq: int) -> None:
        pem = entry.data.get("certificate")
        try:
            certificate = read_certificate(pem if isinstance(pem, str) else "")
            facts = certificate_facts(certificate)
        except ForensicError as error:
            self.find("L9", seq, f"entry {seq} introduces no usable certificate: {error.message}")
            return
        self.certificates[key_id(certificate)] = certificate
        self.signers.append(facts)

    def _signature_holds(self, entry: LedgerEntry, seq: int, envelope: bytes) -> bool:
        try:
            parsed = parse_canonical(envelope)
            verified = verify_envelope(parsed, payload_type=PAYLOAD_TYPE, trusted=self.certificates)
        except ForensicError as error:
            about_signature = error.code in ("dsse.unknown-key", "dsse.certificate", "dsse.signature")
            self.find("L9" if about_signature else "L8", seq, f"entry {seq}: {error.message}")
            return False
        if verified.payload != entry.canonical:
            self.find("L8", seq, f"the envelope of entry {seq} holds another text than the entry")
            return False
        signers = [(key_id(c), c.subject.rfc4514_string()) for c in verified.certificates]
        if signers != [(entry.actor["key_id"], entry.actor["subject"])]:
            self.find("L9", seq, f"entry {seq} names an actor who did not sign it")
            return False
        certificate = verified.certificates[0]
        valid_from, valid_to = (
            certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
            certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S.999999Z"),
        )
        if not valid_from <= entry.utc <= valid_to:
            self.note(seq, f"entry {seq} is dated outside its certificate's validity")
        return True


def _text(value: Any) -> str:
    """For a message: bytes as text, whatever they hold, and not endlessly."""
    return value.decode("utf-8", "replace")[:2000] if isinstance(value, bytes) else str(value)
