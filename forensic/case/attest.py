"""The record of a run: an in-toto Statement whose predicate the report and the verifier read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensic import __version__
from forensic.case.beside import beside_record
from forensic.case.combined import combined_record
from forensic.case.damage import damage_record
from forensic.case.disclosure import (
    BEGUN,
    BY_DIGEST,
    ENDS,
    ExhibitBytes,
    History,
    Told,
    custody_record,
    other_attempts,
    told,
)
from forensic.case.environment import environment
from forensic.case.execution import PixelResult, mark_of
from forensic.case.exhibits import Exhibit
from forensic.case.interruptions import interruptions
from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.steadying import steadying_record
from forensic.case.workspace import Workspace, utc_text
from forensic.case.written import Written
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_bytes
from forensic.ledger.order import ACQUIRED
from forensic.media.label import EVERYWHERE
from forensic.policy.decision import PolicyDecision
from forensic.registry.installed import card_of
from forensic.signing.statement import RUN_PREDICATE, Subject, build_statement, sign_statement


@dataclass(frozen=True)
class Attestation:
    """A run's record (the predicate) and the bytes of its signed envelope as filed."""

    predicate: dict[str, Any]
    data: bytes

    @property
    def sha256(self) -> str:
        """Digest of the attestation file."""
        return sha256_bytes(self.data)


def history_of(workspace: Workspace, exhibit: Exhibit, until: int) -> Told[dict[str, Any]]:
    """Every entry up to number ``until`` about the bytes of ``exhibit``, under whatever exhibit id."""
    ledger = workspace.ledger
    acquired = [entry for entry in ledger.entries(event=ACQUIRED) if entry.data.get("sha256") == exhibit.sha256]
    found = {entry.seq: entry for entry in acquired}
    for event in (BEGUN, *sorted(ENDS | BY_DIGEST)):
        found |= {entry.seq: entry for entry in ledger.entries(event=event)}
    for exhibit_id in {exhibit.id} | {entry.exhibit for entry in acquired}:
        found |= {entry.seq: entry for entry in ledger.entries(exhibit=exhibit_id)}
    found |= {entry.seq: entry for entry in ledger.entries(case=exhibit.case)}
    history = History(told)
    for seq in sorted(found):
        history.admit(found[seq])
    return history.about(ExhibitBytes(exhibit.id, exhibit.case, exhibit.sha256), until)


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


def risk_files(folder: RunFolder, number: int, *, invented: bool = False) -> dict[str, str]:
    """Names of a mapped frame's pictures as they stand in records; ``invented``: with the map of where it invents."""
    return {
        "risk": folder.name(folder.risk_map(number)),
        "level": folder.name(folder.level_map(number)),
        "overlay": folder.name(folder.overlay(number)),
        **({"invented": folder.name(folder.invention_map(number))} if invented else {}),
    }


def _model_records(plan: RunPlan) -> list[dict[str, Any]]:
    models = {stage.model.id: stage.model for stage in plan.recipe.stages if stage.model is not None}
    cards = [card_of(model) for _, model in sorted(models.items())]
    return [{**card.to_record(), **card.facts()} for card in cards]


def _made_from(workspace: Workspace, seq: int | None) -> dict[str, Any] | None:
    """The survey or track that the recipe was made from, as its entry holds it; None where there is none."""
    if seq is None:
        return None
    entry = workspace.ledger.entry(seq)
    return {"entry": {"seq": entry.seq, "hash": entry.hash}, "utc": entry.utc, **entry.data}


def build_predicate(
    workspace: Workspace,
    plan: RunPlan,
    decision: PolicyDecision,
    folder: RunFolder,
    result: PixelResult,
    acquisition: dict[str, Any],
    risk: dict[str, Any],
    times: tuple[datetime, datetime, float],
    cost: dict[str, Any],
) -> dict[str, Any]:
    """Everything that the report says, gathered once.

    ``times`` are start, end, seconds elapsed; ``cost`` is what ``run.finished`` says of it too.
    """
    started, finished, seconds = times
    signing = workspace.signing_facts()
    damage = damage_record([stage.name for stage in plan.recipe.stages], result.notes)
    history = history_of(workspace, plan.exhibit, signing["workspace"]["ledger_head"]["seq"])
    request = plan.request
    generative = result.stage_class is StageClass.GENERATIVE
    warnings = [*workspace.warnings, *result.warnings]
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
            "cost": cost,
            "mode": plan.mode.value,
            "reason": request.reason,
            "purpose": request.purpose,
            "acknowledgement": request.acknowledgement,
            "approval": decision.context["approval"],
            "question": request.question,
            "workers": plan.workers,
            "interruptions": interruptions(workspace.ledger.entries(run=plan.run_id)),
            "frames_reused": result.reused,
            "command": list(request.command),
            "reproduce_command": f"forensic reproduce {plan.run_id}",
        },
        **signing,
        "case": {"id": plan.exhibit.case},
        "exhibit": _exhibit_record(plan, acquisition),
        "selection": {
            "frames": list(plan.frames),
            "roi": None if request.roi is None else list(request.roi),
            "roi_frame": request.roi_frame,
            "stills": list(request.stills),
            "mapped": list(plan.selection.frames),
            "rule": plan.selection.rule,
        },
        "policy": decision.to_record(),
        "estimation": _made_from(workspace, None if plan.made is None else plan.made.survey),
        "tracking": _made_from(workspace, None if plan.made is None else plan.made.track),
        "camera_path": _made_from(workspace, None if plan.made is None else plan.made.path),
        **({} if plan.made is None or plan.made.grain is None else {"grain": _made_from(workspace, plan.made.grain)}),
        "recipe": plan.recipe.record(),
        "stabilisation": steadying_record(plan.recipe.stages, result.notes),
        **({"damage": damage} if damage else {}),
        "models": _model_records(plan),
        "output": {
            "file": folder.name(folder.output),
            **result.output,
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
            **({"watermark": mark_of(plan).to_record()} if generative else {}),
            **({"label_form": EVERYWHERE} if generative else {}),
        },
        "tracks": {"carried": result.carried, "not_carried": result.not_carried},
        "risk": risk,
        "stills": result.stills,
        **({} if (beside := beside_record(plan)) is None else {"beside": beside}),
        "fusion": combined_record(plan, result.combined),
        "environment": environment(engines=plan.engines) | {"isolation": result.isolation},
        "defaults": [*workspace.facts["defaults"], *plan.exhibit.entry["defaults"], *plan.defaults],
        "warnings": warnings,
        "custody": custody_record(history),
        "failed_attempts": other_attempts(history.entries.values(), history.unended, plan.exhibit.id, plan.run_id),
    }


def attest(workspace: Workspace, written: Written, predicate: dict[str, Any]) -> Attestation:
    """Sign the record. Subjects are the files of ``written``, and no others may lie in the folder.

    Raises ``VerificationFailed`` (``run.disturbed``) as ``Written.check`` does, before anything is signed.
    """
    written.check()
    subjects = [Subject(name, sha256) for name, sha256 in written.digests.items()]
    statement = build_statement(RUN_PREDICATE, subjects, predicate)
    return Attestation(json.loads(statement)["predicate"], sign_statement(statement, workspace.signer))
