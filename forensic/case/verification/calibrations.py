"""Checks on a laboratory's own calibration: signed, registered before, following from its counts, cited as it is.

Nothing here measures: thresholds, p-values and the held-out test are computed again from the recorded counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.case.calibrating.events import COMPLETED, REGISTERED
from forensic.case.layout import (
    CALIBRATION,
    CALIBRATION_FILES,
    INCOMPLETE,
    RECORDINGS,
    REGISTRATION,
    REPORT,
    CalibrationFolder,
    RunFolder,
)
from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import Custody
from forensic.case.verification.ledgeraround import audited_around
from forensic.case.verification.listing import check_files
from forensic.case.verification.records import at
from forensic.case.verification.reports import verify_report
from forensic.case.verification.trust import NOTHING, Trust
from forensic.case.verification.validators import check_record_signer
from forensic.errors import ForensicError, VerificationFailed
from forensic.hashes import canonical_json, sha256_bytes
from forensic.ledger.entry import LedgerEntry
from forensic.report.verification import check_report
from forensic.signing.certificate import certificate_facts
from forensic.signing.dsse import VerifiedPayload
from forensic.signing.statement import CALIBRATION_PREDICATE, Statement, verify_statement

if TYPE_CHECKING:
    from forensic.risk.calibration.artefact import Calibration

_E1 = "the artefact agrees with itself and is the one of the record"
_E2 = "the artefact follows from what was registered and from the counts"
_E3 = "ledger holds lists, claims and method before the measurement, and this result after it"


@dataclass(frozen=True)
class Examined:
    """A calibration whose files belong together: what it says, its record, and who signed that."""

    calibration: Calibration
    statement: Statement
    signature: VerifiedPayload


def examine(files: Mapping[str, bytes]) -> Examined:
    """Hold the files of a calibration (:data:`forensic.case.layout.CALIBRATION_FILES`) against each other.

    Raises ``VerificationFailed`` (``calibration.unsound``) for what does not belong together, and as
    ``parse_calibration`` and ``verify_statement``.
    """
    from forensic.risk.calibration.artefact import parse_calibration
    from forensic.risk.calibration.evidence import contradictions

    missing = [name for name in CALIBRATION_FILES if name not in files]
    if missing:
        raise _unsound(f"{', '.join(missing)} is not there")
    statement, signature = verify_statement(files["attestation.json"], predicate_type=CALIBRATION_PREDICATE)
    named = {subject.name: subject.sha256 for subject in statement.subjects}
    found = {name: sha256_bytes(files[name]) for name in (CALIBRATION, REGISTRATION, RECORDINGS)}
    if named != found:
        wrong = ", ".join(sorted(name for name in named.keys() | found if named.get(name) != found.get(name)))
        raise _unsound(f"not what was signed: {wrong}")
    calibration = parse_calibration(files[CALIBRATION])
    faults = [*record_faults(calibration, statement.predicate, signature)]
    faults += contradictions(calibration, files[REGISTRATION], files[RECORDINGS])
    if faults:
        raise _unsound("; ".join(faults[:3]))
    return Examined(calibration, statement, signature)


def record_faults(calibration: Calibration, predicate: dict[str, Any], signature: VerifiedPayload) -> list[str]:
    """Where artefact, record and signer are not of one calibration."""
    own = calibration.laboratory
    if own is None:
        return ["it is not a laboratory's own"]
    signers = [certificate_facts(certificate)["certificate_sha256"] for certificate in signature.certificates]
    identity = at(predicate, "examiner", "identity", "certificate_sha256")
    called = own.called(str(at(predicate, "examiner", "lab")), str(at(predicate, "examiner", "name")))
    pairs: list[tuple[str, Any, Any]] = [
        ("digest", at(predicate, "calibration", "sha256"), calibration.sha256),
        ("id", at(predicate, "calibration", "id"), own.id),
        ("LOW", at(predicate, "calibration", "low"), calibration.has_low),
        ("registration", at(predicate, "calibration", "registered"), own.registered.model_dump(mode="json")),
        ("workspace", at(predicate, "workspace", "id"), own.workspace),
        ("laboratory", called[0], own.name),
        ("examiner", called[1], own.examiner),
        ("signer", signers, [own.certificate_sha256]),
        ("signer in the record", identity, own.certificate_sha256),
    ]
    return [f"{name} of record and artefact differ" for name, said, found in pairs if said != found]


def report_fault(report: Path, attestation: bytes) -> str | None:
    """Why ``report`` is not the signed report of the record ``attestation``; None where it is."""
    found = check_report(report)
    if not found.sound:
        return f"{report.name}: {found.findings[0]}"
    if found.attestation != attestation:
        return f"{report.name} carries another record"
    signers = verify_statement(attestation, predicate_type=CALIBRATION_PREDICATE)[1].certificates
    same = found.signer_sha256 in [certificate_facts(one)["certificate_sha256"] for one in signers]
    return None if same else f"{report.name} and record have not one signer"


def _unsound(why: str) -> VerificationFailed:
    return VerificationFailed(
        "calibration.unsound", f"This is no calibration that can be relied on: {why}.", "See: forensic verify DIR"
    )


def read_files(folder: CalibrationFolder) -> dict[str, bytes]:
    """The calibration's files, as far as they are there and regular."""
    files = {}
    for name in CALIBRATION_FILES:
        try:
            files[name] = read_regular(folder.root / name, JSON_LIMIT)
        except OSError:
            continue
    return files


