"""The walk of the audit through a ledger file, entry by entry, with the standard library's SQLite."""

from __future__ import annotations

import base64
import binascii
import sqlite3
from collections.abc import Iterable
from typing import Any

from forensic.errors import ForensicError
from forensic.hashes import parse_canonical, sha256_bytes
from forensic.ledger.entry import (
    GENESIS,
    MAX_ENTRY_BYTES,
    MAX_ENVELOPE_BYTES,
    PAYLOAD_TYPE,
    VERSION,
    Head,
    LedgerEntry,
    parse_entry,
)
from forensic.ledger.findings import AuditResult, Findings
from forensic.ledger.keys import KEY_EVENTS, KeyRules, Signer
from forensic.ledger.log import LogExamination
from forensic.ledger.order import CREATED, INTRODUCED, MIGRATED, EventOrder
from forensic.ledger.schema import APPLICATION_ID, CHAIN, MERKLE_LOG, SCHEMAS, schema_faults
from forensic.signing.certificate import key_id, signature_is_valid
from forensic.signing.dsse import pre_authentication_encoding, verify_envelope

_QUERY = """
SELECT seq, typeof(entry), typeof(entry_hash), typeof(envelope),
       CAST(entry AS BLOB), CAST(entry_hash AS BLOB), CAST(envelope AS BLOB)
FROM entries ORDER BY seq"""
_ENVELOPE = b'{"payload":"%s","payloadType":"' + PAYLOAD_TYPE.encode() + b'","signatures":[{"keyid":"%s","sig":"'
_ENVELOPE_END = b'"}]}'


