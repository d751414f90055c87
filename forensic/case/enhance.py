"""The main job: plan, ask policy, enhance, attest, report; every way it can end is recorded."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from forensic.case.acquire import acquire
from forensic.case.attest import Attestation, attest, build_predicate, risk_files
from forensic.case.ending import INTERRUPT, why_ended
from forensic.case.execution import PixelResult, SourceRows, execute
from forensic.case.exhibits import Exhibit, check_untouched, find_exhibit
from forensic.case.filelist import write_manifest
from forensic.case.issue import issue_report
from forensic.case.layout import RunFolder
from forensic.case.plan import EnhanceRequest, RunPlan, judge, new_run_id, settle
from forensic.case.progress import Progress
from forensic.case.recovery import settle_run
from forensic.case.stillproof import FrameTree, write_sidecars
from forensic.case.storage import remove_tree, sync_file, write_file
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import ForensicError, Interrupted, PolicyRefused, StorageFailed, UsageError
from forensic.hashes import canonical_json
from forensic.policy.decision import PolicyDecision
from forensic.policy.store import Policy
from forensic.risk.files import risk_record, write_regions

UNASSIGNED_CASE = "UNASSIGNED"


@dataclass(frozen=True)
class FinishedRun:
    """Where the results are and what they are."""

    run_id: str
    folder: Path
    predicate: dict[str, Any]


def exhibit_for(workspace: Workspace, target: str, progress: Progress) -> Exhibit:
    """The exhibit with id ``target``; else the file ``target``, acquired first under defaults."""
    exhibit = find_exhibit(workspace, target)
    if exhibit is not None:
        return exhibit
    file = Path(target)
    if not _exists(file):
        raise UsageError(
            "exhibit.unknown", f"{target!r} is neither an exhibit of this workspace nor a file.", "See: forensic log"
        )
    progress.say(f"Acquiring {file.name} (case {UNASSIGNED_CASE}, exhibit named after its digest)")
    return acquire(
        workspace,
        file,
        case=UNASSIGNED_CASE,
        exhibit_id=None,
        note=None,
        progress=progress,
        defaults=(
            f"case: none was named, {UNASSIGNED_CASE!r} is used",
            "exhibit id: none was named, the first twelve digits of the file's SHA-256 are used",
        ),
    )


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except OSError:  # a name that no file can have
        return False


def enhance(workspace: Workspace, exhibit: Exhibit, request: EnhanceRequest, progress: Progress) -> FinishedRun:
    """Run ``request`` on ``exhibit`` and return the finished run.

    Raises ``PolicyRefused`` (ledger: ``run.refused``), ``BadInput``/``UsageError`` for a request that
    cannot work (also ``run.refused``, by the program), and after the start whatever stopped it
    (``run.failed`` or ``run.cancelled``). The ledger is valid after each of them.
    """
    run_id = new_run_id()
    identity = {"case": exhibit.case, "exhibit": exhibit.id, "run": run_id}
    asked = _asked(request)
    try:
        check_untouched(workspace, exhibit)
        plan = settle(run_id, exhibit, request, os.cpu_count() or 1)
        policy, decision = judge(workspace, plan)
        workspace.ledger.append("policy.decided", {"request": asked, "decision": decision.to_record()}, **identity)
        plan.require(decision)
    except BaseException as error:
        _refused(workspace, identity, asked, error)
        raise
    return _carry_out(workspace, plan, (policy, decision), identity, progress)


def _asked(request: EnhanceRequest) -> dict[str, Any]:
    """The request as it goes on the record, also where a caller put in what JSON cannot hold."""
    try:
        record = request.to_record()
        canonical_json(record)
    except (TypeError, ForensicError):
        return {"unreadable": repr(request).encode("utf-8", "backslashreplace").decode("utf-8")}
    return record


def _refused(workspace: Workspace, identity: dict[str, str], asked: dict[str, Any], error: BaseException) -> None:
    code, reason = why_ended(error)
    by = {True: "policy"}.get(isinstance(error, PolicyRefused), "user" if code == INTERRUPT else "program")
    workspace.ledger.append("run.refused", {"request": asked, "by": by, "code": code, "reason": reason}, **identity)


def _carry_out(
    workspace: Workspace,
    plan: RunPlan,
    judged: tuple[Policy, PolicyDecision],
    identity: dict[str, str],
    progress: Progress,
) -> FinishedRun:
    folder = workspace.layout.incomplete_run(plan.run_id)
    asked = _asked(plan.request)
    attestation = None
    try:
        workspace.ledger.append(
            "run.started", {"request": asked, "recipe": plan.recipe.record(), "frames": list(plan.frames)}, **identity
        )
        progress.say(f"Run {plan.run_id}: recipe {plan.recipe.recipe.name}, {plan.planned_class.label} class")
        clock, started = time.monotonic(), utc_now()
        rows = plan.exhibit.manifest()
        result = execute(plan, judged[1], rows, folder, progress)
        # Frames were checked one by one; sound was copied from the file, so the file is hashed once more.
        check_untouched(workspace, plan.exhibit)
        attestation, digests = _close(workspace, plan, judged, folder, (result, rows), (started, clock), progress)
        workspace.ledger.append("run.finished", digests, **identity)
    except BaseException as error:
        if attestation is None or not _has_ended(workspace, plan.run_id):
            _unfinished(workspace, identity, folder, asked, error)
            raise
        # An interrupt that came after the entry came too late: the run is finished.
    settle_run(workspace.layout, plan.run_id)
    return FinishedRun(plan.run_id, workspace.layout.run(plan.run_id).root, attestation.predicate)


def _has_ended(workspace: Workspace, run_id: str) -> bool:
    return next(iter(workspace.ledger.entries(event="run.finished", run=run_id)), None) is not None


def _unfinished(
    workspace: Workspace, identity: dict[str, str], folder: RunFolder, asked: dict[str, Any], error: BaseException
) -> None:
    """Record a bad end and raise it as what the caller should see; returns if ``error`` itself should be raised."""
    if next(iter(workspace.ledger.entries(event="run.started", run=identity["run"])), None) is None:
        _refused(workspace, identity, asked, error)
        return
    code, reason = why_ended(error)
    if isinstance(error, KeyboardInterrupt):
        _ended(workspace, identity, folder, "run.cancelled", code, reason)
        raise Interrupted(
            "run.cancelled",
            f"Run {identity['run']} was cancelled; that is on the record.",
            f"Its incomplete files are in {folder.root}. Give the same command to run it anew.",
        ) from None
    _ended(workspace, identity, folder, "run.failed", code, reason)
    if isinstance(error, OSError):
        raise StorageFailed(code, reason, "Check the disk and give the command again.") from error


def _ended(
    workspace: Workspace, identity: dict[str, str], folder: RunFolder, event: str, code: str, reason: str
) -> None:
    """Record a bad end. On a full disk the run's own files make room for the entry."""
    kept = folder.root.name if folder.root.exists() else None
    data = {"code": code, "reason": reason, "incomplete_folder": kept}
    try:
        workspace.ledger.append(event, data, **identity)
    except StorageFailed:
        remove_tree(folder.root)
        removed = {**data, "incomplete_folder": None, "note": "incomplete files removed to make room for this entry"}
        try:
            workspace.ledger.append(event, removed, **identity)
        except StorageFailed:
            # The chain is valid and says "started, not finished", which is the truth.
            return


