"""The record of a run: an in-toto Statement whose predicate the report and the verifier read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensic import __version__
from forensic.case.environment import environment
from forensic.case.execution import PixelResult, output_file_facts
from forensic.case.exhibits import Exhibit
from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.workspace import UNPROTECTED, Workspace, utc_text
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_bytes, sha256_file
from forensic.ledger.entry import LedgerEntry
from forensic.policy.decision import PolicyDecision
from forensic.registry.cards import load_card
from forensic.signing.statement import RUN_PREDICATE, Subject, build_statement, sign_statement

_FAILED_ACQUISITION = ("acquisition.failed", "acquisition.cancelled")
_TOLD = frozenset(
    {"run.finished", "run.refused", "run.failed", "run.cancelled", "run.interrupted", "exhibit.changed"}
    | set(_FAILED_ACQUISITION)
)


@dataclass(frozen=True)
class Attestation:
    """A run's record (the predicate) and the bytes of its signed envelope as filed."""

    predicate: dict[str, Any]
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the attestation file."""
        return sha256_bytes(self.data)


def other_attempts(workspace: Workspace, exhibit: Exhibit, own_run: str) -> list[dict[str, Any]]:
    """Everything else that was tried on the same bytes, under whatever exhibit id, oldest first.

    Other runs that finished, were refused, failed, were cancelled or never ended; changes found in
    the copy; acquisitions that failed. Choosing among runs, or a second id for the file, hides none.
    """
    ledger = workspace.ledger
    ids = {exhibit.id} | {
        entry.exhibit
        for entry in ledger.entries(event="exhibit.acquired")
        if entry.exhibit is not None and entry.data.get("sha256") == exhibit.sha256
    }
    found: dict[int, LedgerEntry] = {}
    for exhibit_id in ids:
        found |= {entry.seq: entry for entry in ledger.entries(exhibit=exhibit_id)}
    for event in _FAILED_ACQUISITION:
        same = (entry for entry in ledger.entries(event=event) if entry.data.get("sha256") == exhibit.sha256)
        found |= {entry.seq: entry for entry in same}
    recipes = {
        entry.run: str((entry.data.get("recipe") or {}).get("name"))
        for entry in found.values()
        if entry.event == "run.started"
    }
    told = [
        (entry, entry.event, _reason(entry, recipes))
        for entry in found.values()
        if entry.event in _TOLD and (entry.run is None or entry.run != own_run)
    ]
    told += [
        (entry, "started, not finished", "the process ended without a word (killed, power lost) or is still running")
        for entry in ledger.unfinished_runs()
        if entry.exhibit in ids and entry.run != own_run and not any(one.run == entry.run for one, _, _ in told)
    ]
    return [
        {
            "run": entry.run,
            "event": event,
            "utc": entry.utc,
            "reason": reason if entry.exhibit in (exhibit.id, None) else f"as exhibit {entry.exhibit}: {reason}",
        }
        for entry, event, reason in sorted(told, key=lambda one: one[0].seq)
    ]


def _reason(entry: LedgerEntry, recipes: dict[str | None, str]) -> str:
    if entry.event == "run.finished":
        return f"recipe {recipes.get(entry.run)}, class {entry.data.get('stage_class')}, finished"
    if entry.event == "exhibit.changed":
        return f"{entry.data.get('file')} was found changed since acquisition"
    return str(entry.data.get("reason", ""))


def _exhibit_record(plan: RunPlan, acquisition: dict[str, Any]) -> dict[str, Any]:
    entry = plan.exhibit.entry
    return {
        "id": plan.exhibit.id,
        "file_name": entry["file_name"],
        "source_path": entry["path"],
        "sha256": plan.exhibit.sha256,
        "size": entry["size"],
        "acquired_utc": plan.exhibit.acquired_utc,
        "note": entry["note"],
        "stage_class": plan.exhibit.stage_class.label,
        "stage_class_reason": plan.exhibit.acquired.stage_class_reason,
        "media": acquisition["media"],
        "geometry": entry["geometry"],
        "colour": entry["colour"],
        "time_base": entry["time_base"],
        "frames": {**entry["frames"], "timing": acquisition["timing"]},
        "anomalies": acquisition["anomalies"],
        "anomaly_counts": entry["anomaly_counts"],
        "acquisition_defaults": entry["defaults"],
    }


def risk_files(folder: RunFolder, number: int) -> dict[str, str]:
    """Names of a mapped frame's pictures as they stand in records."""
    return {
        "risk": folder.name(folder.risk_map(number)),
        "level": folder.name(folder.level_map(number)),
        "overlay": folder.name(folder.overlay(number)),
    }


