"""The main job: plan, ask policy, enhance, attest, report; every way it can end is recorded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from forensic.case.acquire import acquire
from forensic.case.approvalterms import approval_reference
from forensic.case.attest import Attestation, attest, build_predicate, risk_files
from forensic.case.beside import needs_beside
from forensic.case.calibrating.heldout import held_out_of
from forensic.case.cost import Meter, metering
from forensic.case.ending import INTERRUPT, can_go_on, record_end, why_ended
from forensic.case.environment import platform_digest
from forensic.case.estimating import GONE_ON_WITH, Estimate, Workload, estimate
from forensic.case.execution import PixelResult, SourceRows, execute
from forensic.case.exhibits import Exhibit, check_untouched, find_exhibit
from forensic.case.filelist import write_manifest
from forensic.case.following import follow_region
from forensic.case.graining import with_grain
from forensic.case.holding import Holding, under_way
from forensic.case.issue import issue_report
from forensic.case.journal import PROGRESS, Journal
from forensic.case.layout import RunFolder, WorkingFolder
from forensic.case.parts import earlier
from forensic.case.plan import (
    DEFAULT_RECIPE,
    EnhanceRequest,
    MadeRecipe,
    RunPlan,
    frame_range,
    judge,
    new_run_id,
    settle,
    with_own_calibration,
)
from forensic.case.progress import Progress
from forensic.case.recovery import settle_run
from forensic.case.salvage import Salvage
from forensic.case.steadying import follow_camera, wants_path
from forensic.case.stillproof import FrameTree, write_sidecars
from forensic.case.storage import make_folder, remove_tree, reserve, size_of, sync_file
from forensic.case.surveying import AUTO, survey_exhibit
from forensic.case.terms import Terms, write_terms
from forensic.case.workspace import Workspace, utc_now
from forensic.errors import ForensicError, Interrupted, PolicyRefused, StorageFailed, UsageError
from forensic.hashes import canonical_json
from forensic.ledger.order import INTERRUPTED, STARTED
from forensic.policy.decision import PolicyDecision
from forensic.risk.files import risk_record, write_regions
from forensic.stages.recipe import load_recipe

UNASSIGNED_CASE = "UNASSIGNED"


@dataclass(frozen=True)
class FinishedRun:
    """Where the results are and what they are."""

    run_id: str
    folder: Path
    predicate: dict[str, Any]


@dataclass(frozen=True)
class Work:
    """A run that policy has permitted, ready to be carried out or, with a ``salvage``, to be gone on with."""

    plan: RunPlan
    terms: Terms
    decision: PolicyDecision
    asked: dict[str, Any]
    started: datetime | None = None  # when it was resumed: the time at which it first began
    salvage: Salvage = field(default_factory=Salvage)
    estimate: Estimate = GONE_ON_WITH

    @property
    def identity(self) -> dict[str, str]:
        """What ledger entries about the run name."""
        return {"case": self.plan.exhibit.case, "exhibit": self.plan.exhibit.id, "run": self.plan.run_id}


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
    (``run.failed``, ``run.cancelled`` or, where ``resume`` can go on, ``run.interrupted``). The ledger is valid
    after each of them.
    """
    run_id = new_run_id()
    identity = {"case": exhibit.case, "exhibit": exhibit.id, "run": run_id}
    asked = _asked(request)
    with ExitStack() as stack:
        try:
            check_untouched(workspace, exhibit)
            made = _made(workspace, exhibit, request, progress)
            plan = with_own_calibration(workspace, settle(run_id, exhibit, request, os.cpu_count() or 1, made))
            policy, decision = judge(workspace, plan)
            workspace.ledger.append("policy.decided", {"request": asked, "decision": decision.to_record()}, **identity)
            plan.require(decision)
            terms = Terms(plan.recipe.recipe.text, policy.text, policy.schema_text)
            holding = stack.enter_context(under_way(workspace.layout, run_id))
            reserve(holding.folder.reserve)
            write_terms(holding.folder.terms, terms)
        except BaseException as error:
            workspace.layout.working(run_id).reserve.unlink(missing_ok=True)  # room for the entry on a full disk
            _refused(workspace, identity, asked, error)
            raise
        return carry_out(workspace, Work(plan, terms, decision, asked), holding, progress)


