"""Checks on a run folder: nothing missing, nothing added, nothing changed, all of it signed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forensic.case.issue import read_manifest_file
from forensic.case.layout import RunFolder, WorkspaceLayout
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.reports import verify_report
from forensic.case.verification.stills import verify_still
from forensic.errors import ForensicError
from forensic.frames.manifest import read_manifest
from forensic.frames.stageclass import StageClass
from forensic.hashes import MerkleTree, sha256_file
from forensic.ledger.audit import audit
from forensic.ledger.store import Ledger
from forensic.signing.statement import Statement


def verify_run(root: Path, *, ledger: bool = True) -> Verification:
    """Verify the run folder ``root``; with ``ledger`` also against the workspace around it."""
    folder = RunFolder(root)
    verification = Verification(str(root), "run")
    digests = _check_manifest(verification, folder)
    if digests is None:
        return verification
    statement = _check_record(verification, folder, digests)
    if statement is None:
        return verification
    verification.signed = True
    _check_report(verification, folder, statement)
    _check_frames(verification, folder, statement.predicate)
    for still in sorted(folder.stills.glob("*.png")):
        part = verify_still(still)
        part.record("S8", "the proof names this run", _proof_names_run(part, still, statement), "")
        verification.absorb(part, folder.name(still))
    verification.record(
        "A6",
        "generative output is declared and labelled",
        _labelled(statement.predicate),
        str(_dig(statement.predicate, "output", "stage_class")),
    )
    if ledger:
        _check_ledger(verification, folder, statement)
    verification.not_checked.append(
        "that output.mkv decodes to the frames of the record: forensic reproduce, or "
        "ffmpeg -i output.mkv -f framehash -hash sha256 - against frames.jsonl"
    )
    return verification


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _check_manifest(verification: Verification, folder: RunFolder) -> dict[str, str] | None:
    try:
        listed = read_manifest_file(folder.manifest)
    except (OSError, ValueError) as error:
        verification.record("M1", "manifest.sha256 can be read", False, str(error))
        return None
    verification.record("M1", "manifest.sha256 can be read", True, f"{len(listed)} files")
    present = {folder.name(path): path for path in folder.files() if path.name != folder.manifest.name}
    missing, added = sorted(listed.keys() - present.keys()), sorted(present.keys() - listed.keys())
    verification.record("M2", "no listed file is missing", not missing, ", ".join(missing[:5]))
    verification.record("M3", "no file is there that is not listed", not added, ", ".join(added[:5]))
    links = [name for name, path in present.items() if path.is_symlink() or not path.is_file()]
    verification.record("M4", "all are regular files", not links, ", ".join(links[:5]))
    digests, changed = {}, []
    for name in sorted(listed.keys() & present.keys()):
        if name in links:
            continue
        try:
            digests[name] = sha256_file(present[name])
        except OSError as error:
            digests[name] = f"unreadable: {error.strerror}"
        if digests[name] != listed[name]:
            changed.append(name)
    verification.record("M5", "every file has its listed digest", not changed, ", ".join(changed[:5]))
    return digests


def _check_record(verification: Verification, folder: RunFolder, digests: dict[str, str]) -> Statement | None:
    try:
        data = folder.attestation.read_bytes()
    except OSError as error:
        verification.record("A1", "record is signed and unchanged", False, str(error.strerror))
        return None
    statement = check_attestation(verification, data)
    if statement is None:
        return None
    predicate = statement.predicate
    signer_matches_record(verification, predicate)
    run_id = _dig(predicate, "run", "id")
    verification.record("A3", "record is about this run folder", run_id == folder.root.name, str(run_id))
    wrong = [subject.name for subject in statement.subjects if digests.get(subject.name) != subject.sha256]
    verification.record("A4", "every file in the record has its recorded digest", not wrong, ", ".join(wrong[:5]))
    subjects = {subject.name for subject in statement.subjects}
    closing = {folder.attestation.name, folder.report.name}
    extra = sorted(name for name in digests.keys() - subjects - closing if not name.startswith("report-superseded-"))
    verification.record("A5", "every file but report and record is in the record", not extra, ", ".join(extra[:5]))
    return statement


def _check_report(verification: Verification, folder: RunFolder, statement: Statement) -> None:
    part, inside = verify_report(folder.report)
    verification.absorb(part, folder.report.name)
    verification.record(
        "R3",
        "the report carries this record",
        inside is not None and inside == statement,
    )
    verification.record("R4", "report and record have one signer", len(verification.signers) == 1)


def _check_frames(verification: Verification, folder: RunFolder, predicate: dict[str, Any]) -> None:
    tree = MerkleTree()
    expected = _dig(predicate, "output", "frames") or {}
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


def _proof_names_run(part: Verification, still: Path, statement: Statement) -> bool:
    from forensic.case.layout import sidecar
    from forensic.signing.statement import STILL_PREDICATE, verify_statement

    if part.verdict.name == "FAILED":
        return False
    try:
        proof, _ = verify_statement(sidecar(still).read_bytes(), predicate_type=STILL_PREDICATE)
    except (OSError, ForensicError):
        return False
    record = statement.predicate
    return (
        proof.predicate.get("run") == _dig(record, "run", "id")
        and proof.predicate.get("exhibit_sha256") == _dig(record, "exhibit", "sha256")
        and proof.predicate.get("output_root") == _dig(record, "output", "frames", "merkle_root")
        and proof.predicate.get("exhibit_root") == _dig(record, "exhibit", "frames", "merkle_root")
    )


def _labelled(predicate: dict[str, Any]) -> bool:
    try:
        stages = [StageClass.parse(stage["class"]) for stage in predicate["recipe"]["stages"]]
        output = StageClass.parse(predicate["output"]["stage_class"])
    except (KeyError, TypeError, ForensicError):
        return False
    if max(stages, default=StageClass.PRESENTATION) > output:
        return False
    return output is not StageClass.GENERATIVE or predicate["output"].get("labelled") is True


def _check_ledger(verification: Verification, folder: RunFolder, statement: Statement) -> None:
    workspace = WorkspaceLayout(folder.root.absolute().parent.parent)
    if folder.root.absolute().parent != workspace.runs or not workspace.ledger.is_file():
        verification.not_checked.append("the workspace's ledger: it is not beside this run folder")
        return
    head = _dig(statement.predicate, "workspace", "ledger_head") or {}
    try:
        cited = (int(head["seq"]), str(head["hash"]))
    except (KeyError, TypeError, ValueError):
        verification.record("L2", "the record cites a ledger head", False)
        return
    result = audit(workspace.ledger, expected_head=cited)
    verification.record("L1", "ledger is sound", result.ok, "; ".join(str(f) for f in result.findings[:3]))
    if not result.ok:
        return
    verification.record(
        "L2", "ledger holds this run's end with these digests", _finished_as_recorded(workspace, folder, statement)
    )


def _finished_as_recorded(workspace: WorkspaceLayout, folder: RunFolder, statement: Statement) -> bool:
    run_id = folder.root.name
    attestation = sha256_file(folder.attestation)
    report, manifest = sha256_file(folder.report), sha256_file(folder.manifest)
    try:
        with Ledger.open(workspace.ledger) as ledger:
            finished = [entry.data for entry in ledger.entries(event="run.finished", run=run_id)]
            issued = [entry.data for entry in ledger.entries(event="report.issued", run=run_id)]
    except ForensicError:
        return False
    if len(finished) != 1:
        return False
    latest = issued[-1] if issued else finished[0]
    return (
        finished[0].get("attestation_sha256") == attestation
        and finished[0].get("output_sha256") == _dig(statement.predicate, "output", "sha256")
        and latest.get("report_sha256") == report
        and latest.get("manifest_sha256") == manifest
    )
