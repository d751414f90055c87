"""Checks on a run folder: nothing missing, nothing added, nothing changed, all of it signed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

from forensic.case.layout import (
    INCOMPLETE,
    REPORT,
    RunFolder,
    WorkspaceLayout,
    is_recorded_name,
    is_superseded_name,
)
from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.verification.anchors import check_anchors
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.beside import check_beside
from forensic.case.verification.calibrations import check_cited_calibration
from forensic.case.verification.checks import Verification
from forensic.case.verification.custody import (
    Custody,
    RunEntries,
    end_differences,
    exhibit_differences,
    interruption_differences,
    run_id_of,
)
from forensic.case.verification.damage import check_damage
from forensic.case.verification.existence import record_existed_at
from forensic.case.verification.handling import check_told
from forensic.case.verification.identities import attestation_of, check_identities
from forensic.case.verification.ledgeraround import audited_around
from forensic.case.verification.listing import check_digests, check_listing
from forensic.case.verification.records import at, contradictions, exhibit_class, labelled
from forensic.case.verification.reports import verify_report
from forensic.case.verification.stills import verify_still
from forensic.case.verification.timestamps import check_received, check_timestamps, doubts
from forensic.case.verification.trust import NOTHING, Trust
from forensic.errors import ForensicError
from forensic.frames.manifest import read_manifest
from forensic.hashes import MerkleTree
from forensic.signing.statement import Statement

_Report = tuple[Verification, Statement | None]


class LedgerUse(Enum):
    """What to do about the workspace's ledger: audit it and compare, or leave it alone."""

    AUDIT = "audit"
    NONE = "none"


def verify_run(root: Path, *, ledger: LedgerUse | Custody = LedgerUse.AUDIT, trust: Trust = NOTHING) -> Verification:
    """Verify the run folder ``root``, by default also against the workspace around it, if there is one.

    ``ledger`` may be what a ledger says that was already audited: then only the comparison is made.
    """
    folder = RunFolder(root)
    verification = Verification(str(root), "run")
    listed = check_listing(verification, folder)
    if listed is None:
        return verification
    # Hashing, inflating and most of the conversion release the interpreter lock: let them overlap.
    with ThreadPoolExecutor() as pool:
        hashing = {name: pool.submit(digest_regular, folder.root / name) for name in _largest_first(folder, listed)}
        stills = sorted(folder.stills.glob("*.png"))
        reading = [pool.submit(verify_still, still) for still in stills]
        replaced = {name: pool.submit(verify_report, folder.root / name) for name in filter(is_superseded_name, listed)}
        report = verify_report(folder.report, trust=trust)
        digests = {name: job.result() for name, job in hashing.items()}
        check_digests(verification, listed, digests)
        earlier = {name: job.result() for name, job in replaced.items()}
        statement = _check_record(verification, folder, digests, earlier)
        if statement is None:
            return verification
        verification.signed = True
        _check_report(verification, report, statement)
        _check_frames(verification, folder, statement.predicate)
        for still, job in zip(stills, reading, strict=True):
            part, proof = job.result()
            own = _proof_names_run(proof, statement) and part.signers.keys() <= verification.signers.keys()
            part.record("S8", "the proof names this run and has its signer", own)
            verification.absorb(part, folder.name(still))
        check_beside(verification, folder, statement.predicate)
    check_damage(verification, folder, statement.predicate)
    verification.record(
        "A6",
        "generative output is declared and labelled",
        labelled(statement.predicate),
        str(at(statement.predicate, "output", "stage_class")),
    )
    against_itself = contradictions(statement)
    verification.record("A7", "record agrees with itself", not against_itself, "; ".join(against_itself[:5]))
    custody = None
    if ledger is not LedgerUse.NONE:
        custody = _check_ledger(verification, folder, statement, ledger if isinstance(ledger, Custody) else None, trust)
    check_cited_calibration(verification, folder, statement.predicate, custody, trust)
    if folder.root.name.endswith(INCOMPLETE):
        verification.not_checked.append(f"why the folder is still called {folder.root.name}: rename interrupted")
    output = folder.output_named(at(statement.predicate, "output", "file")).name
    verification.not_checked.append(
        f"that {output} decodes to the frames of the record: forensic reproduce, or "
        f"ffmpeg -i {output} -f framehash -hash sha256 - against frames.jsonl"
    )
    return verification


def _largest_first(folder: RunFolder, names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-(folder.root / name).stat().st_size, name))