def verify_calibration(root: Path, *, ledger: Custody | None = None, trust: Trust = NOTHING) -> Verification:
    """Verify the folder of a calibration, also against the workspace around it, if there is one.

    ``ledger`` is what that workspace's ledger says, where it was audited already.
    """
    folder = CalibrationFolder(root)
    verification = Verification(str(root), "calibration")
    digests = check_files(verification, folder)
    if digests is None:
        return verification
    files = read_files(folder)
    statement = _check_record(verification, files, digests, trust)
    if statement is None:
        return verification
    verification.signed = True
    part, inside = verify_report(folder.report, trust=trust)
    verification.absorb(part, REPORT)
    verification.reached.update(part.reached)
    verification.record("R3", "the report carries this record", inside is not None and inside == statement)
    verification.record("R4", "report and record have one signer", len(verification.signers) == 1)
    _check_artefact(verification, files, statement)
    _check_ledger(verification, folder, statement, files, ledger)
    verification.not_checked.append("that the counts come out the same again: they need the laboratory's pairs")
    return verification


def verify_calibration_record(path: Path, data: bytes, trust: Trust = NOTHING) -> Verification | None:
    """The signed record of a calibration alone; None if ``data`` is none."""
    try:
        verify_statement(data, predicate_type=CALIBRATION_PREDICATE)
    except ForensicError:
        return None
    verification = Verification(str(path), "record of a calibration")
    statement = check_attestation(verification, data, CALIBRATION_PREDICATE)
    if statement is not None:
        signer_matches_record(verification, statement.predicate)
        check_record_signer(verification, data, statement.predicate, trust, "calibration")
        verification.signed = True
        verification.not_checked.append("the files that the record is about: verify the folder of the calibration")
    return verification


def _check_record(
    verification: Verification, files: Mapping[str, bytes], digests: Mapping[str, str], trust: Trust
) -> Statement | None:
    data = files.get("attestation.json")
    if data is None:
        verification.record("A1", "record is signed and unchanged", False, "it is not there")
        return None
    statement = check_attestation(verification, data, CALIBRATION_PREDICATE)
    if statement is None:
        return None
    signer_matches_record(verification, statement.predicate)
    wrong = [subject.name for subject in statement.subjects if digests.get(subject.name) != subject.sha256]
    verification.record("A4", "every file in the record has its recorded digest", not wrong, ", ".join(wrong[:5]))
    named = {subject.name for subject in statement.subjects}
    closing = {"attestation.json", REPORT}
    extra = sorted((digests.keys() - named - closing) | (named ^ {CALIBRATION, REGISTRATION, RECORDINGS}))
    verification.record("A5", "the record is about the files of a calibration", not extra, ", ".join(extra[:5]))
    check_record_signer(verification, data, statement.predicate, trust, "calibration")
    return statement


def _check_artefact(verification: Verification, files: Mapping[str, bytes], statement: Statement) -> None:
    """E1: the artefact and the record. E2: the artefact follows from registration and table."""
    from forensic.risk.calibration.artefact import parse_calibration
    from forensic.risk.calibration.evidence import contradictions

    try:
        calibration = parse_calibration(files.get(CALIBRATION, b""))
        signature = verify_statement(files["attestation.json"], predicate_type=CALIBRATION_PREDICATE)[1]
        faults = record_faults(calibration, statement.predicate, signature)
    except ForensicError as error:
        verification.record("E1", _E1, False, error.message)
        return
    verification.record("E1", _E1, not faults, "; ".join(faults[:5]))
    against = contradictions(calibration, files.get(REGISTRATION, b""), files.get(RECORDINGS, b""))
    verification.record("E2", _E2, not against, "; ".join(against[:5]))


