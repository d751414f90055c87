"""Who signed, who approved, and whether they could: checks I1, I2, I5 and I6 of docs/formats/verification.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from forensic.case.approvalterms import USED, terms_of_record
from forensic.case.identities import IdentityRegister, KnownIdentity, parse_utc
from forensic.case.regularfile import JSON_LIMIT, read_regular
from forensic.case.verification.certificates import Existence, check_certificate, note_lists, unknown
from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at
from forensic.case.verification.signers import Signing
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.ledger.entry import LedgerEntry
from forensic.policy.facts import names_differ
from forensic.policy.request import Approval
from forensic.signing.certificate import Certificate, certificate_facts, common_name, key_id
from forensic.signing.chain import Authorities, read_authorities, standing
from forensic.signing.statement import RUN_PREDICATE, verify_statement


def check_identities(
    verification: Verification,
    attestation: bytes,
    signing: Signing | None,
    trust: Trust,
    *,
    finished: LedgerEntry | None = None,
    existed: Existence = unknown,
) -> None:
    """Check who signed the record of a run in ``attestation``, whose signature was verified before.

    ``signing``: what the audited ledger (or the extract in a bundle) says; None without one. ``finished``: the
    ledger's entry on the end of the run. ``existed``: asked only about a revoked key, when record and report existed,
    as a timestamp shows whose authority the verifier trusts.
    """
    try:
        statement, verified = verify_statement(attestation, predicate_type=RUN_PREDICATE)
    except ForensicError:
        return  # A1 has failed
    predicate, signer = statement.predicate, verified.certificates[0]
    if signing is not None and finished is not None:
        _check_introduced(verification, signing, signer, predicate, finished)
        _check_ended(verification, signing.register, signer, finished, existed)
        _check_approval(verification, signing, predicate, finished, trust, existed)
    else:
        verification.not_checked.append(
            "whether the signer's key was retired or revoked: only the ledger, or a bundle with its extract, shows that"
        )
    check_certificate(
        verification, signer, predicate, trust, register=None if signing is None else signing.register, existed=existed
    )


def check_report_signer(verification: Verification, attestation: bytes, trust: Trust, existed: Existence) -> None:
    """I3 and I4 for a report that is verified alone, from the record that it carries."""
    try:
        statement, verified = verify_statement(attestation, predicate_type=RUN_PREDICATE)
    except ForensicError:
        return  # A1 has failed
    check_certificate(verification, verified.certificates[0], statement.predicate, trust, existed=existed)


def _check_introduced(
    verification: Verification, signing: Signing, signer: Certificate, predicate: dict[str, Any], finished: LedgerEntry
) -> None:
    """I1: the ledger introduced the signer before the run ended; its entry on the end is by the same key."""
    identifier = key_id(signer)
    known = signing.register.known.get(identifier)
    role = at(predicate, "examiner", "role")
    faults = []
    if known is None or signing.introduced.get(identifier, finished.seq) >= finished.seq:
        faults.append("the ledger had not introduced this key when the run ended")
    elif signer not in signing.register.certificates[identifier]:
        faults.append("the ledger knows this key under other certificates only")
    if finished.actor["key_id"] != identifier:
        faults.append("another key signed the ledger's entry on the end of the run")
    if known is not None and role is not None and role != known.role:
        faults.append(f"the record says role {role!r}, the ledger {known.role!r}")
    verification.record(
        "I1",
        "the signer is an identity that the ledger introduced, in the role on the record",
        not faults,
        "; ".join(faults) or f"{known.name if known else ''}, {known.role if known else ''}",
    )


def _check_ended(
    verification: Verification,
    register: IdentityRegister,
    signer: Certificate,
    finished: LedgerEntry,
    existed: Existence,
) -> None:
    """I2: the key was neither retired nor revoked when it signed."""
    known = register.known.get(key_id(signer))
    fault, detail = ("", "") if known is None else _ended(known, finished, existed)
    verification.record(
        "I2", "the signer's key was neither retired nor revoked when it signed", not fault, fault or detail
    )


def _ended(known: KnownIdentity, finished: LedgerEntry, existed: Existence) -> tuple[str, str]:
    """What is wrong, and else what is to be said, about a run that ``known`` signed."""
    if known.retired is not None and finished.seq >= known.retired.seq:
        return f"entry {known.retired.seq} had retired the key", ""
    if known.revoked is None:
        return "", ""
    revoked = known.revoked
    if finished.seq >= revoked.seq:
        return f"entry {revoked.seq} had revoked the key ({revoked.reason})", ""
    later = f"revoked later, by entry {revoked.seq} ({revoked.reason})"
    if revoked.since_utc is None:
        return "", later
    try:
        since = parse_utc(revoked.since_utc)
    except (ValueError, TypeError):
        return f"entry {revoked.seq} revokes the key since a time that cannot be read", ""
    proved = existed()
    if proved is not None and proved < since:
        return "", f"{later}, not trusted since {revoked.since_utc}; a timestamp shows that it existed before"
    if parse_utc(finished.utc) >= since:
        return f"the key is not trusted since {revoked.since_utc} (entry {revoked.seq}: {revoked.reason})", ""
    if finished.time["clock_regression"]:
        return (
            f"the ledger's clock had gone back when it signed, and the key is not trusted since {revoked.since_utc}",
            "",
        )
    return "", f"{later}, not trusted since {revoked.since_utc}: signed before, by the ledger's order and own clock"


def _check_approval(
    verification: Verification,
    signing: Signing,
    predicate: dict[str, Any],
    finished: LedgerEntry,
    trust: Trust,
    existed: Existence,
) -> None:
    """I5: the approval on the record is the ledger's, about this run, by somebody else. I6: who vouches for that."""
    approval = at(predicate, "run", "approval")
    if approval is None and at(predicate, "policy", "context", "approval") is None:
        return
    if isinstance(approval, dict) and set(approval) == {"by", "role", "note"}:
        verification.not_checked.append("whether the approval was given: a record of release 0.1.0 holds a name only")
        return
    faults = list(_approval_faults(signing, predicate, finished, existed))
    given = signing.approval(approval)
    verification.record(
        "I5",
        "the approval was given before, by an identity of its own, for exactly this run, and used once",
        not faults,
        "; ".join(faults) or f"entry {given.seq if given else ''} by {at(approval, 'by')}",
    )
    if given is None:
        return
    known = signing.register.known.get(given.actor["key_id"])
    if known is None:
        return
    title = "the approver's certificate leads to an authority that you named as trusted, and no list at hand revokes it"
    if not trust.authorities:
        verification.not_checked.append(
            f"whether an authority vouches for the approver {known.name}: give the laboratory's with --ca"
        )
        return
    try:
        authorities = read_authorities(trust.authorities)
    except ForensicError as error:
        verification.record("I6", title, False, error.message)
        return
    lists = Authorities(authorities.certificates, (*authorities.lists, *signing.register.lists))
    found = standing(known.certificate, known.chain, lists, parse_utc(given.utc))
    fault, detail = found.fault, known.name
    if not fault and found.revoked is None:
        note_lists(verification, found, parse_utc(given.utc), "the approver's")
    if not fault and found.revoked is not None:  # as for the signer: what a thief dates back, no clock of his shows
        proved = existed()
        if proved is None or proved >= found.revoked:
            fault = f"{found.revoked_why}, and no trusted timestamp shows that the approval was there before"
        else:
            detail = f"{known.name}, revoked since; a timestamp shows that the approval existed before"
    verification.record("I6", title, not fault, fault or detail)


