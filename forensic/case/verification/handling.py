"""Checks on custody (H1 to H5): acts in a possible order, receipts that answer, records that leave nothing out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forensic.case.custodyorder import ACKNOWLEDGED, TRANSFERRED, CustodyOrder, stated_too_late
from forensic.case.disclosure import FORMAT, ExhibitBytes, History, Told, other_attempts, told, told_digest
from forensic.case.handover import Acknowledgement, Transfer, read_acknowledgement, read_transfer, require_answer
from forensic.case.identities import parse_utc
from forensic.case.verification.certificates import check_certificate
from forensic.case.verification.checks import Verification
from forensic.case.verification.records import at
from forensic.case.verification.trust import NOTHING, Trust
from forensic.errors import ForensicError, VerificationFailed
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import CREATED, INTRODUCED
from forensic.signing.certificate import certificate_facts, read_certificate
from forensic.signing.statement import ACKNOWLEDGEMENT_PREDICATE, TRANSFER_PREDICATE, verify_statement


def _digest(entry: LedgerEntry) -> bytes:
    return told_digest(told(entry))


@dataclass
class Handling:
    """What an audited ledger says about custody, read once, in order."""

    order: CustodyOrder = field(default_factory=CustodyOrder)
    history: History[bytes] = field(default_factory=lambda: History(_digest))
    faults: list[str] = field(default_factory=list)
    handed: list[LedgerEntry] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    """Key ids that belong to this ledger."""

    def admit(self, entry: LedgerEntry) -> None:
        """Take in the next entry."""
        fault = self.order.fault(entry.event, entry.case, entry.exhibit, entry.run, entry.data)
        if fault is None and stated_too_late(entry):
            fault = "it is said to have happened after it was recorded"
        if fault is not None:
            self.faults.append(f"entry {entry.seq}: {fault}")
        if entry.event in (CREATED, INTRODUCED):
            self._introduce(entry)
        if entry.event in (TRANSFERRED, ACKNOWLEDGED):
            self.handed.append(entry)
        self.order.admit(entry)
        self.history.admit(entry)

    def _introduce(self, entry: LedgerEntry) -> None:
        try:
            self.keys.add(certificate_facts(read_certificate(str(entry.data.get("certificate"))))["key_id"])
        except ForensicError:
            return  # the audit of the ledger says so

    def gone(self, sha256: str) -> int | None:
        """Number of the entry that lets the copy with this digest be absent; None if it has to be there.

        It may be absent if each exhibit that it belongs to is destroyed, or its destruction was begun.
        """
        sharing = [one for one in self.order.exhibits.values() if one.acquired and one.sha256 == sha256]
        begun = [one.destroyed or one.destruction_started for one in sharing]
        return max(begun) if begun and all(begun) else None

    def must_be_gone(self, sha256: str) -> bool:
        """Whether each exhibit with this digest is destroyed, and no acquisition is under way that may restore it."""
        sharing = [one for one in self.order.exhibits.values() if one.acquired and one.sha256 == sha256]
        if not sharing or not all(one.destroyed for one in sharing):
            return False
        return not self.history.begun_after(max(one.destroyed for one in sharing))


def check_handling(verification: Verification, handling: Handling) -> None:
    """H1 and H2, about the ledger as a whole."""
    verification.record(
        "H1", "acts of custody stand in a possible order", not handling.faults, "; ".join(handling.faults[:5])
    )
    faults, answered, strangers = _receipts(handling)
    verification.record(
        "H2", "transfers and acknowledgements hold and answer each other", not faults, "; ".join(faults)
    )
    for entry in handling.handed:
        if entry.event == TRANSFERRED and str(entry.data.get("transfer")) not in answered:
            verification.not_checked.append(
                f"transfer of exhibit {entry.exhibit} (entry {entry.seq}): not acknowledged"
            )
        elif entry.event == ACKNOWLEDGED and entry.data.get("on_paper") is not None:
            verification.not_checked.append(
                f"receipt for exhibit {entry.exhibit} (entry {entry.seq}): on paper, only the sender says so"
            )
        elif entry.event == ACKNOWLEDGED and entry.data.get("accepted") is False:
            verification.not_checked.append(
                f"transfer of exhibit {entry.exhibit}: REFUSED by the recipient's signed word (entry {entry.seq}): "
                f"{entry.data.get('refused') or 'no reason given'}"
            )
    for seq, signer in strangers.items():
        verification.not_checked.append(
            f"who signed the acknowledgement of entry {seq}: nobody compared {signer['subject']}, certificate SHA-256 "
            f"{signer['certificate_sha256']}, with the recipient; ask him for the fingerprint of his certificate"
        )


def _receipts(handling: Handling) -> tuple[list[str], set[str], dict[int, dict[str, str]]]:
    """What is wrong with the statements in the ledger, and the ids of the transfers that were answered.

    Also, by entry, the signers of acknowledgements whose certificate neither the transfer had named nor, by the
    sender's word, anybody compared when it came: the sender can have made them up.
    """
    faults: list[str] = []
    answered: set[str] = set()
    strangers: dict[int, dict[str, str]] = {}
    sent: dict[str, Transfer] = {}
    for entry in handling.handed:
        try:
            if entry.event == TRANSFERRED:
                transfer = _transfer(entry, handling)
                sent[transfer.id] = transfer
            else:
                answer = _acknowledgement(entry, handling, sent)
                if answer is not None and not _compared(entry, sent[answer.transfer]):
                    strangers[entry.seq] = answer.signer
                answered.add(str(entry.data.get("transfer")))
        except ForensicError as error:
            faults.append(f"entry {entry.seq}: {error.message}")
    return faults[:5], answered, strangers


def _transfer(entry: LedgerEntry, handling: Handling) -> Transfer:
    transfer = read_transfer(_text(entry, "statement"))
    _require(
        transfer.signer["key_id"] in handling.keys
        and (transfer.case, transfer.exhibit) == (entry.case, entry.exhibit)
        and transfer.id == entry.data.get("transfer")
        and transfer.sha256 == entry.data.get("sha256") == handling.order.of(entry.exhibit or "").sha256
        and transfer.digest == entry.data.get("statement_sha256"),
        "the transfer statement is not about what the entry says",
    )
    return transfer


def _compared(entry: LedgerEntry, transfer: Transfer) -> bool:
    return transfer.recipient_fingerprint is not None or entry.data.get("fingerprint_compared") is True


def _acknowledgement(entry: LedgerEntry, handling: Handling, sent: dict[str, Transfer]) -> Acknowledgement | None:
    """The signed answer to a transfer of this ledger; None for one on paper, or to a transfer of somebody else's."""
    data = entry.data
    if data.get("role") == "sender" and data.get("on_paper") is not None:
        transfer = sent.get(str(data.get("transfer")))
        _require(transfer is not None and data.get("accepted") is None, "the receipt on paper answers no transfer")
        return None
    answer = read_acknowledgement(_text(entry, "statement"))
    _require(
        (answer.digest, answer.transfer, answer.transfer_digest, answer.accepted, answer.reason, answer.found)
        == tuple(
            data.get(key)
            for key in ("statement_sha256", "transfer", "transfer_sha256", "accepted", "refused", "found_sha256")
        ),
        "the acknowledgement is not what the entry says",
    )
    if data.get("role") == "recipient":
        _require(answer.signer["key_id"] in handling.keys, "the acknowledgement was not signed here")
        return None
    transfer = sent.get(answer.transfer)
    if transfer is None:
        raise VerificationFailed("custody.receipt", "the acknowledgement answers no transfer of this ledger")
    require_answer(answer, transfer)
    _require(answer.signer["key_id"] not in handling.keys, "the acknowledgement is signed with a key of the sender's")
    named = at(data, "signer", "certificate_sha256")
    _require(answer.signer["certificate_sha256"] == named, "the acknowledgement has another signer than the entry says")
    return answer


