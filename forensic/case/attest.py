"""The record of a run: an in-toto Statement whose predicate the report and the verifier read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensic import __version__
from forensic.case.environment import environment
from forensic.case.execution import PixelResult, output_file_facts
from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.workspace import UNPROTECTED, Workspace, utc_text
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_bytes, sha256_file
from forensic.policy.decision import PolicyDecision
from forensic.registry.cards import load_card
from forensic.signing.statement import RUN_PREDICATE, Subject, build_statement, sign_statement

_ENDED_BADLY = ("run.refused", "run.failed", "run.cancelled", "run.interrupted")


@dataclass(frozen=True)
class Attestation:
    """A run's record (the predicate) and the bytes of its signed envelope as filed."""

    predicate: dict[str, Any]
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the attestation file."""
        return sha256_bytes(self.data)


def failed_attempts(workspace: Workspace, exhibit_id: str, own_run: str) -> list[dict[str, Any]]:
    """Every earlier run on the exhibit that was refused, failed, was cancelled or never ended."""
    attempts: list[dict[str, Any]] = [
        {"run": entry.run, "event": event, "utc": entry.utc, "reason": str(entry.data.get("reason", ""))}
        for event in _ENDED_BADLY
        for entry in workspace.ledger.entries(event=event, exhibit=exhibit_id)
    ]
    told = {attempt["run"] for attempt in attempts}
    attempts.extend(
        {
            "run": entry.run,
            "event": "started, not finished",
            "utc": entry.utc,
            "reason": "the process ended without a word (killed, power lost) or is still running",
        }
        for entry in workspace.ledger.unfinished_runs()
        if entry.exhibit == exhibit_id and entry.run not in told and entry.run != own_run
    )
    return sorted(attempts, key=lambda attempt: str(attempt["utc"]))


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
            "mode": request.mode,
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
        "failed_attempts": failed_attempts(workspace, plan.exhibit.id, plan.run_id),
    }


def attest(workspace: Workspace, folder: RunFolder, predicate: dict[str, Any]) -> Attestation:
    """Sign the record. Subjects are all files in the folder at this moment."""
    subjects = [Subject(folder.name(path), sha256_file(path)) for path in folder.files()]
    statement = build_statement(RUN_PREDICATE, subjects, predicate)
    return Attestation(json.loads(statement)["predicate"], sign_statement(statement, workspace.signer))
