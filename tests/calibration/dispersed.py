"""The self-ensemble as a baseline for models of several frames: eight fusions a picture, so of the first few test
scenes only. ``self-ensemble.csv`` beside the card: AUROC over all pixels, and how far the learned score is ahead, on
the same scenes."""

from __future__ import annotations

from collections.abc import Iterator

from forensic.risk.calibration.artefact import Calibration
from forensic.risk.dihedral import dispersion
from forensic.risk.head import Head
from forensic.stages.pipeline import Pipeline
from tests.calibration import comparison, scenes
from tests.calibration.comparison import LEARNED, Ranks
from tests.calibration.evaluation import FIELDS, maps_of
from tests.calibration.recordings import STRATA, enlarged, recorded

NAME = "self-ensemble"
TOLD = (
    *(f"AUROC, {one}" for one in (LEARNED, NAME, "split-half", "gradient")),
    f"AUROC, {LEARNED} less {NAME}",
)  # fmt: skip


def rows(pipeline: Pipeline, calibration: Calibration, head: Head, most: int) -> Iterator[dict[str, object]]:
    """Every stratum, of the first ``most`` test scenes: rows as of ``evaluation.csv``."""
    pictures = scenes.pictures("test")
    for stratum in STRATA:
        own = []
        for number in range(most):
            made = recorded(pictures, number, stratum, "test", calibration.subject.scale)
            if made is None:
                continue
            found, maps = maps_of(enlarged(made, pipeline), head, pipeline)
            spread = dispersion(pipeline.process_window, made.window(pipeline.radius), pipeline.radius)
            own.append(Ranks.of(found, maps | {NAME: spread.deviation}))
        for row in comparison.rows(own):
            if row[0] in TOLD:
                yield dict(zip(FIELDS, (stratum.name, *row), strict=True))
