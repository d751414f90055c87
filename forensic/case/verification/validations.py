"""Checks on a validation: nothing missing, added or changed, signed, registered before, and verdicts that follow.

Imports nothing that measures: the verdicts are judged again from the recorded values by the suite itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forensic.case.earlier import COMPLETED, MASTER_KEPT, MASTER_NOT_KEPT, REGISTERED, told_of
from forensic.case.layout import INCOMPLETE, REPORT, ValidationFolder
from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import Custody
from forensic.case.verification.ledgeraround import audited_around
from forensic.case.verification.listing import check_files
from forensic.case.verification.records import at
from forensic.case.verification.reports import verify_report
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verification.validators import check_record_signer, is_about
from forensic.errors import ForensicError
from forensic.hashes import canonical_json
from forensic.ledger.entry import LedgerEntry
from forensic.signing.statement import VALIDATION_PREDICATE, Statement
from forensic.validation.suite import parse_suite
from forensic.validation.verdicts import contradictions

_COPIES = (MASTER_KEPT, MASTER_NOT_KEPT)
_TITLE_V5 = "it was completed"
_IN_A_BUNDLE = (
    "whether these are all validations of the workspace: a bundle cannot show it, and those that failed or were "
    "cancelled, were refused or never ended are not in bundles (each record names those before it, as its signer says)"
)
_TOLD = ("suite", "requirements", "conditions", "pictures", "deviations", "command")


def verify_validation(root: Path, *, ledger: Custody | None = None, trust: Trust = NOTHING) -> Verification:
    """Verify the folder of a validation, also against the workspace around it, if there is one.

    ``ledger`` is what that workspace's ledger says, where it was audited already.
    """
    folder = ValidationFolder(root)
    verification = Verification(str(root), "validation")
    digests = check_files(verification, folder)
    if digests is None:
        return verification
    statement = _check_record(verification, folder, digests, trust)
    if statement is None:
        return verification
    verification.signed = True
    part, inside = verify_report(folder.report, trust=trust)
    verification.absorb(part, REPORT)
    verification.reached.update(part.reached)
    verification.record("R3", "the report carries this record", inside is not None and inside == statement)
    verification.record("R4", "report and record have one signer", len(verification.signers) == 1)
    _check_result(verification, folder, statement)
    _check_ledger(verification, folder, statement, ledger)
    verification.not_checked.append("that the measurements come out the same again: forensic validate --master")
    return verification


def verify_validation_record(path: Path, data: bytes, trust: Trust = NOTHING) -> Verification | None:
    """The signed record of a validation alone; None if ``data`` is none."""
    if not is_about(data, "validation"):
        return None
    verification = Verification(str(path), "record of a validation")
    statement = check_attestation(verification, data, VALIDATION_PREDICATE)
    if statement is not None:
        signer_matches_record(verification, statement.predicate)
        check_record_signer(verification, data, statement.predicate, trust)
        verification.signed = True
        verification.not_checked.append("the files that the record is about: verify the folder of the validation")
    return verification


def _check_record(
    verification: Verification, folder: ValidationFolder, digests: dict[str, str], trust: Trust
) -> Statement | None:
    try:
        data = read_regular(folder.attestation, JSON_LIMIT)
    except OSError as error:
        verification.record("A1", "record is signed and unchanged", False, str(error.strerror))
        return None
    statement = check_attestation(verification, data, VALIDATION_PREDICATE)
    if statement is None:
        return None
    signer_matches_record(verification, statement.predicate)
    wrong = [subject.name for subject in statement.subjects if digests.get(subject.name) != subject.sha256]
    verification.record("A4", "every file in the record has its recorded digest", not wrong, ", ".join(wrong[:5]))
    named = {subject.name for subject in statement.subjects}
    closing = {folder.name(folder.attestation), folder.name(folder.report)}
    extra = sorted((digests.keys() - named - closing) | (named - {"result.json", "suite.toml", "master.json"}))
    verification.record("A5", "every file but report and record is in the record", not extra, ", ".join(extra[:5]))
    check_record_signer(verification, data, statement.predicate, trust)
    return statement


def _check_result(verification: Verification, folder: ValidationFolder, statement: Statement) -> None:
    """V1: the plain result is the record. V2: verdicts follow from values by the suite. V3: the master is the named."""
    predicate = statement.predicate
    try:
        result, suite = (read_regular(path, JSON_LIMIT) for path in (folder.result, folder.suite))
        found = contradictions(parse_suite(suite, folder.suite.name), predicate)
        same = result == canonical_json(predicate)
    except (OSError, ForensicError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        verification.record("V2", "every verdict follows from the recorded values by the suite", False, repr(error))
        return
    verification.record("V1", "result.json is the record", same)
    verification.record(
        "V2", "every verdict follows from the recorded values by the suite", not found, "; ".join(found[:5])
    )
    named = at(predicate, "master", "sha256")
    digest = digest_regular(folder.master) if folder.master.exists() else None
    verification.record("V3", "the master is the one that the record names", named == digest, str(named or "none"))


def _check_ledger(
    verification: Verification, folder: ValidationFolder, statement: Statement, ledger: Custody | None
) -> None:
    """V4, and V5: what is called incomplete counts only where a ledger says that it was completed."""
    identifier = at(statement.predicate, "validation", "id")
    incomplete = folder.root.name.endswith(INCOMPLETE)
    custody, beside = (
        (ledger, True)
        if ledger is not None
        else audited_around(verification, folder.root, "validations", statement.predicate)
    )
    if custody is None:
        if not beside:
            verification.not_checked.append("that it was registered before it was measured: no ledger is beside it")
        if incomplete:
            reason = "it is called incomplete, and no ledger says that it was completed"
            verification.record("V5", _TITLE_V5, False, reason)
        return
    entries = custody.validations.get(identifier, []) if isinstance(identifier, str) else []
    faults = _ledger_faults(entries, folder, statement.predicate) or _history_faults(custody, entries[0], statement)
    if not custody.complete:
        verification.not_checked.append(_IN_A_BUNDLE)
    verification.record(
        "V4",
        "ledger holds requirements and criteria before the measurement, and this result after it",
        not faults,
        "; ".join(faults),
    )
    if incomplete:
        completed = any(entry.event == COMPLETED for entry in entries)
        verification.record("V5", _TITLE_V5, completed, "" if completed else "the ledger does not say so")
        verification.not_checked.append(f"why the folder is still called {folder.root.name}: rename interrupted")


def _history_faults(custody: Custody, first: LedgerEntry, statement: Statement) -> list[str]:
    """Whether the record tells of the validations before it what the ledger tells: of all, in an extract of its own."""
    before = [one for about in custody.validations.values() for one in about if one.seq < first.seq]
    due, told = told_of(before), _objects(statement.predicate.get("earlier"))
    if custody.complete:
        same = canonical_json(told) == canonical_json(due)
    else:
        same = {canonical_json(one) for one in due} <= {canonical_json(one) for one in told}
    return [] if same else ["earlier validations are not told as the ledger tells them"]


def _objects(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _ledger_faults(entries: list[LedgerEntry], folder: ValidationFolder, predicate: dict[str, Any]) -> list[str]:
    told = [entry for entry in entries if entry.event not in _COPIES]
    if [entry.event for entry in told] != [REGISTERED, COMPLETED]:
        return ["the ledger does not have exactly one registration and then one completion of it"]
    first, last = told
    faults = []
    registered = at(predicate, "validation", "registered")
    if registered != {"seq": first.seq, "hash": first.hash, "utc": first.utc}:
        faults.append("the record names another registration")
    says = {**predicate, "command": at(predicate, "validation", "command")}
    faults += [f"{key} is not as registered" for key in _TOLD if canonical_json(says.get(key)) !=
               canonical_json(first.data.get(key))]  # fmt: skip
    if at(predicate, "master", "sha256") != at(first.data, "master", "sha256"):
        faults.append("the master is not the one registered")
    pairs = (
        ("attestation.json", last.data.get("attestation_sha256"), digest_regular(folder.attestation)),
        ("report.pdf", last.data.get("report_sha256"), digest_regular(folder.report)),
        ("manifest.sha256", last.data.get("manifest_sha256"), digest_regular(folder.manifest)),
        ("verdict", last.data.get("verdict"), predicate.get("verdict")),
        ("registration", last.data.get("registered"), first.seq),
        ("signer", last.actor.get("key_id"), at(predicate, "examiner", "identity", "key_id")),
    )
    return faults + [f"{name} is not as completed" for name, recorded, found in pairs if recorded != found]
