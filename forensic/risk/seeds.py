"""Spread over seeds: how far a process that draws lots disagrees with itself when it draws others.

Where a stage invents by chance (a sampler, film grain), the standard deviation over its seeds is the plainest witness
of what the recording does not determine. A spread of zero is no proof: a process can invent the same thing every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forensic.errors import InternalError
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.risk.dihedral import Dispersion
from forensic.stages.pipeline import Pipeline
from forensic.stages.stage import Stage

SEEDS = 8
NOTE = "Spread over seeds, not over mirrored and turned pictures"


def draws_lots(stage: Stage[Any]) -> bool:
    """Whether ``stage`` invents by chance: of generative class, with a parameter ``seed`` that its model heeds."""
    seeded = stage.effective_class is StageClass.GENERATIVE and "seed" in type(stage.parameters).model_fields
    return seeded and bool(getattr(stage, "heeds_seed", True))


def seeds_of(stage: Stage[Any]) -> tuple[int, ...]:
    """Eight seeds: the stage's own, then the smallest others from 0 on."""
    own = int(stage.parameters.seed)
    return (own, *[other for other in range(SEEDS) if other != own][: SEEDS - 1])


def seed_dispersion(stages: Sequence[Stage[Any]], window: Sequence[WorkingFrame], at: int) -> Dispersion:
    """Sample standard deviation of the luma that ``stages`` make of ``window[at]``, over eight seeds.

    All stages that draw lots are given their k-th seed together. Cost: as many runs as seeds, one after the other.
    Raises ``InternalError`` (``risk.dispersion-shape``) where none of ``stages`` draws lots.
    """
    drawing = [stage for stage in stages if draws_lots(stage)]
    if not drawing:
        raise InternalError("risk.dispersion-shape", "No stage has a seed to vary.")
    mean = squares = np.zeros(())
    for turn in range(SEEDS):
        varied = [stage.varied(seed=seeds_of(stage)[turn]) if draws_lots(stage) else stage for stage in stages]
        luma = Pipeline(varied).process_window(window, at).luma
        if turn == 0:
            mean, squares = luma.copy(), np.zeros_like(luma)
            continue
        delta = luma - mean  # Welford's update, as for the dihedral transforms
        mean += delta * np.float32(1.0 / (turn + 1))
        squares += delta * (luma - mean)
    deviation = np.sqrt(np.maximum(squares, 0.0) * np.float32(1.0 / (SEEDS - 1)))
    names = ", ".join(stage.name for stage in drawing)
    labels = tuple(f"seed {seed}" for seed in seeds_of(drawing[0]))
    return Dispersion(deviation, labels, f"{NOTE} (stage {names}).")
