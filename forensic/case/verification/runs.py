"""Checks on a run folder: nothing missing, nothing added, nothing changed, all of it signed."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from pathlib import Path
from typing import Any

from forensic.case.filelist import read_manifest_file
from forensic.case.layout import REPORT, RunFolder, WorkspaceLayout
from forensic.case.verification.attestations import check_attestation, signer_matches_record
from forensic.case.verification.checks import Verification
from forensic.case.verification.reports import verify_report
from forensic.case.verification.stills import verify_still
from forensic.errors import ForensicError
from forensic.frames.manifest import read_manifest
from forensic.frames.stageclass import StageClass
from forensic.hashes import MerkleTree, sha256_file
from forensic.ledger.audit import audit
from forensic.ledger.reading import audited_entries
from forensic.signing.statement import Statement


class LedgerUse(Enum):
    """What to do about the workspace's ledger: audit it and compare, only compare, or leave it alone."""

    AUDIT = "audit"
    AUDITED = "audited"
    NONE = "none"


def verify_run(root: Path, *, ledger: LedgerUse = LedgerUse.AUDIT) -> Verification:
    """Verify the run folder ``root``, by default also against the workspace around it, if there is one."""
    folder = RunFolder(root)
    verification = Verification(str(root), "run")
    listed = _check_listing(verification, folder)
    if listed is None:
        return verification
    # Hashing, inflating and most of the conversion release the interpreter lock: let them overlap.
    with ThreadPoolExecutor() as pool:
        hashing = {name: pool.submit(_digest, folder.root / name) for name in _largest_first(folder, listed)}
        stills = sorted(folder.stills.glob("*.png"))
        reading = [pool.submit(verify_still, still) for still in stills]
        report = verify_report(folder.report)
        digests = {name: job.result() for name, job in hashing.items()}
        changed = sorted(name for name, digest in digests.items() if digest != listed[name])
        verification.record("M5", "every file has its listed digest", not changed, ", ".join(changed[:5]))
        statement = _check_record(verification, folder, digests)
        if statement is None:
            return verification
        verification.signed = True
        _check_report(verification, report, statement)
        _check_frames(verification, folder, statement.predicate)
        for still, job in zip(stills, reading, strict=True):
            part, proof = job.result()
            part.record("S8", "the proof names this run", _proof_names_run(proof, statement))
            verification.absorb(part, folder.name(still))
    verification.record(
        "A6",
        "generative output is declared and labelled",
        _labelled(statement.predicate),
        str(_dig(statement.predicate, "output", "stage_class")),
    )
    if ledger is not LedgerUse.NONE:
        _check_ledger(verification, folder, statement, audited=ledger is LedgerUse.AUDITED)
    verification.not_checked.append(
        "that output.mkv decodes to the frames of the record: forensic reproduce, or "
        "ffmpeg -i output.mkv -f framehash -hash sha256 - against frames.jsonl"
    )
    return verification


def _dig(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _check_listing(verification: Verification, folder: RunFolder) -> dict[str, str] | None:
    """M1 to M4; None if nothing further should be opened: no list, or links and devices among the files."""
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
    regular = verification.record("M4", "all are regular files", not links, ", ".join(links[:5]))
    return {name: listed[name] for name in listed.keys() & present.keys()} if regular else None


def _largest_first(folder: RunFolder, names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (-(folder.root / name).stat().st_size, name))


def _digest(path: Path) -> str:
    try:
        return sha256_file(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"


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


def _check_report(
    verification: Verification, report: tuple[Verification, Statement | None], statement: Statement
) -> None:
    part, inside = report
    verification.absorb(part, REPORT)
    verification.record("R3", "the report carries this record", inside is not None and inside == statement)
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


def _proof_names_run(proof: Statement | None, statement: Statement) -> bool:
    if proof is None:
        return False
    record, named = statement.predicate, proof.predicate
    return (
        named.get("run") == _dig(record, "run", "id")
        and named.get("exhibit_sha256") == _dig(record, "exhibit", "sha256")
        and named.get("output_root") == _dig(record, "output", "frames", "merkle_root")
        and named.get("exhibit_root") == _dig(record, "exhibit", "frames", "merkle_root")
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


def cited_head(predicate: dict[str, Any]) -> tuple[int, str] | None:
    """The ledger head that a run's record cites, if it is well-formed."""
    head = _dig(predicate, "workspace", "ledger_head")
    if not isinstance(head, dict) or not isinstance(head.get("seq"), int) or not isinstance(head.get("hash"), str):
        return None
    return head["seq"], head["hash"]


def _check_ledger(verification: Verification, folder: RunFolder, statement: Statement, *, audited: bool) -> None:
    workspace = WorkspaceLayout(folder.root.absolute().parent.parent)
    if folder.root.absolute().parent != workspace.runs or not workspace.ledger.is_file():
        verification.not_checked.append("the workspace's ledger: it is not beside this run folder")
        return
    if not audited:
        head = cited_head(statement.predicate)
        result = audit(workspace.ledger, cited_heads=[] if head is None else [head])
        reasons = "; ".join(f"{found.check} {found.reason}" for found in result.findings[:3])
        if not verification.record("C1", "ledger is sound and holds the cited head", result.ok and bool(head), reasons):
            return
    verification.record(
        "C2", "ledger holds this run's end with these digests", _finished_as_recorded(workspace, folder, statement)
    )


def _finished_as_recorded(workspace: WorkspaceLayout, folder: RunFolder, statement: Statement) -> bool:
    finished: list[dict[str, Any]] = []
    issued: list[dict[str, Any]] = []
    try:
        for entry in audited_entries(workspace.ledger):
            if entry.run == folder.root.name and entry.event == "run.finished":
                finished.append(entry.data)
            elif entry.run == folder.root.name and entry.event == "report.issued":
                issued.append(entry.data)
        digests = [sha256_file(path) for path in (folder.attestation, folder.report, folder.manifest)]
    except (ForensicError, OSError):
        return False
    if len(finished) != 1:
        return False
    latest = issued[-1] if issued else finished[0]
    return digests == [
        finished[0].get("attestation_sha256"), latest.get("report_sha256"), latest.get("manifest_sha256"),
    ] and finished[0].get("output_sha256") == _dig(statement.predicate, "output", "sha256")  # fmt: skip
