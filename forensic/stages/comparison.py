"""The recorded picture for stages that show it beside what the stages before them made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forensic.errors import BadInput
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.stage import Stage


def chains_for_recorded(stages: Sequence[Stage[Any]]) -> dict[int, tuple[Stage[Any], ...]]:
    """By position of each stage that ``shows_source``: what the recorded picture goes through for it.

    These are the geometric stages before it that look at one frame and do not resample; stabilisation is not
    among them, since the recorded picture shook. Raises ``BadInput`` (``recipe.order``) for a second such stage.
    """
    chains: dict[int, tuple[Stage[Any], ...]] = {}
    for position, stage in enumerate(stages, start=1):
        if not stage.shows_source:
            continue
        if chains:
            raise BadInput(
                "recipe.order", f"Stage {stage.name!r} can stand in a recipe once only.", "Leave one of them out."
            )
        chains[position] = tuple(
            earlier
            for earlier in stages[: position - 1]
            if earlier.effective_class is StageClass.GEOMETRIC and not earlier.resamples and not earlier.radius
        )
    return chains


def recorded_through(chain: Sequence[Stage[Any]] | None, source: WorkingFrame) -> WorkingFrame | None:
    """``source``, the decoded frame, through ``chain``; None where there is none."""
    if chain is None:
        return None
    for stage in chain:
        source = stage.process([source], 0)
    return source
