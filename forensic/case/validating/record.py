"""The record of a validation: what report and verifier read (docs/formats/validation.md)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from forensic import __version__
from forensic.case.earlier import COURSE, told_of
from forensic.case.environment import environment
from forensic.case.validating.bench import Bench
from forensic.case.workspace import Workspace, utc_now, utc_text
from forensic.signing.statement import VALIDATION_PREDICATE
from forensic.validation.suite import Suite
from forensic.validation.verdicts import Result

NOT_SHOWN = (
    "That a result on evidence is correct: every measurement here is on simulated recordings or on pictures of the "
    "laboratory, whose truth is known. The truth of evidence is not.",
    "How the program does on cameras, scenes, recorders and faults that the conditions of this suite do not cover.",
    "That numbers of a mean hold for a single picture: single scenes lie above and below it.",
    "Anything about the persons who use the program, their training, or the questions that they put to it.",
    "That the error rate claimed of LOW in the risk map holds: a few drawn scenes cannot show it. Calibration is "
    "another procedure, with recordings of its own.",
)


@dataclass(frozen=True)
class Registered:
    """The registration of a validation: entry of the ledger, its data, and what had been tried before."""

    identifier: str
    seq: int
    hash: str
    utc: str
    data: dict[str, Any]
    earlier: list[dict[str, Any]]


def earlier_validations(workspace: Workspace, before: int) -> list[dict[str, Any]]:
    """Every validation of this workspace with an entry before entry ``before``, and how it had ended by then."""
    entries = [entry for event in COURSE for entry in workspace.ledger.entries(event=event)]
    return told_of(entry for entry in entries if entry.seq < before)


def build_record(
    workspace: Workspace, registered: Registered, suite: Suite, bench: Bench, results: list[Result], seconds: float
) -> dict[str, Any]:
    """The record, but for the comparison with a master and the overall verdict."""
    bench_head = bench.workspace.ledger.head()
    records = [result.to_record(suite.confidence) for result in results]
    counts = Counter(one["verdict"] for one in records)
    return {
        "schema": VALIDATION_PREDICATE,
        "tool": {"name": "forensic", "version": __version__},
        "validation": {
            "id": registered.identifier,
            "registered": {"seq": registered.seq, "hash": registered.hash, "utc": registered.utc},
            "finished_utc": utc_text(utc_now()),
            "duration_s": round(seconds, 3),
            "command": registered.data["command"],
        },
        **workspace.signing_facts(),
        "suite": suite.facts(),
        "conditions": registered.data["conditions"],
        "requirements": registered.data["requirements"],
        "deviations": registered.data["deviations"],
        "pictures": registered.data["pictures"],
        "recordings": bench.simulated(),
        "outputs": bench.outputs,
        "results": records,
        "counts": {name: counts.get(name, 0) for name in ("PASS", "FAIL", "NOT RUN")},
        "master": None,
        "earlier": registered.earlier,
        "bench": {
            "workspace": bench.workspace.id,
            "certificate_sha256": bench.workspace.signer.facts()["certificate_sha256"],
            "ledger_head": {"seq": bench_head.seq, "hash": bench_head.hash},
        },
        "environment": environment(engines=bench.engines),
        "defaults": [*workspace.facts["defaults"], *registered.data["defaults"]],
        "warnings": workspace.warnings,
        "not_shown": list(NOT_SHOWN),
    }
