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
from forensic.case.execution import PixelResult, execute
from forensic.case.exhibits import Exhibit, check_untouched, find_exhibit
from forensic.case.filelist import write_manifest
from forensic.case.issue import issue_report
from forensic.case.layout import RunFolder
from forensic.case.plan import EnhanceRequest, RunPlan, judge, new_run_id, settle
from forensic.case.progress import Progress
from forensic.case.stillproof import FrameTree, write_sidecars
from forensic.case.storage import remove_tree, storage, sync_file, sync_folder, write_file
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
    asked = request.to_record()
    try:
        check_untouched(workspace, exhibit)
        plan = settle(run_id, exhibit, request, os.cpu_count() or 1)
        policy, decision = judge(workspace, plan)
        workspace.ledger.append("policy.decided", {"request": asked, "decision": decision.to_record()}, **identity)
        decision.require()
    except ForensicError as error:
        by = "policy" if isinstance(error, PolicyRefused) else "program"
        workspace.ledger.append(
            "run.refused", {"request": asked, "by": by, "code": error.code, "reason": error.message}, **identity
        )
        raise
    return _carry_out(workspace, plan, (policy, decision), identity, progress)


def _carry_out(
    workspace: Workspace,
    plan: RunPlan,
    judged: tuple[Policy, PolicyDecision],
    identity: dict[str, str],
    progress: Progress,
) -> FinishedRun:
    workspace.ledger.append(
        "run.started",
        {"request": plan.request.to_record(), "recipe": plan.recipe.record(), "frames": list(plan.frames)},
        **identity,
    )
    folder = workspace.layout.incomplete_run(plan.run_id)
    progress.say(f"Run {plan.run_id}: recipe {plan.recipe.recipe.name}, {plan.planned_class.label} class")
    clock = time.monotonic()
    started = utc_now()
    try:
        result = execute(plan, folder, progress)
        attestation, digests = _close(workspace, plan, judged, folder, result, (started, clock), progress)
        final = workspace.layout.run(plan.run_id)
        with storage(final.root, "moving the run to"):
            folder.root.rename(final.root)
            sync_folder(final.root.parent)
    except KeyboardInterrupt:
        _ended(workspace, identity, folder, "run.cancelled", "user.interrupt", "Interrupted by the user (Ctrl-C).")
        raise Interrupted(
            "run.cancelled",
            f"Run {plan.run_id} was cancelled; that is on the record.",
            f"Its incomplete files are in {folder.root}. Give the same command to run it anew.",
        ) from None
    except OSError as error:
        stopped = StorageFailed("storage.failed", f"{error}", "Check the disk and give the command again.")
        _ended(workspace, identity, folder, "run.failed", stopped.code, stopped.message)
        raise stopped from error
    except ForensicError as error:
        _ended(workspace, identity, folder, "run.failed", error.code, error.message)
        raise
    except BaseException as error:
        # A defect of ours: recorded like any failure, then shown as what it is (exit code 70).
        _ended(workspace, identity, folder, "run.failed", "internal.unexpected", f"{type(error).__name__}: {error}")
        raise
    workspace.ledger.append("run.finished", digests, **identity)
    return FinishedRun(plan.run_id, final.root, attestation.predicate)


def _ended(
    workspace: Workspace, identity: dict[str, str], folder: RunFolder, event: str, code: str, reason: str
) -> None:
    """Record a bad end. On a full disk the run's own files make room for the entry."""
    data = {"code": code, "reason": reason, "incomplete_folder": folder.root.name}
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
    result: PixelResult,
    began: tuple[datetime, float],
    progress: Progress,
) -> tuple[Attestation, dict[str, Any]]:
    started, clock = began
    progress.say("Signing record and report")
    acquisition = plan.exhibit.acquisition()
    trees = (FrameTree(plan.exhibit.folder.frames), FrameTree(folder.frames))
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
            "exhibit_root": plan.exhibit.entry["frames"]["merkle_root"],
            "output_root": result.merkle_root,
            "stage_class": result.stage_class.label,
        },
        trees,
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
    report = issue_report(workspace, folder, attestation, finished)
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
