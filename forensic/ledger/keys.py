"""Who may sign: keys are introduced, retired and revoked by entries (docs/formats/ledger.md, section 3).

Writer and auditor apply the same rules. A key that was retired or revoked signs nothing from the
next entry on; what it signed before stands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from forensic.errors import BadInput
from forensic.ledger.order import CREATED, INTRODUCED
from forensic.signing.certificate import Certificate, certificate_facts, key_id, read_certificate

RETIRED = "identity.retired"
REVOKED = "identity.revoked"
KEY_EVENTS = (CREATED, INTRODUCED, RETIRED, REVOKED)

_SINCE = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?Z", re.ASCII)


@dataclass(slots=True)
class Signer:
    """One key: its certificate, the holder's name in it, its validity (as text, like an entry's ``utc``)."""

    certificate: Certificate
    subject: str
    valid_from: str
    valid_to: str
    closed: str | None = None
    """``identity.retired`` or ``identity.revoked``, whichever came last; None while the key may sign."""


@dataclass
class KeyRules:
    """The keys of a ledger up to some entry."""

    signers: dict[str, Signer] = field(default_factory=dict)
    facts: list[dict[str, Any]] = field(default_factory=list)
    """Of every certificate introduced, in order; changed in place when its key is retired or revoked."""

    def fault(self, event: str, data: Mapping[str, Any]) -> str | None:
        """Why this entry may not stand here as far as keys go, or None if it may. Certificates are not read."""
        if event == INTRODUCED:
            known = self.signers.get(str(data.get("key_id")))
            return None if known is None or known.closed is None else f"it introduces a key again after {known.closed}"
        if event not in (RETIRED, REVOKED):
            return None
        known = self.signers.get(str(data.get("key_id")))
        if known is None:
            return f"{event} is about a key that was never introduced"
        if known.closed == REVOKED or known.closed == event:
            return f"{event} is about a key that has ended by {known.closed}"
        if not isinstance(data.get("reason"), str) or not data["reason"].strip():
            return f"{event} gives no reason"
        if event == REVOKED:
            since = data.get("since_utc", "")
            if since is not None and not (isinstance(since, str) and _SINCE.fullmatch(since)):
                return f"{event} says neither since when (since_utc) nor null"
        if not any(signer.closed is None for signer in self.signers.values() if signer is not known):
            return f"{event} would leave no key that can sign"
        return None

    def certificate_in(self, data: Mapping[str, Any]) -> Certificate:
        """The certificate in an introducing entry. Raises ``BadInput`` (``certificate.*``, ``ledger.entry``)."""
        pem = data.get("certificate")
        certificate = read_certificate(pem if isinstance(pem, str) else "")
        if data.get("key_id", key_id(certificate)) != key_id(certificate):
            raise BadInput("ledger.entry", "Not a valid ledger entry: its key_id is not that of its certificate.")
        return certificate

    def admit(self, seq: int, event: str, data: Mapping[str, Any]) -> None:
        """Take a key entry as having happened. Raises ``BadInput`` as ``certificate_in``."""
        if event in (CREATED, INTRODUCED):
            certificate = self.certificate_in(data)
            facts: dict[str, Any] = dict(certificate_facts(certificate))
            if isinstance(data.get("role"), str):
                facts["role"] = data["role"]
            facts["introduced_at_seq"] = seq
            self.facts.append(facts)
            self.signers[facts["key_id"]] = Signer(
                certificate,
                certificate.subject.rfc4514_string(),
                certificate.not_valid_before_utc.strftime("%Y-%m-%dT%H:%M:%S.000000Z"),
                certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%S.999999Z"),
            )
        elif event in (RETIRED, REVOKED):
            key = str(data.get("key_id"))
            if key in self.signers:
                self.signers[key].closed = event
            for facts in self.facts:
                if facts["key_id"] == key:
                    facts["retired_at_seq" if event == RETIRED else "revoked_at_seq"] = seq

    def rehearse(self, event: str, data: Mapping[str, Any]) -> None:
        """Raise as :meth:`admit` would: an entry that cannot be taken in must never be written."""
        if event in (CREATED, INTRODUCED):
            KeyRules(dict(self.signers), list(self.facts)).admit(0, event, data)

    def certificates(self) -> dict[str, Certificate]:
        """Every certificate that was introduced, by key id: those of closed keys too."""
        return {key: signer.certificate for key, signer in self.signers.items()}

    def may_sign(self) -> dict[str, Certificate]:
        """The certificates whose keys may sign the next entry, by key id."""
        return {key: signer.certificate for key, signer in self.signers.items() if signer.closed is None}
