"""What stands beside every still of a generative run: the same input without what invents (``stills/beside/``).

The stages are those of the recipe, except that generative ones are left out, or replaced by what of them invents
nothing, and one that enlarges is replaced by interpolation to the same size. So a reader sees what the recording itself
holds. Nothing learned is added, and no stage of a higher class than the recipe has. The picture is no frame of the
exhibit and none of the output, and has no proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.layout import RunFolder
from forensic.case.plan import RunPlan
from forensic.case.storage import make_folder
from forensic.errors import InternalError
from forensic.frames.frame import CodedFrame, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.media.stills import write_still
from forensic.stages.pipeline import Pipeline
from forensic.stages.resize import Resize
from forensic.stages.stage import Stage

SCHEMA = "tag:forensic-tool,2026:beside/v1"
GENERATIVE_INPUT = "the exhibit is of generative class itself: nothing recorded is left to show"


@dataclass(frozen=True)
class Remade:
    """A picture beside a still, made again: largest difference in grey levels, samples that differ, of how many."""

    frame: int
    largest: float
    samples: int
    of: int


def _uninvented(plan: RunPlan) -> list[tuple[Stage[Any], Stage[Any] | None]]:
    """Every stage of the plan, and what takes its place: itself, its uninvented part, interpolation, or nothing."""
    found: list[tuple[Stage[Any], Stage[Any] | None]] = []
    for step in plan.pipeline.plan(plan.source_geometry):
        stage = step.stage
        if stage.effective_class < StageClass.GENERATIVE:
            found.append((stage, stage))
        elif step.scale == 1.0:
            found.append((stage, stage.uninvented))
        else:
            found.append((stage, Resize.create({"scale": float(step.scale), "kernel": "lanczos"})))
    return found


def needs_beside(plan: RunPlan) -> bool:
    """Whether the plan's result is generative while its exhibit is not."""
    return plan.planned_class is StageClass.GENERATIVE and plan.exhibit.stage_class < StageClass.GENERATIVE


def write_beside(plan: RunPlan, folder: RunFolder, window: list[WorkingFrame], at: int) -> dict[Path, str]:
    """Write what stands beside the still of ``window[at]``, decoded frames, as wide a window as the pipeline looks.

    Returns the file's digest by its path; nothing where :func:`needs_beside` says no. Raises as ``write_still``.
    """
    if not needs_beside(plan):
        return {}
    made = remake(plan, window, at)
    path = folder.beside_still(made.timing.index)
    make_folder(path.parent)
    return {path: write_still(path, made)[1]}


def remake(plan: RunPlan, window: list[WorkingFrame], at: int) -> CodedFrame:
    """What stands beside the still of ``window[at]``. Raises ``InternalError`` (``beside.generative``)."""
    kept = [kept for _, kept in _uninvented(plan) if kept is not None]
    pipeline = Pipeline(kept, recorded=plan.recipe.recorded)
    made = pipeline.process_window(window, at).quantise()
    if made.stage_class is StageClass.GENERATIVE:
        raise InternalError("beside.generative", "What is to stand beside a generative picture is generative itself.")
    return made


def beside_record(plan: RunPlan) -> dict[str, Any] | None:
    """The run's record of it, or None where the result is not generative."""
    if plan.planned_class < StageClass.GENERATIVE:
        return None
    if not needs_beside(plan):
        return {"schema": SCHEMA, "why_none": GENERATIVE_INPUT, "stages": [], "class": None}
    places = enumerate(_uninvented(plan), start=1)
    return {
        "schema": SCHEMA,
        "why_none": None,
        "class": max(
            [plan.exhibit.stage_class, *(kept.effective_class for _, kept in _uninvented(plan) if kept)]
        ).label,
        "stages": [
            {
                "position": position,
                "name": stage.name,
                "shown_as": None if kept is None else kept.name,
                "parameters": None if kept is None else kept.parameters.model_dump(mode="json"),
            }
            for position, (stage, kept) in places
        ],
    }