def _close(
    workspace: Workspace,
    plan: RunPlan,
    judged: tuple[Policy, PolicyDecision],
    folder: RunFolder,
    pixels: tuple[PixelResult, SourceRows],
    began: tuple[datetime, float],
    progress: Progress,
) -> tuple[Attestation, dict[str, Any]]:
    (result, rows), (started, clock) = pixels, began
    for warning in result.warnings:
        progress.say(f"Warning: {warning}")
    progress.say("Signing record and report")
    acquisition = plan.exhibit.acquisition()
    trees = (FrameTree(rows), FrameTree(result.rows))
    for still in result.stills:
        still["pts"] = trees[1].proof(still["frame"], "")["row"]["pts"]
    files = {number: risk_files(folder, number) for number in result.risk}
    risk = risk_record([result.risk[number] for number in sorted(result.risk)], plan.selection, files)
    write_regions(folder.regions, risk)
    write_sidecars(
        workspace,
        folder,
        sorted(result.risk),
        {
            "run": plan.run_id,
            "case": plan.exhibit.case,
            "exhibit": plan.exhibit.id,
            "exhibit_sha256": plan.exhibit.sha256,
            "exhibit_root": plan.exhibit.acquired.merkle_root,
            "output_root": result.merkle_root,
            "stage_class": result.stage_class.label,
        },
        trees,
        plan.exhibit.stage_class.label,
    )
    sync_file(folder.frames)
    policy, decision = judged
    write_file(folder.policy, policy.text.encode("utf-8"))
    write_file(folder.policy_schema, policy.schema_text.encode("utf-8"))
    write_file(folder.recipe, plan.recipe.recipe.text.encode("utf-8"))
    if result.notes:
        write_file(folder.notes, b"".join(canonical_json(note) + b"\n" for note in result.notes))
    finished = utc_now()
    predicate = build_predicate(
        workspace, plan, decision, folder, result, acquisition, risk, (started, finished, time.monotonic() - clock)
    )
    attestation = attest(workspace, folder, predicate)
    write_file(folder.attestation, attestation.data)
    report = issue_report(workspace, folder, attestation, finished, folder.report)
    manifest = write_manifest(folder)
    return attestation, {
        "attestation_sha256": attestation.sha256,
        "report_sha256": report,
        "manifest_sha256": manifest,
        "output_sha256": predicate["output"]["sha256"],
        "output_merkle_root": result.merkle_root,
        "frames": result.frames,
        "stage_class": result.stage_class.label,
    }