def _approval_faults(
    signing: Signing, predicate: dict[str, Any], finished: LedgerEntry, existed: Existence
) -> Iterator[str]:
    approval = at(predicate, "run", "approval")
    if not isinstance(approval, dict) or approval != at(predicate, "policy", "context", "approval"):
        yield "the record's approval is not the one that the policy was asked about"
        return
    given = signing.approval(approval)
    if given is None or given.hash != approval.get("hash"):
        yield "the ledger holds no such approval"
        return
    known = signing.register.known.get(given.actor["key_id"])
    if known is None or approval.get("key_id") != known.key_id:
        yield "another key signed it than the record says"
    elif known.key_id == finished.actor["key_id"]:
        yield "the examiner's own key signed it"
    if known is not None:
        yield from _person_faults(signing.register, known, predicate, finished)
        fault, _ = _ended(known, given, existed)
        if fault:
            yield f"its signer: {fault}"
    run = at(predicate, "run", "id")
    started = signing.started.get(run) if isinstance(run, str) else None
    if started is None or given.seq >= started.seq:
        yield "it was not given before the run began"
    try:
        terms = terms_of_record(predicate)
        fits = terms.met_by(given.data.get("terms"))
    except (KeyError, TypeError, AttributeError, ValueError, ForensicError):
        fits = False
    if not fits:
        yield "it is about another exhibit, recipe, mode, purpose, policy or range of frames"
    overs = signing.overs.get(given.seq, [])
    first = min(overs, key=lambda entry: entry.seq, default=None)
    if first is None or first.event != USED or first.run != at(predicate, "run", "id"):
        yield "the ledger does not say that this run was the first to use it, or it was withdrawn before"
        return
    if started is not None and first.seq >= started.seq:
        yield "the run began before it used it"
    if known is not None and known.revoked is not None and known.revoked.seq < first.seq:
        yield f"entry {known.revoked.seq} had revoked its signer's key before it was used"