def _made(workspace: Workspace, exhibit: Exhibit, request: EnhanceRequest, progress: Progress) -> MadeRecipe | None:
    """The recipe written for this run where one is asked for: chosen by a survey, made to follow a region, held to a
    frame, or given the grain of the recording.
    """
    frames = frame_range(request.range, exhibit.frame_count)
    made = None
    if request.recipe == AUTO:
        surveyed = survey_exhibit(workspace, exhibit, frames, progress, request.scale)
        made = MadeRecipe(surveyed.recipe(), survey=surveyed.seq, unmeasured=surveyed.proposal.defaults)
    if request.roi_frame is not None and request.roi is not None:
        base = load_recipe(request.recipe or DEFAULT_RECIPE) if made is None else made.recipe
        tracked = follow_region(workspace, exhibit, request.roi, request.roi_frame, frames, progress)
        made = replace(made or MadeRecipe(base), recipe=tracked.recipe(base), track=tracked.seq)
    base = load_recipe(request.recipe or DEFAULT_RECIPE) if made is None else made.recipe
    wanted = wants_path(base, cropped=request.crop is not None)
    if wanted is not None:
        steadied = follow_camera(workspace, exhibit, wanted, frames, progress)
        made = replace(made or MadeRecipe(base), recipe=steadied.recipe(base), path=steadied.seq)
    return with_grain(workspace, exhibit, base if made is None else made.recipe, made, progress)


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
    refused = {"request": asked, "by": by, "code": code, "reason": reason}
    record_end(workspace.ledger, "run.refused", refused, error, **identity)


def carry_out(workspace: Workspace, work: Work, holding: Holding, progress: Progress) -> FinishedRun:
    """Do the work, close it, record its end and cost. ``holding`` stays where the run can be resumed.

    A run that begins gets its ``run.started`` here; one that goes on has had its ``run.resumed``.
    """
    with metering() as meter:
        return _carry_out(workspace, work, holding, progress, meter)


def _carry_out(workspace: Workspace, work: Work, holding: Holding, progress: Progress, meter: Meter) -> FinishedRun:
    plan, identity = work.plan, work.identity
    folder = plan.folder_in(workspace.layout)
    attestation = None
    try:
        if work.started is None:
            workspace.ledger.append(STARTED, _start(work), **identity)
        holding.settled = False
        progress.say(f"Run {plan.run_id}: recipe {plan.recipe.recipe.name}, {plan.planned_class.label} class")
        started = work.started or utc_now()
        if work.started is None:  # after the start: broken off in the trial, the run and its approval are not lost
            work = replace(work, estimate=estimate(workspace, plan, progress))
        rows = plan.exhibit.manifest()
        kept = work.salvage.kept
        platform = partial(platform_digest, engines=plan.engines)
        state = partial(_state, workspace, work, {"estimate": work.estimate.to_record()})
        with Journal(holding.folder, folder.output, platform, state, kept) as journal:
            taken = work.salvage if kept.frames else None
            result = execute(plan, work.decision, rows, folder, progress, taken, journal)
            journal.complete()
        # Frames were checked one by one; sound was copied from the file, so the file is hashed once more.
        check_untouched(workspace, plan.exhibit)
        attestation, digests = _close(workspace, work, folder, (result, rows), (started, meter), progress)
        workspace.ledger.append("run.finished", digests, **identity)
    except BaseException as error:
        if attestation is None or not _has_ended(workspace, plan.run_id):
            _unfinished(workspace, work, folder, holding, error, meter)
            raise
        # An interrupt that came after the entry came too late: the run is finished.
    holding.settled = True
    settle_run(workspace.layout, plan.run_id)
    return FinishedRun(plan.run_id, workspace.layout.run(plan.run_id).root, attestation.predicate)


def _state(workspace: Workspace, work: Work, once: dict[str, Any], data: Mapping[str, Any]) -> None:
    """State the progress; ``once``: what the first entry tells besides."""
    workspace.ledger.append(PROGRESS, {**data, **once}, **work.identity)
    once.clear()


def _start(work: Work) -> dict[str, Any]:
    """Data of ``run.started``: all that is needed to go on with the run, should it be interrupted."""
    plan = work.plan
    return {
        "request": work.asked,
        "recipe": plan.recipe.record(),
        "frames": list(plan.frames),
        "workers": plan.workers,
        "defaults": list(plan.defaults),
        "made_from": None if plan.made is None else plan.made.to_record(),
        "approval": approval_reference(work.decision),
        "calibration": None if plan.calibration is None else plan.calibration.sha256,
    }


def _has_ended(workspace: Workspace, run_id: str) -> bool:
    return next(iter(workspace.ledger.entries(event="run.finished", run=run_id)), None) is not None


def _unfinished(
    workspace: Workspace, work: Work, folder: RunFolder, holding: Holding, error: BaseException, meter: Meter
) -> None:
    """Record a bad end and raise it as what the caller should see; returns if ``error`` itself should be raised."""
    run_id = work.plan.run_id
    if next(iter(workspace.ledger.entries(event=STARTED, run=run_id)), None) is None:
        _refused(workspace, work.identity, work.asked, error)
        return
    code, reason = why_ended(error)
    data = {"code": code, "reason": reason, "incomplete_folder": folder.root.name if folder.root.exists() else None,
            "cost": meter.cost().to_record()}  # fmt: skip
    holding.folder.reserve.unlink(missing_ok=True)  # room for the entry on a full disk
    if can_go_on(error):
        told = {"found": found_of(workspace, holding.folder, run_id), "estimate": work.estimate.to_record()}
        _interrupted(workspace, work, {**data, **told})
        kind = StorageFailed if isinstance(error, StorageFailed | OSError) else Interrupted
        remedy = error.remedy if isinstance(error, Interrupted) and code == "resume.differs" else ""
        raise kind(code, reason, remedy or f"To go on once the cause is gone: forensic resume {run_id}") from error
    if isinstance(error, KeyboardInterrupt):
        holding.settled = _ended(workspace, work, folder, "run.cancelled", data)
        raise Interrupted(
            "run.cancelled",
            f"Run {run_id} was cancelled; that is on the record.",
            f"Its incomplete files are in {folder.root}. Give the same command to run it anew.",
        ) from None
    holding.settled = _ended(workspace, work, folder, "run.failed", data)


