"""What the gate of a shipped calibration does with regions of real footage. There is no truth: no coverage, no ranking.

``python -m tests.calibration --recipe light --model light-x4 --footage`` writes ``footage.csv`` beside the card. The
regions were chosen by place before any was mapped, over things, plain ground and background.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice

from forensic.frames.stageclass import StageClass
from forensic.media.reader import ExhibitReader
from forensic.risk.assessment import assess
from forensic.risk.calibration.shelf import shipped_for
from forensic.risk.tiles import Level
from forensic.stages.combining import split_halves
from forensic.stages.recipe import load_recipe
from tests.footage import shared_data

FIELDS = ("clip", "clip_sha256", "frame", "x", "y", "width", "height", "quantiser", "status", "low_area", "reason")
FROM, LONGEST_WAIT = 30, 30  # the first P picture from this frame on, which is sure to come soon
#: Left, top, columns, rows.
REGIONS = {
    "traffic_camera.mp4": ((400, 300, 96, 64), (600, 400, 96, 64), (200, 500, 80, 60), (900, 200, 96, 64)),
    "one-by-one-person-detection.mp4": ((300, 150, 96, 64), (400, 200, 64, 48), (100, 100, 96, 64)),
    "car-detection.mp4": ((300, 200, 96, 64), (400, 250, 80, 56)),
}


def rows(recipe: str, scale: int) -> Iterator[dict[str, object]]:
    """One for each region. Raises ``SystemExit`` without the shared data."""
    shared = shared_data()
    if shared is None:
        raise SystemExit("The shared data are not here.")
    for clip, boxes in REGIONS.items():
        path = shared / "cctv" / clip
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        with ExhibitReader(path, StageClass.PRESENTATION, coding=True) as reader:
            frames = list(islice(reader.frames(), FROM + LONGEST_WAIT))
        at = next(
            number for number, frame in enumerate(frames)
            if number >= FROM and frame.coding is not None and frame.coding.picture_type == "P"
        )  # fmt: skip
        for box in boxes:
            stages = load_recipe(recipe).bind(roi=box, scale=scale)
            around = stages.pipeline.radius
            window = [frame.to_working() for frame in frames[at - around : at + around + 1]]
            region = stages.stages[0].process([window[around]], 0)
            output = stages.pipeline.process_window(window, around).quantise()
            halves = split_halves(stages.pipeline, window, around)
            found = assess(region, output, calibration=shipped_for(stages.stages), halves=halves)
            share = float((found.levels == Level.LOW).mean())
            judged = found.judgement
            quantiser = None if region.coding is None else region.coding.here
            values = (
                clip, digest, frames[at].timing.index, *box, "" if quantiser is None else round(quantiser, 2),
                found.status, round(share, 4), "" if judged is None else judged.reason or "",
            )  # fmt: skip
            yield dict(zip(FIELDS, values, strict=True))
