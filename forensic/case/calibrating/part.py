"""The part of a pair that is measured where a calibration is of regions, cut out as a run's crop does."""

from __future__ import annotations

import numpy as np

from forensic.frames.frame import WorkingFrame
from forensic.risk.calibration.drawn import Region
from forensic.stages.catalogue import build


def part_of(frame: WorkingFrame, region: Region) -> WorkingFrame:
    """``region`` of ``frame``, with what is known of its coding."""
    left, top, columns, rows = region
    crop = build("crop", {"x": left, "y": top, "width": columns, "height": rows})
    return crop.process([frame], 0)


def truth_of(truth: np.ndarray, region: Region, scale: int) -> np.ndarray:
    """What ``region`` is to look like, of the whole ``truth``, whose sides are ``scale`` times the recorded ones."""
    left, top, columns, rows = (scale * one for one in region)
    return truth[top : top + rows, left : left + columns]