def _interrupted(workspace: Workspace, work: Work, data: dict[str, Any]) -> None:
    try:
        workspace.ledger.append(INTERRUPTED, data, **work.identity)
    except StorageFailed:
        # The chain is valid and says "started, not finished", which is the truth, and can be resumed all the same.
        return


def found_of(workspace: Workspace, working: WorkingFolder, run_id: str) -> dict[str, Any]:
    """What there is of an unfinished run: frames under a signed root, bytes of output."""
    stated = [entry.data.get("frames") for entry in workspace.ledger.entries(event=PROGRESS, run=run_id)]
    sizes = {path: size_of(path) for path in (*workspace.layout.incomplete_run(run_id).outputs, working.earlier)}
    return {"frames_stated": stated[-1] if stated else 0, "output_bytes": max(sizes.values())}


def _ended(workspace: Workspace, work: Work, folder: RunFolder, event: str, data: dict[str, Any]) -> bool:
    """Record a bad end that is final. On a full disk the run's own files make room for the entry."""
    try:
        workspace.ledger.append(event, data, **work.identity)
    except StorageFailed:
        remove_tree(folder.root)
        removed = {**data, "incomplete_folder": None, "note": "incomplete files removed to make room for this entry"}
        try:
            workspace.ledger.append(event, removed, **work.identity)
        except StorageFailed:
            # The chain is valid and says "started, not finished", which is the truth.
            return False
    return True


def _close(
    workspace: Workspace,
    work: Work,
    folder: RunFolder,
    pixels: tuple[PixelResult, SourceRows],
    began: tuple[datetime, Meter],
    progress: Progress,
) -> tuple[Attestation, dict[str, Any]]:
    (result, rows), (started, meter), plan = pixels, began, work.plan
    for warning in result.warnings:
        progress.say(f"Warning: {warning}")
    progress.say("Signing record and report")
    acquisition = plan.exhibit.acquisition()
    trees = (FrameTree(rows), FrameTree(result.rows))
    for still in result.stills:
        still["pts"] = trees[1].proof(still["frame"], "")["row"]["pts"]
    beside = needs_beside(plan)
    files = {number: risk_files(folder, number, invented=beside) for number in result.risk}
    mapped = [result.risk[number] for number in sorted(result.risk)]
    risk = risk_record(mapped, plan.selection, files, plan.calibration, refused=plan.calibration_refused)
    written = result.written
    if plan.own is not None:
        risk["calibration"] |= plan.own.to_record()
        make_folder(folder.calibration.root)
        for name, data in plan.own.files.items():
            written.write(folder.calibration.root / name, data)
    elif plan.calibration is not None:
        risk["calibration"]["held_out"] = held_out_of(plan.calibration)
    written.add(folder.regions, write_regions(folder.regions, risk))
    sidecars = write_sidecars(
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
        written.digests,
    )
    written.add_all(sidecars)
    sync_file(folder.frames)
    written.write(folder.policy, work.terms.policy.encode("utf-8"))
    written.write(folder.policy_schema, work.terms.policy_schema.encode("utf-8"))
    written.write(folder.recipe, work.terms.recipe.encode("utf-8"))
    if result.notes:
        written.write(folder.notes, b"".join(canonical_json(note) + b"\n" for note in result.notes))
    finished, spent = utc_now(), meter.cost()
    progress.say(f"Cost so far: {spent.sentence}")
    before = earlier(workspace.ledger.entries(run=plan.run_id))
    cost = {**spent.to_record(), **Workload.of(plan).to_record(), "estimate": work.estimate.to_record(),
            **({} if before is None else {"earlier": before})}  # fmt: skip
    predicate = build_predicate(
        workspace, plan, work.decision, folder, result, acquisition, risk,
        (started, finished, spent.wall_s), cost,
    )  # fmt: skip
    attestation = attest(workspace, written, predicate)
    written.write(folder.attestation, attestation.data)
    report = issue_report(workspace, folder, attestation, finished, folder.report, progress.say)
    written.add(folder.report, report)
    manifest = write_manifest(folder, written.digests)
    return attestation, {
        "attestation_sha256": attestation.sha256,
        "report_sha256": report,
        "manifest_sha256": manifest,
        "output_sha256": predicate["output"]["sha256"],
        "output_merkle_root": result.merkle_root,
        "frames": result.frames,
        "stage_class": result.stage_class.label,
        "cost": cost,
    }
