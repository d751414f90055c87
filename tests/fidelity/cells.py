"""A cell of the benchmark: enlargement, motion and CRF; and the recordings that are made for it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from forensic.simulation.degradation import Degradation, Motion, MovingObject
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from tests.fidelity import scenes

FACTORS = (2, 4)
MOTIONS = ("static", "jitter", "object")
CRFS = ("none", "20", "28", "35", "40")
FRAMES, MIDDLE = 9, 4
JITTER = 0.5  # recorded pixels, standard deviation each way
BORDER = 6  # recorded pixels cut from every side before measuring
MARGIN = 20  # scene pixels beyond the picture, so that jitter brings in scene and not a mirror image
SIZES = {4: (60, 80), 2: (88, 120)}  # recorded rows and columns
SEED = 1000
CODEC_BLOCK = 8  # recorded pixels: the transform and deblocking grid that block measures look at


@dataclass(frozen=True)
class Cell:
    """``x4:jitter:28``: factor, motion, CRF or none."""

    factor: int
    motion: str
    crf: str

    @classmethod
    def parse(cls, text: str) -> Cell:
        """Read ``x4:jitter:28`` or ``x4-jitter-28``. Raises ``ValueError``."""
        found = re.fullmatch(r"x(\d+)[:-](\w+)[:-](\w+)", text)
        if not found:
            raise ValueError(f"{text!r} is no cell; write x4:jitter:28")
        cell = cls(int(found[1]), found[2], found[3])
        if cell not in ALL:
            raise ValueError(f"{text!r} is no cell; known: {', '.join(each.name for each in ALL)}")
        return cell

    @property
    def name(self) -> str:
        """As the file of its scores is called."""
        return f"x{self.factor}-{self.motion}-{self.crf}"

    def degradation(self, number: int) -> Degradation:
        """What is done to scene ``number``: the profile ``issue-table`` with this cell's factor, motion and CRF."""
        motion = Motion(jitter=JITTER) if self.motion == "jitter" else Motion()
        if self.motion == "object":
            rng = np.random.default_rng([SEED, number])
            across, down = (float(rng.uniform(low, high)) for low, high in ((-2.0, 2.0), (-0.5, 0.5)))
            rows, columns = SIZES[self.factor]
            thing = MovingObject(width=0.4 * columns, height=0.4 * rows, velocity_x=across, velocity_y=down)
            motion = Motion(objects=(thing,))
        crf = None if self.crf == "none" else float(self.crf)
        return draw(np.random.default_rng(0), "issue-table", factor=self.factor, crf=crf, motion=motion)

    def record(self, scene: scenes.Scene, number: int) -> Recording:
        """Nine frames of ``scene``; the middle one shows it unmoved."""
        height, width = (side * self.factor + 2 * MARGIN for side in SIZES[self.factor])
        picture = scenes.luma(scene, height, width)
        return simulate(picture, self.degradation(number), FRAMES, SEED + number, margin=MARGIN)


ALL = tuple(Cell(factor, motion, crf) for factor in FACTORS for motion in MOTIONS for crf in CRFS)
