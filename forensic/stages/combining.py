"""What a chain of stages tells of the frames that its picture was made of, where one of them combines frames."""

from __future__ import annotations

from collections.abc import Sequence

from forensic.frames.frame import WorkingFrame
from forensic.fusion.options import SplitHalves
from forensic.stages.pipeline import AnyStage, Pipeline


def combining(pipeline: Pipeline) -> int | None:
    """Position (from 1) of the last stage that combines frames, or None."""
    return max((number for number, stage in enumerate(pipeline.stages, start=1) if stage.combines), default=None)


def after_combining(pipeline: Pipeline) -> AnyStage | None:
    """The first stage behind :func:`combining` because of which the output is not that picture, pixel for pixel and
    tone for tone, and can be compared with its halves no more; None where there is none."""
    position = combining(pipeline)
    later = () if position is None else pipeline.stages[position:]
    return next((each for each in later if each.in_reference_chain or each.resamples or each.scale != 1.0), None)


def split_halves(pipeline: Pipeline, window: Sequence[WorkingFrame], at: int) -> SplitHalves | None:
    """What the last stage that combines frames tells of its picture of ``window[at]``; None without such a stage.

    ``window``: as of :meth:`Pipeline.process_window`.
    """
    position = combining(pipeline)
    if position is None:
        return None
    before, stage = Pipeline(pipeline.stages[: position - 1], recorded=pipeline.recorded), pipeline.stages[position - 1]
    low, high = max(0, at - stage.radius), min(len(window), at + stage.radius + 1)
    return stage.split_halves([before.process_window(window, place) for place in range(low, high)], at - low)
