"""Deblocking: smooths the steps that block-based codecs leave at block edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.layout import PixelLayout
from forensic.frames.stageclass import StageClass
from forensic.stages.movement import CUTTING, KEEPING, Bound, Movement
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import Applied, Stage, StageCard


class DeblockParameters(Parameters):
    """Strength on H.264's quantiser scale, and where the blocks lie."""

    luma_strength: int = parameter(
        26,
        title="Luma strength",
        unit="H.264 quantiser index",
        ge=0,
        le=51,
        description="Steps as large as this quantiser leaves count as block edges; below 16 nothing is filtered.",
    )
    chroma_strength: int = parameter(
        26,
        title="Colour strength",
        unit="H.264 quantiser index",
        ge=0,
        le=51,
        description="The same for the colour planes.",
    )
    block: int = parameter(
        8,
        title="Block size",
        unit="samples",
        ge=8,
        le=64,
        description="Distance of block edges in each plane; 8 for JPEG, MPEG-2, MPEG-4 and most of H.264.",
    )
    grid_x: int = parameter(
        0,
        title="Left block edge",
        unit="luma pixels",
        ge=0,
        le=255,
        description="Where the first block edge lies from the left edge of the picture (not 0 after a crop); behind "
        "'follow', of the picture that the moving rectangle is cut out of.",
    )
    grid_y: int = parameter(
        0,
        title="Top block edge",
        unit="luma pixels",
        ge=0,
        le=255,
        description="Where the first block edge lies from the top edge of the picture (not 0 after a crop); behind "
        "'follow', as for the left one.",
    )


class Deblock(Stage[DeblockParameters]):
    """Adaptive filter across block edges."""

    name = "deblock"
    title = "Deblocking"
    stage_class = StageClass.FIDELITY
    parameter_model = DeblockParameters
    card = StageCard(
        explanation=(
            "Video is coded in small squares, and strong compression leaves false steps where squares meet. Where the "
            "picture is smooth on both sides of such an edge and the step is small enough to come from compression, "
            "the step is smoothed. A step too large for that is taken as a real edge and left alone."
        ),
        artefacts=(
            "A weak real edge that happens to lie exactly on a block edge is softened.",
            "Blocks moved by motion compensation do not lie on the grid and stay.",
            "Once a picture has been enlarged, its blocks no longer lie on the grid that this stage assumes.",
            "Steps within four samples of the picture's border stay, also at the border of a region cut out before.",
        ),
        references=(
            "P. List, A. Joch, J. Lainema, G. Bjontegaard, M. Karczewicz, Adaptive Deblocking Filter, IEEE "
            "Transactions on Circuits and Systems for Video Technology 13 (2003), 614-619.",
            "Recommendation ITU-T H.264, clause 8.7 (the luma filter of bS = 4 where flat, else that of bS < 4, "
            "whose change is held to alpha / 4; alpha = 0.8 (2^(QP/6) - 1) and beta = 0.5 QP - 7 as in List et al.).",
        ),
    )

    @property
    def positional(self) -> bool:
        """The grid is that of the recorded blocks."""
        return True

    @property
    def bound(self) -> Bound:
        """Blocks lie where they were coded; a frame behind a rectangle that moves says where that is. Turned by right
        angles they are blocks still (:meth:`require_stated`).
        """
        behind = KEEPING | CUTTING | {Movement.PERMUTED}
        return Bound("goes by the blocks of the recording", behind, uncut=True)

    def require_stated(self, before: str) -> None:
        """Refuse a grid that nobody stated behind the stage ``before``, which turns the picture by right angles or
        mirrors it. Raises ``BadInput`` (``stage.grid``).
        """
        if missing := [name for name in ("grid_x", "grid_y") if name not in self.parameters.model_fields_set]:
            raise BadInput(
                "stage.grid",
                f"Deblocking: stage {before!r} before it turns or mirrors the picture, and "
                f"{' and '.join(missing)} would be taken for 0.",
                f"Put it before {before!r}, or state {' and '.join(missing)}: where the first block edge lies in the "
                "turned picture.",
            )

    def after_crop(self, x: int, y: int) -> Deblock:
        """The same grid of the exhibit, seen from the new corner."""
        grid_x, grid_y = self._seen_from(x, y)
        return self.varied(grid_x=grid_x, grid_y=grid_y)

    def _seen_from(self, x: int, y: int) -> tuple[int, int]:
        """The grid's first edges from a corner at (``x``, ``y``)."""
        pitch = 4 * self.parameters.block  # a chroma block spans up to four luma blocks (4:1:1)
        return (self.parameters.grid_x - x) % pitch, (self.parameters.grid_y - y) % pitch

    def require_grid(self, x: int, y: int, layout: PixelLayout) -> None:
        """Refuse a grid that nobody stated behind crops that begin at (``x``, ``y``) of the recording, unless it is the
        same. Raises ``BadInput`` (``stage.grid``).
        """
        block, given = self.parameters.block, self.parameters.model_fields_set
        seen = dict(zip(("grid_x", "grid_y"), self._seen_from(x, y), strict=True))
        same = {
            "grid_x": x % (block << layout.chroma_shift_x) == 0,
            "grid_y": y % (block << layout.chroma_shift_y) == 0,
        }
        if wrong := {name: value for name, value in seen.items() if name not in given and not same[name]}:
            raise BadInput(
                "stage.grid",
                f"Deblocking: the picture was cropped at ({x}, {y}), which is not where blocks meet, and "
                f"{' and '.join(wrong)} would be taken for 0.",
                "Put it before the crop, or state "
                + " and ".join(f"{name} = {value}" for name, value in wrong.items())
                + " (if blocks begin at the corner of the recording).",
            )

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """As it comes in. Raises ``BadInput`` (``stage.grid``) if the grid would split a chroma sample."""
        step_x, step_y = 1 << geometry.layout.chroma_shift_x, 1 << geometry.layout.chroma_shift_y
        if self.parameters.grid_x % step_x or self.parameters.grid_y % step_y:
            raise BadInput(
                "stage.grid",
                f"Deblocking: the grid origin ({self.parameters.grid_x}, {self.parameters.grid_y}) would split a "
                f"colour sample of a {geometry.layout.name} picture.",
                f"Use multiples of {step_x} and {step_y}.",
            )
        return geometry

    def _apply(self, window: Sequence[WorkingFrame], at: int) -> Applied:
        frame, chosen, layout = window[at], self.parameters, window[at].geometry.layout
        grid, cut = (chosen.grid_x, chosen.grid_y), frame.cut
        shown = (0, 0, frame.geometry.width, frame.geometry.height)
        if cut is not None:
            left, top = (int(place) if cut.shows else 0 for place in (cut.left, cut.top))
            grid = self._seen_from(left, top)
            shown = _seen_from(cut.shown, left, top)
        planes = []
        for number, plane in enumerate(frame.planes):
            chroma = layout.family == "yuv" and number > 0
            strength = chosen.chroma_strength if chroma else chosen.luma_strength
            alpha, beta = thresholds(strength)
            if alpha <= 0.0 or beta <= 0.0:
                planes.append(plane)
                continue
            shifts = (layout.chroma_shift_x, layout.chroma_shift_y) if chroma else (0, 0)
            filtered = plane.copy()
            for axis, turned in enumerate((filtered, filtered.T)):
                shift = shifts[axis]
                first, stop = max(0, -(-shown[axis] >> shift)), min(turned.shape[1], -(-shown[axis + 2] >> shift))
                edges = _Edges(chosen.block, grid[axis] >> shift, first, stop)
                _filter_columns(turned, edges, alpha, beta, short=chroma)
            planes.append(filtered)
        return Applied(tuple(planes), {} if cut is None else {"grid": list(grid) if cut.shows else None})