def _text(entry: LedgerEntry, key: str) -> bytes:
    value = entry.data.get(key)
    return value.encode("utf-8") if isinstance(value, str) else b""


def _require(holds: bool, reason: str) -> None:
    if not holds:
        raise VerificationFailed("custody.receipt", reason)


def check_told(
    verification: Verification, handling: Handling, predicate: dict[str, Any], *, dated: bool, complete: bool = True
) -> None:
    """H3 and H4: the record tells every entry about its exhibit's bytes up to the head that it cites.

    ``dated``: the run ended before records had such a list (its last entry has format version 1); then there
    is none to check. ``complete`` False: ``handling`` knows only an extract of the ledger, so entries that it
    lacks are not missed, and numbers of entries are not compared.
    """
    custody = predicate.get("custody")
    if custody is None and dated:
        verification.not_checked.append("the exhibit's custody history: this record is older than such lists")
        return
    differ = _differences(handling, predicate, custody, complete)
    verification.record(
        "H3", "record tells the exhibit's whole history in the ledger", not differ, "; ".join(differ[:5])
    )
    try:
        attempts: Any = other_attempts(
            at(custody, "events"), at(custody, "unended"), at(predicate, "exhibit", "id"), at(predicate, "run", "id")
        )
    except (AttributeError, KeyError, TypeError):
        attempts = None
    agree = attempts is not None and attempts == predicate.get("failed_attempts")
    verification.record("H4", "record names every other attempt on these bytes", agree)