class Examination:
    """One audit. ``cited`` are heads, ``roots`` are ``(size, root)`` pairs that must be in the ledger."""

    def __init__(self, cited: Iterable[Head], roots: Iterable[tuple[int, str]]) -> None:
        self.findings = Findings()
        self.entries = 0
        self.head: Head | None = None
        self._utc = ""
        self._version = 0  # of the entry before
        self._keys = KeyRules()
        self._order = EventOrder()
        self._log = LogExamination(self.findings, roots)
        self._cited: dict[int, set[str]] = {}
        for seq, digest in cited:
            self._cited.setdefault(seq, set()).add(digest)

    def result(self) -> AuditResult:
        """Everything that was found, cited heads and roots that were not met included."""
        for seq, digests in sorted(self._cited.items()):
            for digest in sorted(digests):
                where = f"the ledger ends at {self.entries}" if seq > self.entries else "it is not in the ledger"
                self.findings.find("L12", seq, f"entry {seq} with hash {digest} is cited elsewhere, but {where}")
        self._log.conclude()
        return AuditResult(
            entries=self.entries,
            head=self.head,
            findings=tuple(self.findings.listed),
            findings_total=self.findings.total,
            notes=tuple(self.findings.notes),
            notes_total=self.findings.notes_total,
            signers=tuple(self._keys.facts),
            root=self._log.root() if self.entries else None,
        )

    def run(self, connection: sqlite3.Connection) -> None:
        """Examine the whole file. Raises ``sqlite3.Error`` where SQLite cannot go on."""
        faults = self._schema_faults(connection)
        # A table that is not the specified one may be a view that computes what it shows: not walked.
        if any(fault.startswith("table entries ") for fault in faults):
            return
        for (line,) in connection.execute("PRAGMA integrity_check(20)"):
            if line != b"ok":
                self.findings.find("L1", None, f"SQLite's integrity check: {_text(line)}")
        if self._format == MERKLE_LOG and not any(
            fault.startswith(("table nodes ", "table mentions ", "table tally ")) for fault in faults
        ):
            self._log.compare_with_stored(connection)
        self._walk(connection.execute(_QUERY))
        self._log.compare_rest()
        if self.entries == 0:
            self.findings.find("L3", None, "there is no entry")
        elif self._format == MERKLE_LOG and self._version != VERSION:
            self.findings.find("L13", None, "the file is a Merkle log, but its last entry signs no tree")
        for run, seq in self._order.unfinished().items():
            self.findings.note(seq, f"run {run} started and did not finish")

    def _schema_faults(self, connection: sqlite3.Connection) -> list[str]:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION_ID:
            self.findings.find("L2", None, "the file is not marked as a ledger (application_id)")
        if version not in SCHEMAS:
            self.findings.find("L2", None, f"the ledger's format version is {version}, not {CHAIN} or {MERKLE_LOG}")
        self._format = version if version in SCHEMAS else MERKLE_LOG
        master = connection.execute("SELECT type, name, sql FROM sqlite_master LIMIT 1000").fetchall()
        faults = schema_faults(self._format, ((_text(kind), _text(name), _text(sql)) for kind, name, sql in master))
        if self._format == MERKLE_LOG and not any(fault.startswith("table alembic_version ") for fault in faults):
            migrations = connection.execute("SELECT version_num FROM alembic_version LIMIT 3").fetchall()
            if migrations != [(str(MERKLE_LOG).encode(),)]:
                faults.append("alembic_version does not name the present format version")
        for fault in faults:
            self.findings.find("L2", None, fault)
        return faults

    def _walk(self, stored: Iterable[tuple[Any, ...]]) -> None:
        previous = GENESIS
        find = self.findings.find
        for seq, *types, entry, entry_hash, envelope in stored:
            self.entries += 1
            if seq != previous.seq + 1:
                find("L3", seq, f"entry {seq} follows entry {previous.seq}")
            if types != [b"text"] * 3:
                find("L4", seq, f"entry {seq} holds {' and '.join(_text(t) for t in types)} instead of text")
            if entry is None or entry_hash is None or envelope is None:
                previous = Head(seq, _text(entry_hash))
                continue
            if len(entry) > MAX_ENTRY_BYTES or len(envelope) > MAX_ENVELOPE_BYTES:
                find("L4", seq, f"entry {seq} has {len(entry)} bytes and its envelope {len(envelope)}: too large")
            # The next link is held against what this entry *is*, so that one change is one finding.
            actual = Head(seq, sha256_bytes(entry))
            self._examine(seq, previous, actual, entry, entry_hash, envelope)
            self._log.append(entry)
            if self._cited:
                self._cited.get(seq, set()).discard(actual.hash)
            previous = self.head = actual

    def _examine(
        self, seq: int, previous: Head, actual: Head, canonical: bytes, entry_hash: bytes, envelope: bytes
    ) -> None:
        find = self.findings.find
        if entry_hash != actual.hash.encode():
            find("L6", seq, f"entry {seq} hashes to {actual.hash}, not to the stored {_text(entry_hash)}")
        try:
            entry = parse_entry(canonical)
        except ForensicError as error:
            find("L5", seq, f"entry {seq}: {error.message}")
            return
        if entry.seq != seq:
            find("L5", seq, f"entry {seq} calls itself entry {entry.seq}")
        if entry.prev != previous.hash:
            find("L7", seq, f"entry {seq} names {entry.prev} as its predecessor, which is {previous.hash}")
        self._check_time(entry, seq)
        self._check_version(entry, seq)
        self._log.examine(entry, seq)
        fault = self._order.fault(seq, entry.event, entry.case, entry.exhibit, entry.run)
        fault = fault or self._keys.fault(entry.event, entry.data)
        if fault is not None:
            find("L11", seq, f"entry {seq}: {fault}")
        self._order.admit(seq, entry.event, entry.case, entry.exhibit, entry.run)
        if entry.event == CREATED and seq == 1:
            self._admit_key(entry, seq)  # signs itself; every later certificate is vouched for
        if self._signature_holds(entry, seq, envelope) and entry.event in KEY_EVENTS and entry.event != CREATED:
            self._admit_key(entry, seq, allowed=fault is None)

    def _check_version(self, entry: LedgerEntry, seq: int) -> None:
        if entry.version < self._version:
            self.findings.find("L5", seq, f"entry {seq} is of the older form, after one of the newer")
        if self._format == CHAIN and entry.version != CHAIN:
            self.findings.find("L5", seq, f"entry {seq} is of the newer form, in a ledger of the older")
        migrates = entry.version == VERSION and self._version == CHAIN
        if migrates != (entry.event == MIGRATED) or (migrates and entry.data != {"from": CHAIN, "to": MERKLE_LOG}):
            self.findings.find("L11", seq, f"entry {seq}: {MIGRATED} stands where the newer form begins, only there")
        self._version = max(self._version, entry.version)

    def _check_time(self, entry: LedgerEntry, seq: int) -> None:
        went_back = entry.utc < self._utc
        if entry.time["clock_regression"] != went_back:
            self.findings.find(
                "L10", seq, f"entry {seq} says clock_regression {entry.time['clock_regression']}, wrongly"
            )
        if went_back:
            self.findings.note(seq, f"the clock went back from {self._utc} to {entry.utc}")
        self._utc = entry.utc

    def _admit_key(self, entry: LedgerEntry, seq: int, *, allowed: bool = True) -> None:
        if not allowed and entry.event == INTRODUCED:
            return  # a closed key does not come back by an entry that may not stand here
        try:
            self._keys.admit(seq, entry.event, entry.data)
        except ForensicError as error:
            self.findings.find("L9", seq, f"entry {seq} introduces no usable certificate: {error.message}")

    def _signature_holds(self, entry: LedgerEntry, seq: int, envelope: bytes) -> bool:
        signer = self._keys.signers.get(entry.actor["key_id"])
        if signer is not None and signer.subject == entry.actor["subject"] and _holds(entry, signer, envelope):
            pass
        elif (fault := self._envelope_fault(entry, envelope)) is not None:
            self.findings.find(fault[0], seq, fault[1].format(seq=seq))
            return False
        signer = self._keys.signers[entry.actor["key_id"]]
        if signer.closed is not None:
            self.findings.find("L9", seq, f"entry {seq} is signed with a key after {signer.closed}")
            return False
        if not signer.valid_from <= entry.utc <= signer.valid_to:
            self.findings.note(seq, f"entry {seq} is dated outside its certificate's validity")
        return True

    def _envelope_fault(self, entry: LedgerEntry, envelope: bytes) -> tuple[str, str] | None:
        """Which check an envelope fails that is not plainly the right one, and how."""
        try:
            parsed = parse_canonical(envelope)
            verified = verify_envelope(parsed, payload_type=PAYLOAD_TYPE, trusted=self._keys.certificates())
        except ForensicError as error:
            about_signature = error.code in ("dsse.unknown-key", "dsse.certificate", "dsse.signature")
            message = error.message.replace("{", "{{").replace("}", "}}")
            return "L9" if about_signature else "L8", "entry {seq}: " + message
        if verified.payload != entry.canonical:
            return "L8", "the envelope of entry {seq} holds another text than the entry"
        signers = [(key_id(c), c.subject.rfc4514_string()) for c in verified.certificates]
        if signers != [(entry.actor["key_id"], entry.actor["subject"])]:
            return "L9", "entry {seq} names an actor who did not sign it"
        return None


def _holds(entry: LedgerEntry, signer: Signer, envelope: bytes) -> bool:
    """Whether ``envelope`` is, byte for byte, the canonical one with a valid signature by the actor's key.

    Quicker than to parse it; what it does not take is looked at thoroughly.
    """
    start = _ENVELOPE % (base64.b64encode(entry.canonical), entry.actor["key_id"].encode())
    if not envelope.startswith(start) or not envelope.endswith(_ENVELOPE_END):
        return False
    text = envelope[len(start) : -len(_ENVELOPE_END)]
    try:
        signature = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    if base64.b64encode(signature) != text:
        return False
    return signature_is_valid(signer.certificate, signature, pre_authentication_encoding(PAYLOAD_TYPE, entry.canonical))


def _text(value: Any) -> str:
    """For a message: bytes as text, whatever they hold, and not endlessly."""
    return value.decode("utf-8", "replace")[:2000] if isinstance(value, bytes) else str(value)