@dataclass(frozen=True)
class _Edges:
    """Every ``block`` samples from ``origin``, in a plane that shows the recording from ``first`` up to ``stop``."""

    block: int
    origin: int
    first: int
    stop: int


def _seen_from(box: tuple[float, float, float, float], left: int, top: int) -> tuple[int, int, int, int]:
    """``box`` (left, top, right, bottom) from a corner at (``left``, ``top``)."""
    return int(box[0]) - left, int(box[1]) - top, int(box[2]) - left, int(box[3]) - top


def thresholds(strength: int) -> tuple[float, float]:
    """(alpha, beta) in grey levels: the largest step across, and the largest slope beside, a block edge."""
    if strength < 16:  # as the tables of H.264 (table 8-16) do
        return 0.0, 0.0
    return 0.8 * (2.0 ** (strength / 6.0) - 1.0), 0.5 * strength - 7.0


def _filter_columns(plane: np.ndarray, where: _Edges, alpha: float, beta: float, *, short: bool) -> None:
    """Filter, in place, across the vertical block edges of ``plane`` (a view may be transposed).

    ``short`` is the chroma filter, which changes one sample on either side. No sample that is not recorded is looked
    at.
    """
    reach = 2 if short else 4
    first, stop = where.first + reach, where.stop - reach
    begin = first + (where.origin - first) % where.block
    edges = np.arange(begin, stop + 1, where.block, dtype=np.intp)
    if edges.size == 0:
        return
    p = [plane[:, edges - 1 - number] for number in range(reach)]
    q = [plane[:, edges + number] for number in range(reach)]
    step = np.abs(p[0] - q[0])
    edge = (step < alpha) & (np.abs(p[1] - p[0]) < beta) & (np.abs(q[1] - q[0]) < beta)
    # Normal filter (bS < 4), its change bounded as tC0 bounds it: a small share of alpha.
    bound = np.float32(alpha * 0.25)
    change = np.clip((4.0 * (q[0] - p[0]) + (p[1] - q[1])) / np.float32(8.0), -bound, bound)
    new_p, new_q = [p[0] + change], [q[0] - change]
    if not short:
        # Strong filter (bS = 4) where a side is flat and the step is small.
        small = step < alpha / 4.0 + 2.0
        flat_p, flat_q = small & (np.abs(p[2] - p[0]) < beta), small & (np.abs(q[2] - q[0]) < beta)
        strong_p, strong_q = _strong(p, q), _strong(q, p)
        new_p = [np.where(flat_p, strong_p[0], new_p[0])] + [
            np.where(flat_p, strong, old) for strong, old in zip(strong_p[1:], p[1:3], strict=True)
        ]
        new_q = [np.where(flat_q, strong_q[0], new_q[0])] + [
            np.where(flat_q, strong, old) for strong, old in zip(strong_q[1:], q[1:3], strict=True)
        ]
    for number, (left, right) in enumerate(zip(new_p, new_q, strict=True)):
        plane[:, edges - 1 - number] = np.where(edge, left, p[number])
        plane[:, edges + number] = np.where(edge, right, q[number])


def _strong(p: list[np.ndarray], q: list[np.ndarray]) -> list[np.ndarray]:
    """H.264 equations for bS = 4 on the p side: p0', p1', p2' (without integer rounding)."""
    p0 = (p[2] + 2.0 * p[1] + 2.0 * p[0] + 2.0 * q[0] + q[1]) / np.float32(8.0)
    p1 = (p[2] + p[1] + p[0] + q[0]) / np.float32(4.0)
    p2 = (2.0 * p[3] + 3.0 * p[2] + p[1] + p[0] + q[0]) / np.float32(8.0)
    return [p0, p1, p2]
