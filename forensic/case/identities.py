"""Who may sign in a workspace, as its ledger says: keys, names, roles, the laboratory's authority.

Read from entries alone, so that a verifier who holds only an extract learns the same as the writer.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from forensic.errors import ForensicError, UsageError
from forensic.ledger.entry import LedgerEntry
from forensic.signing.certificate import (
    Certificate,
    certificate_facts,
    certified_title,
    common_name,
    key_id,
    read_certificate,
)
from forensic.signing.chain import (
    Authorities,
    RevocationList,
    Standing,
    read_certificates,
    read_revocation_list,
    revocation_list_pem,
    standing,
)

if TYPE_CHECKING:
    from forensic.ledger.store import Ledger

CREATED = "workspace.created"
INTRODUCED = "identity.introduced"
RETIRED = "identity.retired"
REVOKED = "identity.revoked"
PINNED = "authority.pinned"
LIST_RECEIVED = "authority.list-received"
EVENTS = (CREATED, INTRODUCED, RETIRED, REVOKED, PINNED, LIST_RECEIVED)
EXAMINER, REVIEWER = "examiner", "reviewer"
NEXT = ".next"
"""Folder among the further identities that holds the successor while a rotation is under way."""
_IN_FOLDER_NAMES = " .-_'"


@dataclass(frozen=True)
class Ended:
    """From which entry on a key may sign no more, and why. ``since_utc``: since when it is not to be trusted."""

    seq: int
    utc: str
    reason: str
    since_utc: str | None = None


@dataclass(frozen=True)
class KnownIdentity:
    """A key that the ledger introduced, under its latest certificate. ``name`` is what that certificate says."""

    key_id: str
    certificate: Certificate
    chain: tuple[Certificate, ...]
    role: str
    seq: int
    utc: str
    introduced_by: str
    replaces: str | None = None
    retired: Ended | None = None
    revoked: Ended | None = None

    @property
    def name(self) -> str:
        """The holder's name: on the certificate, not merely claimed beside it."""
        return common_name(self.certificate)

    @property
    def state(self) -> str:
        """``active``, ``retired`` or ``revoked``."""
        return "revoked" if self.revoked else "retired" if self.retired else "active"

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        facts = certificate_facts(self.certificate)
        return {
            "name": self.name,
            "role": self.role,
            "state": self.state,
            "key_id": self.key_id,
            "introduced": {"seq": self.seq, "utc": self.utc, "by": self.introduced_by},
            "replaces": self.replaces,
            "retired": None if self.retired is None else vars(self.retired),
            "revoked": None if self.revoked is None else vars(self.revoked),
            "certificate": {key: facts[key] for key in facts if key != "key_id"},
        }