def _person_faults(
    register: IdentityRegister, known: KnownIdentity, predicate: dict[str, Any], finished: LedgerEntry
) -> Iterator[str]:
    """A second person is another key and another name, as the policy understands it, in the role that it was told."""
    approval, examiner = at(predicate, "run", "approval"), register.known.get(finished.actor["key_id"])
    claimed = at(predicate, "policy", "context", "examiner")
    named = [known.name, *(one for one in (approval.get("by"),) if isinstance(one, str))]
    others = [claimed] if isinstance(claimed, str) else []
    others += [] if examiner is None else [examiner.name]
    if not all(names_differ(Approval(by=one), other) for one in named for other in others):
        yield "whoever gave it has the examiner's name"
    if approval.get("by") not in {common_name(one) for one in register.certificates[known.key_id]}:
        yield f"the record says that {approval.get('by')!r} gave it, the certificate is that of {known.name!r}"
    if approval.get("role") != known.role:
        yield f"the record says role {approval.get('role')!r}, the ledger {known.role!r}"


def check_ledger_signers(
    verification: Verification, signing: Signing, trust: Trust, existed: Callable[[LedgerEntry], datetime | None]
) -> None:
    """I3 and I4 for those who answer for a ledger or extract: see ``Signing.vouching``; only with authorities.

    ``existed``: asked only about a revoked key, when the entry existed, as a trusted timestamp shows.
    """
    if not trust.authorities:
        return
    for entry in signing.vouching():
        known = signing.register.known.get(entry.actor["key_id"])
        if known is None:
            continue  # the audit, or B8, has failed
        check_certificate(
            verification, known.certificate, {}, trust, register=signing.register, existed=partial(existed, entry),
            signed=parse_utc(entry.utc), whose=f"entry {entry.seq}'s signer's",
        )  # fmt: skip


def note_signers(verification: Verification, register: IdentityRegister, trust: Trust) -> None:
    """What a verifier of the whole ledger should know about its signers, and what nobody vouches for."""
    if not trust.authorities:
        pinned = register.authority and certificate_facts(register.authority)
        named = f" (the ledger names {pinned['subject']}, SHA-256 {pinned['certificate_sha256']})" if pinned else ""
        verification.not_checked.append(
            f"whether an authority vouches for those who signed: give its own with --ca{named}"
        )
    for known in register.known.values():
        if known.revoked is not None and known.revoked.since_utc is not None:
            verification.not_checked.append(
                f"entries that key {known.key_id} signed since {known.revoked.since_utc}: entry {known.revoked.seq} "
                "says that it is not to be trusted since then"
            )


def attestation_of(path: Path) -> bytes:
    """The record's file, or nothing where it cannot be read (which A1 has said)."""
    try:
        return read_regular(path, JSON_LIMIT)
    except OSError:
        return b""
