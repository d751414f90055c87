"""Whether an authority vouches for a certificate: checks I3 and I4 of docs/formats/verification.md."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from forensic.case.identities import IdentityRegister, parse_utc
from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.signing.certificate import Certificate, certificate_facts, key_id
from forensic.signing.chain import (
    Authorities,
    RevocationList,
    Standing,
    read_authorities,
    read_certificates,
    read_revocation_list,
    standing,
)

Existence = Callable[[], datetime | None]
"""When something existed, as a timestamp shows whose authority the verifier trusts; asked only where it matters."""

_I3 = "certificate leads to an authority that you named as trusted"
_I4 = "certificate was not revoked by that authority when it signed"


def unknown() -> datetime | None:
    """No timestamp shows it."""
    return None


def check_certificate(
    verification: Verification,
    signer: Certificate,
    predicate: dict[str, Any],
    trust: Trust,
    *,
    register: IdentityRegister | None = None,
    existed: Existence = unknown,
    signed: datetime | None = None,
    whose: str = "the signer's",
) -> None:
    """I3 and I4: with authorities given, the chain must hold as of the signing, and nothing on it be revoked then.

    ``signed``: when, where it is not the run's record that says so. ``whose`` certificate it is, for the titles.
    """
    i3, i4 = f"{whose} {_I3}", f"{whose} {_I4}"
    if not trust.authorities:
        verification.not_checked.append(_untrusted(signer, predicate))
        return
    signed = signed or _signing_time(predicate)
    try:
        authorities = read_authorities(trust.authorities)
    except ForensicError as error:
        verification.record("I3", i3, False, error.message)
        return
    if signed is None:
        verification.record("I3", i3, False, "the record does not say when it was signed")
        return
    brought = _brought(predicate)
    chain = [*brought[0], *(register.chains if register else ())]
    lists = (*authorities.lists, *brought[1], *(register.lists if register else ()))
    known = Authorities(authorities.certificates, lists)
    found, detail = standing(signer, chain, known, signed), ""
    if found.fault and register is not None:
        # The key may have been certified after it signed: then it is the same key, under the authority's name.
        for other in register.certificates.get(key_id(signer), ()):
            later = standing(other, chain, known, max(signed, other.not_valid_before_utc))
            if not later.fault:
                found, detail = later, f"this key was certified later, on {other.not_valid_before_utc:%Y-%m-%d}"
    path = " < ".join(one.subject.rfc4514_string() for one in found.path)
    if not verification.record("I3", i3, not found.fault, found.fault or "; ".join(filter(None, (path, detail)))):
        return
    if found.revoked is not None:
        proved = existed()
        if proved is None or proved >= found.revoked:
            verification.record(
                "I4", i4, False, f"{found.revoked_why}, and no trusted timestamp shows that it signed before"
            )
        else:
            verification.record(
                "I4", i4, True, f"revoked since {_text(found.revoked)}, existed before: {_text(proved)}"
            )
        return
    note_lists(verification, found, signed, whose)
    if found.newest_list is not None and found.is_listed_at(signed):
        verification.record("I4", i4, True, f"by its list of {_text(found.newest_list)}")


def note_lists(verification: Verification, found: Standing, signed: datetime, whose: str) -> None:
    """Say what no revocation list can: silence about a certificate counts only while a list is in force."""
    remedy = "give the authority's newer list together with its certificate"
    if found.newest_list is None:
        verification.not_checked.append(f"whether {whose} certificate was revoked: no list of its authority; {remedy}")
    elif found.newest_list < signed:
        verification.not_checked.append(
            f"whether {whose} certificate was revoked after {found.newest_list:%Y-%m-%d}: {remedy}"
        )


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _untrusted(signer: Certificate, predicate: dict[str, Any]) -> str:
    facts = certificate_facts(signer)
    if facts["kind"] == "self-issued":
        return "whether an authority vouches for the signer: the certificate is self-issued; compare its fingerprint"
    pinned = at(predicate, "examiner", "identity", "authority_sha256")
    named = f" (SHA-256 {pinned} by the record)" if isinstance(pinned, str) else ""
    return f"whether {facts['issuer']} certified the signer: give that authority's certificate{named} with --ca"


def _signing_time(predicate: dict[str, Any]) -> datetime | None:
    try:
        return parse_utc(str(at(predicate, "run", "finished_utc")))
    except ValueError:
        return None


def _brought(predicate: dict[str, Any]) -> tuple[list[Certificate], list[RevocationList]]:
    """Chain and revocation list that the record brings along: they count only under a trusted authority's signature."""
    chain: list[Certificate] = []
    lists: list[RevocationList] = []
    texts = at(predicate, "examiner", "identity", "chain")
    crl = at(predicate, "examiner", "identity", "revocation_list")
    try:
        for text in texts if isinstance(texts, list) else ():
            chain += read_certificates(str(text).encode("ascii", "replace"))
        if isinstance(crl, str):
            lists.append(read_revocation_list(crl.encode("ascii", "replace")))
    except ForensicError:
        pass  # what cannot be read vouches for nobody
    return chain, lists
