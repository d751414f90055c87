"""``forensic custody transfer`` and ``acknowledge``: handing an exhibit on, with the receiver's signature."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic import __version__
from forensic.case.copyout import place_outside, take_away, write_out
from forensic.case.custody import (
    Circumstances,
    name_exhibit,
    on_record,
    order_of,
    require_acquired,
    settle,
)
from forensic.case.custodyorder import ACKNOWLEDGED, TRANSFERRED
from forensic.case.exhibits import check_untouched
from forensic.case.handover import (
    EXHIBIT,
    LIMIT,
    TRANSFER,
    Transfer,
    read_acknowledgement,
    read_transfer,
    require_answer,
)
from forensic.case.progress import Progress
from forensic.case.regularfile import read_regular
from forensic.case.storage import hash_input
from forensic.case.workspace import Workspace, utc_now, utc_text
from forensic.errors import BadInput, UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.ledger.entry import LedgerEntry
from forensic.signing.statement import (
    ACKNOWLEDGEMENT_PREDICATE,
    TRANSFER_PREDICATE,
    Subject,
    build_statement,
    sign_statement,
)


@dataclass(frozen=True)
class Handed:
    """The ledger's entry, the statement's file (None where none is written), and whether the exhibit was accepted."""

    entry: LedgerEntry
    file: Path | None
    accepted: bool | None


def transfer(
    workspace: Workspace, exhibit_id: str, out: Path, circumstances: Circumstances, *, fingerprint: str | None = None
) -> Handed:
    """Sign a transfer statement for an exhibit and write it to the new file ``out``.

    ``fingerprint``: SHA-256 of the certificate that is to acknowledge it. The statement also stands in the
    ledger's entry, word for word. Raises as ``export``.
    """
    asked = {"exhibit": exhibit_id, "fingerprint": fingerprint, **circumstances.to_record()}
    with on_record(workspace, TRANSFERRED, asked) as act:
        exhibit = require_acquired(act, name_exhibit(act, exhibit_id))
        record = settle(act, circumstances)
        if record["to"] is None:
            raise UsageError("custody.party", "It must be said to whom the exhibit goes.", "Add --to PERSON.")
        number = str(uuid.uuid4())
        act.require_possible({**record, "transfer": number})
        out = place_outside(workspace, out, TRANSFER)
        check_untouched(workspace, exhibit)
        head, acquired = workspace.ledger.head(), exhibit.acquired
        own = workspace.signer.facts()
        predicate = {
            "transfer": number,
            "tool": {"name": "forensic", "version": __version__},
            "workspace": workspace.id,
            "ledger_head": {"seq": head.seq, "hash": head.hash},
            "case": exhibit.case,
            "exhibit": exhibit.id,
            "file": {"name": acquired.file_name, "sha256": exhibit.sha256, "size": acquired.size},
            "frames": {
                "count": acquired.frame_count,
                "merkle_root": acquired.merkle_root,
                "manifest_sha256": acquired.manifest_sha256,
            },
            "from": {
                "person": workspace.facts.get("examiner"), "organisation": workspace.facts.get("lab"),
                "certificate_sha256": own["certificate_sha256"], "subject": own["subject"],
            },
            "to": {**record["to"], "certificate_sha256": _fingerprint(fingerprint)},
            "signed_utc": utc_text(utc_now()),
            **{key: record[key] for key in ("stated", "stated_utc", "reason", "seal", "location", "note")},
        }  # fmt: skip
        data = sign_statement(
            build_statement(TRANSFER_PREDICATE, [Subject(EXHIBIT, exhibit.sha256)], predicate), workspace.signer
        )
        read_transfer(data)  # what cannot be read back is never handed out
        entry = act.enter(
            {
                **record,
                "to": predicate["to"],
                "transfer": predicate["transfer"],
                "sha256": exhibit.sha256,
                "statement": data.decode("utf-8"),
                "statement_sha256": sha256_bytes(data),
            }
        )
        _write(out, data)
    return Handed(entry, out, None)


def acknowledge(
    workspace: Workspace,
    statement: Path,
    file: Path,
    out: Path,
    circumstances: Circumstances,
    progress: Progress,
    *,
    fingerprint: str | None = None,
    refuse: str | None = None,
) -> Handed:
    """As the receiver: compare ``file`` with a transfer statement and sign what was found, into the new file ``out``.

    A file that is another one, and a receipt that is refused for a reason of the receiver's, give a signed
    refusal. ``fingerprint``: the sender's certificate, got by another way. Recorded in the receiver's own ledger.
    Raises ``BadInput`` and ``VerificationFailed`` for a statement that does not hold.
    """
    asked = {"statement": str(statement), "file": str(file), "refuse": refuse, "fingerprint": fingerprint,
             **circumstances.to_record()}  # fmt: skip
    with on_record(workspace, ACKNOWLEDGED, _text_only(asked)) as act:
        record = settle(act, circumstances, reason_needed=False)
        received = read_transfer(_read(statement))
        act.facts |= {"transfer": received.id, "sha256": received.sha256}
        _require_signer(received.signer, fingerprint, "transfer")
        own = workspace.signer.facts()
        if received.signer["key_id"] == own["key_id"]:
            raise UsageError("transfer.own", "This transfer was signed with this workspace's own key.")
        if received.recipient_fingerprint not in (None, own["certificate_sha256"]):
            raise UsageError(
                "transfer.other-recipient", "The transfer names another certificate as its recipient than this one."
            )
        out = place_outside(workspace, out, "acknowledgement.json")
        with progress.task(f"Hashing {file.name}", received.size, "bytes") as task:
            found = hash_input(file, task.advance)
        reason = refuse or (None if found == received.sha256 else "the file has another digest than the exhibit")
        data = _answer(workspace, received, found, reason, record)
        entry = act.enter(
            {
                **record,
                "role": "recipient",
                "accepted": reason is None,
                "refused": reason,
                "transfer": received.id,
                "transfer_sha256": received.digest,
                "sender": _named(received),
                "sha256": received.sha256,
                "found_sha256": found,
                "file": _text(file.absolute()),
                "statement": data.decode("utf-8"),
                "statement_sha256": sha256_bytes(data),
            }
        )
        _write(out, data)
    return Handed(entry, out, reason is None)


def _answer(workspace: Workspace, received: Transfer, found: str, reason: str | None, record: dict[str, Any]) -> bytes:
    own = workspace.signer.facts()
    predicate = {
        "transfer": received.id,
        "transfer_sha256": received.digest,
        "tool": {"name": "forensic", "version": __version__},
        "workspace": workspace.id,
        "accepted": reason is None,
        "reason": reason,
        "found": {"sha256": found},
        "by": {
            "person": workspace.facts.get("examiner"), "organisation": workspace.facts.get("lab"),
            "certificate_sha256": own["certificate_sha256"], "subject": own["subject"],
        },
        "signed_utc": utc_text(utc_now()),
        **{key: record[key] for key in ("stated", "stated_utc", "seal", "location", "note")},
    }  # fmt: skip
    subjects = [Subject(TRANSFER, received.digest), Subject(EXHIBIT, found)]
    data = sign_statement(build_statement(ACKNOWLEDGEMENT_PREDICATE, subjects, predicate), workspace.signer)
    read_acknowledgement(data)
    return data


def take_in(
    workspace: Workspace, statement: Path, circumstances: Circumstances, *, fingerprint: str | None = None
) -> Handed:
    """As the sender: check the receiver's acknowledgement against the transfer in this ledger, and record it.

    Raises ``VerificationFailed`` (``acknowledgement.*``) if it does not hold or answers something else;
    nothing but the attempt is recorded then.
    """
    asked = {"import": str(statement), "fingerprint": fingerprint, **circumstances.to_record()}
    with on_record(workspace, ACKNOWLEDGED, _text_only(asked)) as act:
        record = settle(act, circumstances, reason_needed=False)
        data = _read(statement)
        act.facts["file_sha256"] = sha256_bytes(data)
        answer = read_acknowledgement(data)
        act.facts["transfer"] = answer.transfer
        sent, entry = _sent(workspace, answer.transfer)
        act.case, act.exhibit = entry.case, entry.exhibit
        require_answer(answer, sent)
        if answer.signer["key_id"] in _own_keys(workspace):
            raise VerificationFailed(
                "acknowledgement.other-signer", "The acknowledgement is signed with a key of this very workspace."
            )
        _require_signer(answer.signer, fingerprint, "acknowledgement")
        recorded = act.enter(
            {
                **record,
                "role": "sender",
                "accepted": answer.accepted,
                "refused": answer.reason,
                "on_paper": None,
                "transfer": sent.id,
                "transfer_sha256": sent.digest,
                "transferred": entry.seq,
                "sha256": sent.sha256,
                "found_sha256": answer.found,
                "signer": {key: answer.signer[key] for key in ("subject", "certificate_sha256", "kind")},
                "fingerprint_compared": fingerprint is not None or sent.recipient_fingerprint is not None,
                "statement": data.decode("utf-8"),
                "statement_sha256": answer.digest,
            }
        )
    return Handed(recorded, None, answer.accepted)


def note_paper(
    workspace: Workspace, exhibit_id: str, paper: str, circumstances: Circumstances, *, transfer_id: str | None = None
) -> Handed:
    """As the sender: record that a receipt on paper is there. The program has seen none of it: a claim."""
    asked = {"exhibit": exhibit_id, "on_paper": paper, "transfer": transfer_id, **circumstances.to_record()}
    with on_record(workspace, ACKNOWLEDGED, asked) as act:
        name_exhibit(act, exhibit_id)
        record = settle(act, circumstances, reason_needed=False)
        if not paper.strip():
            raise UsageError("custody.paper", "Say who signed what, when, and where it is kept.")
        known = list(order_of(workspace, act.exhibit).of(act.exhibit or "").transfers)
        if transfer_id is None and len(known) != 1:
            raise UsageError(
                "custody.transfer",
                f"Exhibit {act.exhibit!r} has {len(known)} transfers.",
                "Name one with --transfer ID.",
            )
        wanted = transfer_id or known[0]
        sent, entry = _sent(workspace, wanted)
        recorded = act.enter(
            {
                **record,
                "role": "sender",
                "accepted": None,
                "refused": None,
                "on_paper": paper,
                "transfer": sent.id,
                "transfer_sha256": sent.digest,
                "transferred": entry.seq,
                "sha256": sent.sha256,
            }
        )
    return Handed(recorded, None, None)


def _sent(workspace: Workspace, transfer_id: str) -> tuple[Transfer, LedgerEntry]:
    for entry in workspace.ledger.entries(event=TRANSFERRED):
        if entry.data.get("transfer") == transfer_id:
            return read_transfer(str(entry.data.get("statement")).encode("utf-8")), entry
    raise VerificationFailed(
        "acknowledgement.other-transfer", f"This ledger knows no transfer {transfer_id[:64]}.", "Look at: forensic log"
    )


def _own_keys(workspace: Workspace) -> set[Any]:
    keys: set[Any] = {entry.data.get("key_id") for entry in workspace.ledger.entries(event="identity.introduced")}
    for entry in workspace.ledger.entries(event="workspace.created"):
        keys.add(entry.actor["key_id"])
    return keys


def _require_signer(signer: dict[str, str], fingerprint: str | None, what: str) -> None:
    expected = _fingerprint(fingerprint)
    if expected is not None and signer["certificate_sha256"] != expected:
        raise VerificationFailed(
            f"{what}.other-signer",
            f"The {what} is signed with certificate {signer['certificate_sha256']}, not with the one expected.",
        )


def _fingerprint(text: str | None) -> str | None:
    if text is None:
        return None
    digits = text.replace(":", "").replace(" ", "").lower()
    if len(digits) != 64 or set(digits) - set("0123456789abcdef"):
        raise UsageError("custody.fingerprint", "A fingerprint is 64 hexadecimal digits (SHA-256 of a certificate).")
    return digits


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, LIMIT)
    except OSError as error:
        raise BadInput("input.unreadable", f"{_text(path)} cannot be read: {error.strerror or error}.") from error


def _write(out: Path, data: bytes) -> None:
    """Write a statement that is in the ledger already. If that fails it can be taken from there."""
    written: list[Path] = []
    try:
        write_out(out, data, written)
    except BaseException:
        take_away(written)
        raise


def _named(received: Transfer) -> dict[str, Any]:
    """Who sent it, and what they call it, as the statement says."""
    source = received.predicate.get("from")
    named = source if isinstance(source, dict) else {}
    return {
        "case": received.case,
        "exhibit": received.exhibit,
        "person": named.get("person") if isinstance(named.get("person"), str) else None,
        "organisation": named.get("organisation") if isinstance(named.get("organisation"), str) else None,
        "subject": received.signer["subject"],
        "certificate_sha256": received.signer["certificate_sha256"],
    }


def _text(path: Path) -> str:
    return str(path).encode("utf-8", "backslashreplace").decode("utf-8")


def _text_only(record: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
        for key, value in record.items()
    }
