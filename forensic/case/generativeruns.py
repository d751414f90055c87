"""Which runs of a workspace are generative, as the ledger tells it; what cannot be read counts as generative."""

from __future__ import annotations

from typing import Any

from forensic.case.workspace import Workspace
from forensic.frames.stageclass import StageClass


def class_of_run(data: dict[str, Any]) -> StageClass:
    """The class that a ``run.finished`` states; one that cannot be read counts as GENERATIVE."""
    word = data.get("stage_class")
    known = {member.label: member for member in StageClass}
    return known.get(word, StageClass.GENERATIVE) if isinstance(word, str) else StageClass.GENERATIVE


def generative_runs(workspace: Workspace) -> set[str]:
    """Runs that ended generative, and those that were to be generative whatever became of them."""
    runs = {
        entry.run
        for entry in workspace.ledger.entries(event="run.finished")
        if class_of_run(entry.data) is StageClass.GENERATIVE
    }
    for entry in workspace.ledger.entries(event="policy.decided"):
        decision = entry.data.get("decision")
        stages = decision.get("stages") if isinstance(decision, dict) else None
        asked = [stage.get("request") for stage in stages or () if isinstance(stage, dict)]
        if any(isinstance(request, dict) and request.get("class") == StageClass.GENERATIVE.label for request in asked):
            runs.add(entry.run)
    return {run for run in runs if run is not None}