@dataclass
class IdentityRegister:
    """What the entries so far say. ``authority``: the laboratory's authority as pinned last, and by which entry."""

    known: dict[str, KnownIdentity] = field(default_factory=dict)
    certificates: dict[str, list[Certificate]] = field(default_factory=dict)
    chains: list[Certificate] = field(default_factory=list)
    authority: Certificate | None = None
    pinned_seq: int | None = None
    lists: list[RevocationList] = field(default_factory=list)

    @classmethod
    def read(cls, entries: Iterable[LedgerEntry]) -> IdentityRegister:
        """From entries in their order; those about other things are passed over."""
        register = cls()
        for entry in entries:
            register.take(entry)
        return register

    @classmethod
    def of(cls, ledger: Ledger) -> IdentityRegister:
        """From an open ledger."""
        found = [entry for event in EVENTS for entry in ledger.entries(event=event)]
        return cls.read(sorted(found, key=lambda entry: entry.seq))

    def take(self, entry: LedgerEntry) -> None:
        """Add what the next entry says. An entry whose data has not the form of its event says nothing."""
        if entry.event not in EVENTS:
            return
        try:
            match entry.event:
                case "workspace.created" | "identity.introduced":
                    self._introduce(entry)
                case "identity.retired" | "identity.revoked":
                    self._end(entry)
                case "authority.pinned":
                    (self.authority,) = read_certificates(_text(entry.data, "certificate"))
                    self.pinned_seq = entry.seq
                case "authority.list-received":
                    self.lists.append(read_revocation_list(_text(entry.data, "list")))
        except (ForensicError, KeyError, TypeError, ValueError):
            return

    def _introduce(self, entry: LedgerEntry) -> None:
        certificate = read_certificate(str(entry.data["certificate"]))
        identifier = key_id(certificate)
        chain = read_certificates("".join(map(str, entry.data.get("chain") or [])).encode("ascii"))
        default = EXAMINER if entry.event == CREATED else ""
        fresh = KnownIdentity(
            key_id=identifier,
            certificate=certificate,
            chain=chain,
            role=str(entry.data.get("role") or default),
            seq=entry.seq,
            utc=entry.utc,
            introduced_by=entry.actor["key_id"],
            replaces=entry.data.get("replaces"),
        )
        before = self.known.get(identifier)
        if before is not None:  # another certificate for the same key brings no retired key back
            fresh = replace(fresh, retired=before.retired, revoked=before.revoked, replaces=before.replaces)
        self.known[identifier] = fresh
        self.certificates.setdefault(identifier, []).append(certificate)
        self.chains += [one for one in chain if one not in self.chains]

    def _end(self, entry: LedgerEntry) -> None:
        known = self.known[entry.data["key_id"]]
        ended = Ended(entry.seq, entry.utc, str(entry.data.get("reason", "")), entry.data.get("since_utc"))
        if entry.event == REVOKED:
            self.known[known.key_id] = replace(known, revoked=known.revoked or ended)
        else:
            self.known[known.key_id] = replace(known, retired=known.retired or ended)

    def successor(self, identifier: str) -> KnownIdentity | None:
        """The identity that was introduced in place of this one, if any."""
        return next((one for one in self.known.values() if one.replaces == identifier), None)

    def standing(self, identifier: str, at: datetime) -> Standing:
        """What the pinned authority says of a known key's latest certificate at a time."""
        if self.authority is None:
            return Standing("no authority is pinned in this workspace")
        known = self.known[identifier]
        return standing(known.certificate, known.chain, Authorities((self.authority,), tuple(self.lists)), at)

    def vouching(self, known: KnownIdentity) -> dict[str, Any]:
        """What a record says beside a certificate: the pinned authority, and its newest revocation list (PEM)."""
        newest = max(self.lists, key=lambda one: one.last_update_utc, default=None)
        return {
            "authority_sha256": None
            if self.authority is None
            else certificate_facts(self.authority)["certificate_sha256"],
            "revocation_list": None if newest is None or not known.chain else revocation_list_pem(newest),
        }

    def why_not_certified(self, identifier: str, at: datetime) -> str:
        """Empty if the pinned authority certified this key under its role and has not revoked it; else why not.

        A revocation counts whatever its date: what is asked is whether the key may be relied on now.
        """
        known = self.known.get(identifier)
        if known is None:
            return "the key was never introduced"
        found = self.standing(identifier, at)
        if found.fault:
            return found.fault
        if found.revoked is not None:
            return found.revoked_why
        title = certified_title(known.certificate)
        if title is not None and title != known.role:
            return f"the certificate says {title!r}, the ledger says {known.role!r}"
        return ""


def _text(data: dict[str, Any], key: str) -> bytes:
    return str(data[key]).encode("ascii")


def parse_utc(text: str) -> datetime:
    """A ledger entry's time, or one given in the same form with or without decimals. Raises ``ValueError``."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("it has no time zone")
    return moment.astimezone(UTC)


def folder_name(name: str) -> str:
    """The folder of the further identity called ``name``: letters and digits of any script kept, the rest replaced.

    Raises ``UsageError`` (``identity.name``) for a name that leaves none.
    """
    text = unicodedata.normalize("NFC", name).strip()
    kept = "".join(c if c.isalnum() or c in _IN_FOLDER_NAMES else "_" for c in text).strip(" .")
    if not any(character.isalnum() for character in kept) or len(kept) > 64:
        raise UsageError("identity.name", f"{name!r} is not a name for an identity.", "Use 1 to 64 letters or digits.")
    return kept