def _differences(handling: Handling, predicate: dict[str, Any], custody: Any, complete: bool) -> list[str]:
    events, until = at(custody, "events"), at(predicate, "workspace", "ledger_head", "seq")
    subject = [at(predicate, "exhibit", "id"), at(predicate, "case", "id"), at(predicate, "exhibit", "sha256")]
    if not isinstance(events, list) or type(until) is not int or not all(isinstance(one, str) for one in subject):
        return ["the record has no list of the exhibit's history"]
    if at(custody, "format") != FORMAT:
        return [f"the list has format {at(custody, 'format')}, which this version does not know"]
    expected = handling.history.about(ExhibitBytes(*subject), until)
    listed: dict[int, bytes] = {}
    for item in events:
        seq = at(item, "seq")
        if type(seq) is not int or seq in listed:
            return ["an entry is listed twice or without its number"]
        listed[seq] = told_digest(item)
    differ = [f"entry {seq} is left out" for seq in expected.entries if seq not in listed]
    known = handling.history.known
    for seq, digest in listed.items():
        if seq in expected.entries and digest != expected.entries[seq]:
            differ.append(f"entry {seq} is told otherwise than it stands in the ledger")
        elif seq not in expected.entries and (complete or seq in known):
            differ.append(f"entry {seq} is not about this exhibit, or not in the ledger")
    return differ + (_other_numbers(custody, expected) if complete else [])


def _other_numbers(custody: Any, expected: Told[bytes]) -> list[str]:
    pairs = (
        ("the exhibits with these bytes", at(custody, "exhibits"), expected.exhibits),
        ("the numbers of entries", at(custody, "entries"), expected.counts),
        ("the last entries of case and exhibit", at(custody, "last"), expected.last),
        ("the acquisitions without an end", at(custody, "unended"), expected.unended),
    )
    return [f"{name} are not those of the ledger" for name, recorded, found in pairs if recorded != found]


def verify_handover(path: Path, data: bytes, trust: Trust = NOTHING) -> Verification | None:
    """H5, for a transfer statement or an acknowledgement alone; None if ``data`` is neither."""
    readers: tuple[tuple[str, Callable[[bytes], Transfer | Acknowledgement]], ...] = (
        ("transfer", read_transfer),
        ("acknowledgement", read_acknowledgement),
    )
    for kind, read in readers:
        verification = Verification(str(path), kind)
        try:
            statement = read(data)
        except ForensicError as error:
            if error.code == f"{kind}.malformed":
                verification.record("H5", f"{kind} is signed and well-formed", False, error.message)
                return verification
            continue
        verification.record("H5", f"{kind} is signed and well-formed", True, f"transfer {_id_of(statement)}")
        verification.signers[statement.signer["certificate_sha256"]] = statement.signer["subject"]
        verification.signed = True
        _check_signer(verification, data, statement, trust)
        verification.not_checked.append(f"the file: its SHA-256 must be {_file_of(statement)}")
        if isinstance(statement, Acknowledgement):
            verification.not_checked.append("the transfer that it answers: forensic custody acknowledge --import")
        return verification
    return None


def _check_signer(verification: Verification, data: bytes, statement: Transfer | Acknowledgement, trust: Trust) -> None:
    """I3 and I4, as of the time that the statement gives for its signature."""
    kind = TRANSFER_PREDICATE if isinstance(statement, Transfer) else ACKNOWLEDGEMENT_PREDICATE
    _, verified = verify_statement(data, predicate_type=kind)
    try:
        signed = parse_utc(str(statement.predicate.get("signed_utc")))
    except ValueError:
        signed = None
    check_certificate(verification, verified.certificates[0], statement.predicate, trust, signed=signed)


def _id_of(statement: Transfer | Acknowledgement) -> str:
    return statement.id if isinstance(statement, Transfer) else statement.transfer


def _file_of(statement: Transfer | Acknowledgement) -> str | None:
    return statement.sha256 if isinstance(statement, Transfer) else statement.found