def _check_record(
    verification: Verification, folder: RunFolder, digests: dict[str, str], earlier: dict[str, _Report]
) -> Statement | None:
    try:
        data = read_regular(folder.attestation, JSON_LIMIT)
    except OSError as error:
        verification.record("A1", "record is signed and unchanged", False, str(error.strerror))
        return None
    statement = check_attestation(verification, data)
    if statement is None:
        return None
    predicate = statement.predicate
    signer_matches_record(verification, predicate)
    run_id = at(predicate, "run", "id")
    verification.record("A3", "record is about this run folder", run_id == run_id_of(folder), str(run_id))
    wrong = [subject.name for subject in statement.subjects if digests.get(subject.name) != subject.sha256]
    verification.record("A4", "every file in the record has its recorded digest", not wrong, ", ".join(wrong[:5]))
    subjects = {subject.name for subject in statement.subjects}
    closing = {folder.attestation.name, folder.report.name}
    signers = set(verification.signers)
    sound = {name for name, report in earlier.items() if _is_report_of(report, statement, signers)}
    odd = [name for name in subjects if not is_recorded_name(name)]
    extra = sorted({*odd, *(digests.keys() - subjects - closing - sound)})
    verification.record(
        "A5",
        "every file but report and record is in the record, under a name that a run gives",
        not extra,
        ", ".join(extra[:5]),
    )
    return statement


def _is_report_of(report: _Report, statement: Statement, signers: set[str]) -> bool:
    """Whether a replaced report is sound, carries this very record and is signed by its signer."""
    part, inside = report
    return all(check.passed for check in part.checks) and inside == statement and set(part.signers) == signers


def _check_report(verification: Verification, report: _Report, statement: Statement) -> None:
    part, inside = report
    verification.absorb(part, REPORT)
    verification.reached.update(part.reached)
    verification.not_checked.extend(doubts(part))
    verification.record("R3", "the report carries this record", inside is not None and inside == statement)
    verification.record("R4", "report and record have one signer", len(verification.signers) == 1)


def _check_frames(verification: Verification, folder: RunFolder, predicate: dict[str, Any]) -> None:
    tree = MerkleTree()
    expected = at(predicate, "output", "frames")
    expected = expected if isinstance(expected, dict) else {}
    try:
        numbers = []
        for row in read_manifest(folder.frames):
            tree.append(row.leaf())
            numbers.append(row.frame)
    except (OSError, ForensicError, TypeError) as error:
        verification.record("F1", "frame manifest matches its Merkle root", False, str(error))
        return
    verification.record(
        "F1", "frame manifest matches its Merkle root", tree.root().hex() == expected.get("merkle_root"), ""
    )
    first, last = expected.get("first"), expected.get("last")
    complete = (
        isinstance(first, int)
        and isinstance(last, int)
        and numbers == list(range(first, last + 1))
        and expected.get("count") == len(numbers)
    )
    verification.record("F2", "frames are complete and in order", complete, f"{len(numbers)} frames")


def _proof_names_run(proof: Statement | None, statement: Statement) -> bool:
    if proof is None:
        return False
    record, named = statement.predicate, proof.predicate
    shows_output = named.get("shows") == "output"
    shown_class = at(record, "output", "stage_class") if shows_output else exhibit_class(record)
    return (
        named.get("run") == at(record, "run", "id")
        and named.get("exhibit_sha256") == at(record, "exhibit", "sha256")
        and named.get("output_root") == at(record, "output", "frames", "merkle_root")
        and named.get("exhibit_root") == at(record, "exhibit", "frames", "merkle_root")
        and named.get("stage_class") == shown_class
    )


def _check_ledger(
    verification: Verification, folder: RunFolder, statement: Statement, audited: Custody | None, trust: Trust
) -> Custody | None:
    custody, beside = (
        (audited, True) if audited else audited_around(verification, folder.root, "runs", statement.predicate)
    )
    if not beside:
        verification.not_checked.append("the workspace's ledger: it is not beside this run folder")
    _check_identities(verification, folder, custody, trust)
    if custody is None:
        return None
    ended = end_differences(custody, folder, statement.predicate)
    verification.record("C2", "ledger holds this run's end with these digests", not ended, "; ".join(ended[:5]))
    other = exhibit_differences(custody, folder, statement.predicate)
    verification.record("C3", "ledger holds this exhibit and decision", not other, "; ".join(other[:5]))
    broken = interruption_differences(custody, folder, statement.predicate)
    verification.record("C4", "record tells the interruptions of the ledger", not broken, "; ".join(broken))
    dated = custody.is_dated(run_id_of(folder))
    check_told(verification, custody.handling, statement.predicate, dated=dated, complete=custody.complete)
    if audited is None:  # else the workspace's check looks at the anchors, once for all runs
        workspace = WorkspaceLayout(folder.root.absolute().parent.parent)
        check_anchors(verification, workspace, trust=trust, covering=custody.newest(run_id_of(folder)))
        check_timestamps(verification, workspace, trust=trust, covering=custody.newest(run_id_of(folder)))
        check_received(verification, workspace, custody.timestamps, run=run_id_of(folder))
    return custody


def _check_identities(verification: Verification, folder: RunFolder, custody: Custody | None, trust: Trust) -> None:
    ended = [] if custody is None else custody.runs.get(run_id_of(folder), RunEntries()).finished
    check_identities(
        verification,
        attestation_of(folder.attestation),
        None if custody is None else custody.signing,
        trust,
        finished=ended[0] if ended else None,
        existed=lambda: record_existed_at(folder, trust),
    )
