"""Self-ensemble dispersion: how far a process disagrees with itself on turned and mirrored pictures.

A camera has no preferred handedness, so what a process invents often depends on how the picture
lies. The eight dihedral transforms that Timofte, Rothe and Van Gool average to improve a result
("Seven ways to improve example-based single image super resolution", CVPR 2016) are used here
for their spread. Zero spread is no proof: an equivariant process can invent consistently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from forensic.errors import InternalError
from forensic.frames.cut import NOWHERE
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.layout import PixelLayout

Process = Callable[[Sequence[WorkingFrame], int], WorkingFrame]


@dataclass(frozen=True)
class Transform:
    """Mirror left-right if ``mirrored``, then turn by ``quarter_turns`` x 90 degrees anticlockwise."""

    quarter_turns: int
    mirrored: bool

    @property
    def label(self) -> str:
        """Name in records, such as ``mirror+90``."""
        return ("mirror+" if self.mirrored else "") + str(90 * self.quarter_turns)

    @property
    def transposes(self) -> bool:
        """Whether rows become columns."""
        return self.quarter_turns % 2 == 1

    def apply(self, plane: np.ndarray) -> np.ndarray:
        """The transformed plane, contiguous."""
        return np.ascontiguousarray(np.rot90(plane[:, ::-1] if self.mirrored else plane, self.quarter_turns))

    def matrix(self, width: int, height: int) -> np.ndarray:
        """Float64 (3, 3): places (x, y, 1) in a picture of ``width`` x ``height`` to those in the transformed one."""
        found = np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) if self.mirrored else np.eye(3)
        for _ in range(self.quarter_turns):
            found = np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, width - 1.0], [0.0, 0.0, 1.0]]) @ found
            width, height = height, width
        return found

    def undo(self, plane: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`apply`."""
        turned = np.rot90(plane, -self.quarter_turns)
        return np.ascontiguousarray(turned[:, ::-1] if self.mirrored else turned)


DIHEDRAL = tuple(Transform(turns, mirrored) for mirrored in (False, True) for turns in range(4))


def transforms_for(layout: PixelLayout) -> tuple[Transform, ...]:
    """All eight, or the four that keep rows and columns where the chroma subsampling of the two differs."""
    if layout.family == "yuv" and layout.chroma_shift_x != layout.chroma_shift_y:
        return tuple(transform for transform in DIHEDRAL if not transform.transposes)
    return DIHEDRAL


def transformed(frame: WorkingFrame, transform: Transform) -> WorkingFrame:
    """``frame`` with all planes transformed alike; class, timing and colour as they were.

    The recorded chroma location stays, though a flip moves chroma by up to half a sample against
    it: that can touch chroma only, and dispersion is measured on luma.
    """
    geometry = frame.geometry
    if transform.transposes:
        aspect = None if geometry.sample_aspect is None else Fraction(1) / geometry.sample_aspect
        geometry = Geometry(geometry.height, geometry.width, geometry.layout, aspect)
    planes = tuple(transform.apply(plane) for plane in frame.planes)
    cut = None if frame.cut is None else NOWHERE
    return WorkingFrame(planes, geometry, frame.colour, frame.timing, frame.stage_class, frame.coding, cut)


@dataclass(frozen=True)
class Dispersion:
    """``deviation``: sample standard deviation of the luma over the transforms, float32 (rows, columns)
    of the output, grey levels. ``transforms``: labels of those used; ``note``: why not all eight."""

    deviation: np.ndarray
    transforms: tuple[str, ...]
    note: str | None = None


def dispersion(
    process: Process, window: Sequence[WorkingFrame], at: int, turned: Callable[[Transform], Process] | None = None
) -> Dispersion:
    """Run ``process(window, at)`` on every transform of the whole ``window``, undo each, compare.

    ``process`` must not depend on the position in the picture: leave crops and turns out, give it
    their result. ``turned``: the process for pictures so transformed, where what it was told of places has to turn
    along. Raises ``InternalError`` (``risk.dispersion-shape``) if the outputs do not come back to one size.
    Cost: as many runs as there are transforms, one after the other; the memory of two planes beside the process's own.
    """
    used = transforms_for(window[at].geometry.layout)

    def result(transform: Transform) -> np.ndarray:
        run = process if turned is None else turned(transform)
        return transform.undo(run([transformed(frame, transform) for frame in window], at).luma)

    plain = result(used[0])  # the identity
    mean = plain.copy()
    squares = np.zeros_like(mean)
    for count, transform in enumerate(used[1:], start=2):
        luma = result(transform)
        if luma.shape != mean.shape:
            raise InternalError(
                "risk.dispersion-shape",
                f"Transform {transform.label} gave {luma.shape} rows and columns after {mean.shape}.",
                "Only stages that treat every position and direction alike can be compared in this way.",
            )
        # Welford's update: exact zero if all results are the same.
        delta = luma - mean
        mean += delta * np.float32(1.0 / count)
        squares += delta * (luma - mean)
    deviation = np.sqrt(np.maximum(squares, 0.0) * np.float32(1.0 / (len(used) - 1)))
    note = None
    if len(used) < len(DIHEDRAL):
        note = (
            f"{len(used)} of 8 transforms: {window[at].geometry.layout.name} subsamples chroma differently "
            "across and down, quarter turns would change the layout."
        )
    return Dispersion(deviation, tuple(transform.label for transform in used), note)
