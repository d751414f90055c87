"""How the result of a mapped frame varies where the recording does not determine it, and where a stage invents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forensic.case.beside import needs_beside, remake
from forensic.case.plan import RunPlan
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.risk.dihedral import DIHEDRAL, Dispersion, Process, Transform, dispersion
from forensic.risk.invention import Invention, invention
from forensic.risk.seeds import SEEDS, draws_lots, seed_dispersion
from forensic.stages.pipeline import Pipeline, PipelineOutput
from forensic.stages.stage import Stage


def _of_luma(plan: RunPlan) -> list[Stage[Any]]:
    return [stage for stage in plan.recipe.stages if not stage.keeps_luma]  # the maps are of luma


def variants_of(plan: RunPlan) -> int:
    """How often a frame is made again for its map."""
    stages = _of_luma(plan)
    if any(map(draws_lots, stages)):
        return SEEDS
    return len(DIHEDRAL) if any(stage.learned for stage in stages) else 0


def dispersion_of(plan: RunPlan, window: Sequence[WorkingFrame], at: int) -> tuple[Dispersion | None, str | None]:
    """Spread of the result: over seeds where a stage draws lots, else of the learned stages over mirrored and turned
    inputs; or None, and why there is none.

    What stands before the first such stage is made once, in place. Seeds go through all that follows. For mirrors what
    follows is left out: a turn or a crop does not commute with them, and where something later changes the size or
    turns the picture, the map of the stage is not a map of the output and is not measured.
    """
    stages = _of_luma(plan)
    drawing = [place for place, stage in enumerate(stages) if draws_lots(stage)]
    if drawing:
        inputs, place = _inputs(stages, drawing[0], len(stages), window, at)
        return seed_dispersion(stages[drawing[0] :], inputs, place), None
    learned = [place for place, stage in enumerate(stages) if stage.learned]
    if not learned:
        return None, None
    first, last = learned[0], learned[-1]
    if any(stage.stage_class is StageClass.GEOMETRIC for stage in stages[last + 1 :]):
        return None, "not measured: a stage after the learned one changes the geometry of the picture"
    inputs, place = _inputs(stages, first, last + 1, window, at)
    chain, source = stages[first : last + 1], inputs[place].geometry
    if any(stage.turned(np.eye(3), inputs) is None for stage in chain):
        return None, "not measured: marked places do not turn with the picture"

    def turned(transform: Transform) -> Process:
        matrix = transform.matrix(source.width, source.height)
        return Pipeline(stage.turned(matrix, inputs) or stage for stage in chain).process_window

    return dispersion(Pipeline(chain).process_window, inputs, place, turned), None


def _inputs(
    stages: Sequence[Stage[Any]], first: int, stop: int, window: Sequence[WorkingFrame], at: int
) -> tuple[list[WorkingFrame], int]:
    """What stages ``first`` to ``stop`` get, as wide a window as they look, and the place of the frame in it."""
    before, radius = Pipeline(stages[:first]), Pipeline(stages[first:stop]).radius
    low, high = max(0, at - radius), min(len(window), at + radius + 1)
    return [before.process_window(window, index) for index in range(low, high)], at - low


def invention_of(
    plan: RunPlan, output: PipelineOutput, window: Sequence[WorkingFrame], spread: Dispersion | None
) -> Invention | None:
    """Where the frame invents, against what stands beside it; None where the result is not generative or the exhibit
    is. Measured before label and mark are put in: a frame that an earlier process wrote has them, and is made again.
    """
    if not needs_beside(plan):
        return None
    pipeline = plan.pipeline
    made = pipeline.process_window(window, output.at).quantise() if output.written else output.frame
    return invention(made, remake(plan, list(window), output.at), spread)
