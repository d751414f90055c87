"""``forensic resume``: go on with a run that a kill, a power cut or a full disk broke off.

The ledger says what the run was to be, the working folder holds what was done. The result is the one that an
uninterrupted run would have had, byte for byte; the interruption is on the record.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from forensic.case.approvals import require_standing
from forensic.case.ending import record_end, why_ended
from forensic.case.enhance import FinishedRun, Work, carry_out, found_of
from forensic.case.environment import platform_digest
from forensic.case.exhibits import check_untouched, find_exhibit
from forensic.case.holding import Holding, is_in_use, under_way
from forensic.case.journal import PROGRESS, Kept, read_kept
from forensic.case.parts import foretold
from forensic.case.plan import (
    DEFAULT_POLICY,
    DEFAULT_RECIPE,
    MOST_DEFAULT_WORKERS,
    EnhanceRequest,
    MadeRecipe,
    RunPlan,
    settle_bound,
    with_own_calibration,
)
from forensic.case.progress import Progress
from forensic.case.recovery import scratch_folder
from forensic.case.reproduce import judge_again
from forensic.case.salvage import removed_names, take_over
from forensic.case.storage import reserve
from forensic.case.terms import Terms, read_terms
from forensic.case.workspace import Workspace
from forensic.errors import UsageError, VerificationFailed
from forensic.hashes import canonical_json
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import INTERRUPTED, RESUMED, STARTED, TERMINAL
from forensic.policy.decision import PolicyDecision
from forensic.stages.recipe import parse_recipe

REFUSED = "resume.refused"
_KILLED = {
    "code": "run.killed",
    "reason": "The process ended without a word (killed, power lost); found when the run was to be resumed.",
}


@dataclass(frozen=True)
class Unfinished:
    """A run that started and has no end. ``held``: a living process works on it."""

    run_id: str
    exhibit: str
    started_utc: str
    interrupted: str | None
    frames_stated: int
    frames: int
    held: bool

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "run": self.run_id,
            "exhibit": self.exhibit,
            "started_utc": self.started_utc,
            "interrupted": self.interrupted,
            "frames_stated": self.frames_stated,
            "frames": self.frames,
            "in_use": self.held,
        }


def unfinished(workspace: Workspace) -> list[Unfinished]:
    """The runs that started and have no end, oldest first."""
    found = []
    for begun in workspace.ledger.unfinished_runs():
        run_id = begun.run or ""
        last = [entry for entry in workspace.ledger.entries(run=run_id) if entry.event in (INTERRUPTED, RESUMED)][-1:]
        stated = [entry.data.get("frames", 0) for entry in workspace.ledger.entries(event=PROGRESS, run=run_id)]
        first, stop = begun.data.get("frames") or (0, 0)
        found.append(
            Unfinished(
                run_id,
                begun.exhibit or "",
                begun.utc,
                str(last[0].data.get("reason")) if last and last[0].event == INTERRUPTED else None,
                stated[-1] if stated else 0,
                stop - first,
                is_in_use(workspace.layout.working(run_id).root),
            )
        )
    return found


def resume(
    workspace: Workspace, run_id: str, progress: Progress, *, workers: int | None = None, recompute: bool = False
) -> FinishedRun:
    """Go on with ``run_id`` and finish it; ``recompute``: take over nothing of what is on the disk.

    Ledger: ``run.interrupted`` if nobody could say so, then ``run.resumed`` and what ``enhance`` writes; or
    ``resume.refused``, after which the run is as it was. Raises ``UsageError`` (``run.unknown``,
    ``run.ended``, ``run.in-use``, ``run.other-key``), ``VerificationFailed`` (``exhibit.changed``,
    ``run.terms``, ``run.record-invalid``), ``PolicyRefused``, and as ``enhance``.
    """
    _started(workspace, run_id)
    with under_way(workspace.layout, run_id) as holding:
        begun = _started(workspace, run_id)  # again: another process may have ended it in the meantime
        holding.settled = False
        identity = {"case": begun.case, "exhibit": begun.exhibit, "run": run_id}
        try:
            work = _ready(workspace, begun, holding, workers, recompute)
        except BaseException as error:
            code, reason = why_ended(error)
            holding.folder.reserve.unlink(missing_ok=True)
            # If the disk is still full, the run is as it was all the same.
            record_end(workspace.ledger, REFUSED, {"code": code, "reason": reason}, error, **identity)
            raise
        frames, maps = len(work.salvage.kept.frames), len(work.salvage.maps)
        progress.say(f"Going on with {run_id}: {frames} frames and {maps} maps are under a signed root")
        return carry_out(workspace, work, holding, progress)


def _started(workspace: Workspace, run_id: str) -> LedgerEntry:
    """The ``run.started`` of a run that has no end. Raises ``UsageError``."""
    entries = {entry.event: entry for entry in workspace.ledger.entries(run=run_id)}
    if not entries:
        raise UsageError("run.unknown", f"There is no run {run_id!r} in this workspace.", "See: forensic resume")
    for event in sorted(TERMINAL & entries.keys()):
        raise UsageError("run.ended", f"Run {run_id} has its end ({event}): it cannot be resumed.", "See: forensic log")
    if STARTED not in entries:
        raise UsageError("run.ended", f"Run {run_id} never started.", "Give the command for it again.")
    return entries[STARTED]


def _ready(workspace: Workspace, begun: LedgerEntry, holding: Holding, workers: int | None, recompute: bool) -> Work:
    """Everything that must hold before a pixel is touched; then say on the record that the run goes on."""
    layout, run_id = workspace.layout, begun.run or ""
    identity = {"case": begun.case, "exhibit": begun.exhibit, "run": run_id}
    # A full disk is where one comes from: what we held back for the entry makes room for two.
    holding.folder.reserve.unlink(missing_ok=True)
    entries = list(workspace.ledger.entries(run=run_id))
    if [entry.event for entry in entries if entry.event in (STARTED, INTERRUPTED, RESUMED)][-1] != INTERRUPTED:
        found = found_of(workspace, holding.folder, run_id)
        workspace.ledger.append(INTERRUPTED, {**_KILLED, "found": found}, **identity)
    _require_same_key(workspace, begun)
    plan, terms, decision = _as_decided(workspace, begun, entries, holding, workers)
    platform = platform_digest(engines=plan.engines)
    progress = [entry.data for entry in entries if entry.event == PROGRESS]
    kept = Kept() if recompute else read_kept(holding.folder.journal, progress, platform)
    salvage = take_over(plan.folder_in(layout), holding.folder, kept)
    reserve(holding.folder.reserve)
    workspace.ledger.append(
        RESUMED,
        {
            "workers": plan.workers,
            "frames_under_root": len(kept.frames),
            "maps_taken_over": len(salvage.maps),
            "recompute": recompute,
            "platform": platform,
            "removed": removed_names(salvage),
            "removed_count": len(salvage.removed),
        },
        **identity,
    )
    started = datetime.fromisoformat(begun.utc)
    return Work(plan, terms, decision, dict(begun.data["request"]), started, salvage, foretold(entries))


def _require_same_key(workspace: Workspace, begun: LedgerEntry) -> None:
    """The policy decided about a person with a key and a role: nobody else goes on under that decision."""
    if workspace.signer.key_id != begun.actor["key_id"]:
        raise UsageError(
            "run.other-key",
            f"Run {begun.run} was begun and decided on under another key than the one this workspace is opened with.",
            "Open the workspace as whoever began it, or begin a new run.",
        )


def _as_decided(
    workspace: Workspace, begun: LedgerEntry, entries: list[LedgerEntry], holding: Holding, workers: int | None
) -> tuple[RunPlan, Terms, PolicyDecision]:
    """The plan of the ledger's entries, and the decision about it, asked for again from the same policy."""
    run_id = begun.run or ""
    decided = [entry.data["decision"] for entry in entries if entry.event == "policy.decided"]
    exhibit = find_exhibit(workspace, begun.exhibit or "")
    if exhibit is None or len(decided) != 1:
        raise VerificationFailed("run.record-invalid", f"The ledger does not hold exhibit and decision of {run_id}.")
    require_standing(workspace, decided[0], begun)
    check_untouched(workspace, exhibit)
    request = _request(begun.data["request"])
    recorded = begun.data["recipe"]
    mode = decided[0]["context"]["mode"]
    terms = read_terms(
        holding.folder.terms,
        run_id,
        recorded,
        decided[0]["policy"],
        (request.recipe or DEFAULT_RECIPE, request.policy or DEFAULT_POLICY[mode]),
    )
    recipe = parse_recipe(terms.recipe.encode("utf-8"), recorded["source"])
    bound = recipe.bind(scale=request.scale, roi=request.crop)
    plan = settle_bound(
        run_id,
        exhibit,
        replace(request, workers=workers or request.workers),
        bound,
        min(os.cpu_count() or 1, MOST_DEFAULT_WORKERS),
        tuple(begun.data.get("defaults", ())),
        MadeRecipe(recipe, **made) if (made := begun.data.get("made_from")) else None,
    )
    if canonical_json(bound.record()) != canonical_json(recorded) or list(plan.frames) != begun.data["frames"]:
        raise VerificationFailed(
            "run.record-invalid",
            f"The stages of run {run_id} are not what they were: program or models have changed.",
            "Begin a new run.",
        )
    plan = with_own_calibration(workspace, plan)
    _require_same_calibration(plan, begun)
    with scratch_folder(workspace.layout) as scratch:
        texts = (terms.policy.encode("utf-8"), terms.policy_schema.encode("utf-8"))
        again = judge_again(plan, texts, decided[0], scratch)
    named = decided[0]["policy"]
    decision = replace(again, policy=named["name"], origin=named["origin"], engine=decided[0]["engine"])
    plan.require(decision)
    if canonical_json(decision.to_record()) != canonical_json(decided[0]):
        raise VerificationFailed(
            "run.decision", f"The policy does not decide about run {run_id} as it did when the run began."
        )
    return plan, terms, decision


def _require_same_calibration(plan: RunPlan, begun: LedgerEntry) -> None:
    """The maps already made were judged under the calibration, or without one, that the run began with."""
    here = None if plan.calibration is None else plan.calibration.sha256
    if begun.data.get("calibration") != here:
        raise VerificationFailed(
            "resume.calibration",
            f"Run {begun.run} began with another calibration of its risk maps "
            f"({begun.data.get('calibration') or 'none'}) than there is now ({here or 'none'}).",
            "Put the calibration back as it was, or begin a new run.",
        )


def _request(record: dict[str, Any]) -> EnhanceRequest:
    """The request as it stands in the ledger. Raises ``VerificationFailed`` for one of another program."""
    known = {field.name for field in fields(EnhanceRequest)}
    if record.keys() != known:
        raise VerificationFailed(
            "run.record-invalid", "The run was begun by another version of this program.", "Begin a new run."
        )
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in record.items()}
    return EnhanceRequest(**given)