def _model_records(plan: RunPlan) -> list[dict[str, Any]]:
    models = {stage.model.id for stage in plan.recipe.stages if stage.model is not None}
    cards = [load_card(model_id) for model_id in sorted(models)]
    return [{**card.to_record(), **card.facts()} for card in cards]


def build_predicate(
    workspace: Workspace,
    plan: RunPlan,
    decision: PolicyDecision,
    folder: RunFolder,
    result: PixelResult,
    acquisition: dict[str, Any],
    risk: dict[str, Any],
    times: tuple[datetime, datetime, float],
) -> dict[str, Any]:
    """Everything that the report says, gathered once; ``times`` are start, end, seconds elapsed."""
    started, finished, seconds = times
    head = workspace.ledger.head()
    request = plan.request
    identity = workspace.signer.facts()
    generative = result.stage_class is StageClass.GENERATIVE
    warnings = []
    if identity["protection"] == "none":
        warnings.append(UNPROTECTED)
    warnings += result.warnings
    if result.decoder_anomalies:
        counts = ", ".join(f"{count} {kind}" for kind, count in result.decoder_anomalies.items())
        warnings.append(f"While decoding for this run: {counts}. The exhibit's list locates them.")
    return {
        "schema": RUN_PREDICATE,
        "tool": {"name": "forensic", "version": __version__},
        "run": {
            "id": plan.run_id,
            "started_utc": utc_text(started),
            "finished_utc": utc_text(finished),
            "duration_s": round(seconds, 3),
            "mode": plan.mode.value,
            "reason": request.reason,
            "purpose": request.purpose,
            "approval": request.to_record()["approval"],
            "question": request.question,
            "workers": plan.workers,
            "command": list(request.command),
            "reproduce_command": f"forensic reproduce {plan.run_id}",
        },
        "workspace": {"id": workspace.id, "ledger_head": {"seq": head.seq, "hash": head.hash}},
        "examiner": {
            "name": workspace.facts["examiner"],
            "lab": workspace.facts["lab"],
            "identity": identity,
        },
        "case": {"id": plan.exhibit.case},
        "exhibit": _exhibit_record(plan, acquisition),
        "selection": {
            "frames": list(plan.frames),
            "roi": None if request.roi is None else list(request.roi),
            "stills": list(request.stills),
            "mapped": list(plan.selection.frames),
            "rule": plan.selection.rule,
        },
        "policy": decision.to_record(),
        "recipe": plan.recipe.record(),
        "models": _model_records(plan),
        "output": {
            "file": folder.name(folder.output),
            **output_file_facts(folder.output),
            "geometry": plan.output_geometry.to_record(),
            "colour": result.colour.to_record() if result.colour else {},
            "time_base": str(plan.exhibit.time_base),
            "codec": result.codec,
            "frames": {
                "count": result.frames,
                "first": plan.frames[0],
                "last": plan.frames[1] - 1,
                "merkle_root": result.merkle_root,
                "manifest": folder.name(folder.frames),
            },
            "stage_class": result.stage_class.label,
            "labelled": generative,
        },
        "tracks": {"carried": result.carried, "not_carried": result.not_carried},
        "risk": risk,
        "stills": result.stills,
        "environment": environment(learned=plan.learned),
        "defaults": [*workspace.facts["defaults"], *plan.exhibit.entry["defaults"], *plan.defaults],
        "warnings": warnings,
        "failed_attempts": other_attempts(workspace, plan.exhibit, plan.run_id),
    }


def attest(workspace: Workspace, folder: RunFolder, predicate: dict[str, Any]) -> Attestation:
    """Sign the record. Subjects are all files in the folder at this moment."""
    subjects = [Subject(folder.name(path), sha256_file(path)) for path in folder.files()]
    statement = build_statement(RUN_PREDICATE, subjects, predicate)
    return Attestation(json.loads(statement)["predicate"], sign_statement(statement, workspace.signer))