def _check_ledger(
    verification: Verification,
    folder: CalibrationFolder,
    statement: Statement,
    files: Mapping[str, bytes],
    ledger: Custody | None,
) -> None:
    """E3, and E4: what is called incomplete counts only where a ledger says that it was completed."""
    identifier = at(statement.predicate, "calibration", "id")
    custody, beside = (
        (ledger, True)
        if ledger is not None
        else audited_around(verification, folder.root, "calibrations", statement.predicate)
    )
    incomplete = folder.root.name.endswith(INCOMPLETE)
    if custody is None:
        if not beside:
            verification.not_checked.append("that it was registered before it was measured: no ledger is beside it")
        if incomplete:
            reason = "it is called incomplete, and no ledger says that it was completed"
            verification.record("E4", "it was completed", False, reason)
        return
    entries = custody.calibrations.get(identifier, []) if isinstance(identifier, str) else []
    digests = {name: digest_regular(path) for name, path in (("manifest", folder.manifest), ("report", folder.report))}
    faults = ledger_faults(entries, files, statement.predicate, digests)
    verification.record("E3", _E3, not faults, "; ".join(faults))
    if incomplete:
        completed = any(entry.event == COMPLETED for entry in entries)
        verification.record("E4", "it was completed", completed, "" if completed else "the ledger does not say so")


def ledger_faults(
    entries: list[LedgerEntry],
    files: Mapping[str, bytes],
    predicate: dict[str, Any],
    others: Mapping[str, str] | None = None,
) -> list[str]:
    """Where the ledger's entries about a calibration are not those of its files.

    ``others``: digests of its ``report`` and of the ``manifest``, as far as they are to be looked at.
    """
    if [entry.event for entry in entries] != [REGISTERED, COMPLETED]:
        return ["the ledger does not have exactly one registration and then one completion of it"]
    first, last = entries
    faults = []
    if at(predicate, "calibration", "registered") != {"seq": first.seq, "hash": first.hash, "utc": first.utc}:
        faults.append("the record names another registration")
    if files.get(REGISTRATION) != canonical_json(first.data):
        faults.append("registration.json is not what was registered")
    digests = {name: sha256_bytes(files[name]) for name in files}
    pairs: list[tuple[str, Any, Any]] = [
        ("attestation.json", last.data.get("attestation_sha256"), digests.get("attestation.json")),
        (CALIBRATION, last.data.get("calibration_sha256"), digests.get(CALIBRATION)),
        ("registration", last.data.get("registered"), first.seq),
        ("signer", last.actor.get("key_id"), at(predicate, "examiner", "identity", "key_id")),
    ]
    pairs += [(name, last.data.get(f"{name}_sha256"), digest) for name, digest in (others or {}).items()]
    return faults + [f"{name} is not as completed" for name, recorded, found in pairs if recorded != found]


def check_cited_calibration(
    verification: Verification, run: RunFolder, predicate: dict[str, Any], custody: Custody | None, trust: Trust
) -> None:
    """A8: the laboratory's calibration that the run cites lies in its folder, sound and the very one."""
    folder = run.calibration
    cited = at(predicate, "risk", "calibration")
    own = at(cited, "artefact", "origin") == "laboratory"
    if not own and not folder.root.exists():
        return
    title = "the laboratory's calibration in the folder is sound and the one that the record cites"
    if not own:
        verification.record("A8", title, False, "there is one, and the record cites none")
        return
    files = read_files(folder)
    try:
        examined = examine(files)
    except ForensicError as error:
        verification.record("A8", title, False, error.message)
        return
    faults = [] if examined.calibration.sha256 == at(cited, "sha256") else ["the record cites another"]
    if at(cited, "attestation_sha256") != sha256_bytes(files["attestation.json"]):
        faults.append("the record cites another signature")
    laboratory, subject = examined.calibration.laboratory, examined.calibration.subject
    models = at(predicate, "models")
    used = [(at(one, "id"), at(one, "weights_sha256")) for one in models] if isinstance(models, list) else []
    if (subject.model, subject.weights_sha256) not in used:
        faults.append(f"it is of model {subject.model} with weights that the run does not name among its models")
    if at(cited, "files", REPORT) is not None or folder.report.exists():
        fault = report_fault(folder.report, files["attestation.json"])
        faults += [] if fault is None else [fault]
    entries = [] if custody is None or laboratory is None else custody.calibrations.get(laboratory.id, [])
    here = laboratory is not None and laboratory.workspace == at(predicate, "workspace", "id")
    if here and entries:
        told = {"report": digest_regular(folder.report)} if folder.report.exists() else None
        faults += ledger_faults(entries, files, examined.statement.predicate, told)
    elif here and custody is not None and custody.complete:
        faults.append("the ledger knows no such calibration")
    by = ", ".join(certificate_facts(one)["subject"] for one in examined.signature.certificates)
    verification.record("A8", title, not faults, "; ".join(faults) or f"signed by {by}")
    if not entries:
        verification.not_checked.append(
            "that the cited calibration was registered before it was measured: no ledger here has its entries"
        )
    if trust.authorities:
        data, record = files["attestation.json"], examined.statement.predicate
        check_record_signer(verification, data, record, trust, "calibration", "the calibration's signer's")
