"""LOW of a risk map against what is known: its calibration's claims against the truth, and planted strokes against it.

Strokes are planted as whoever invents detail would leave them: finer than the sampling, so that the output stays as
consistent with the recording as it was (``forensic.risk.nullspace``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forensic.frames.frame import CodedFrame, Geometry
from forensic.fusion.conjugate_gradients import solve
from forensic.fusion.forward import ForwardModel
from forensic.media.opencv import opencv
from forensic.risk.calibration.artefact import Claim
from forensic.risk.calibration.losses import counts, truth_edges
from forensic.risk.calibration.strata import Recording
from forensic.risk.tiles import TILE, tile_share

CHANGED, SHARE = 16.0, 0.25
"""A tile is planted where at least this share of its pixels was changed by more than this many grey levels."""
_TEXT, _SIZE, _CONTRAST = "XK7 B31", (124, 16), 90.0  # the strokes' extent in output pixels; grey levels
_LIMIT = 0.5  # between what is LOW (0) and what is not (1)


@dataclass(frozen=True)
class Kept:
    """What LOW of one map is worth against the truth: output pixels, LOW ones, ``wrong`` (by grey levels) among them,
    the largest connected group of the worst, and the kinds of claims that ``failed``."""

    pixels: int
    low: int
    wrong: dict[int, int]
    largest: int
    failed: tuple[str, ...]


def kept(low: np.ndarray, luma: np.ndarray, truth: np.ndarray, claims: Sequence[Claim], scale: int) -> Kept:
    """``low`` (boolean, per tile) of the map of ``luma``, held against ``truth`` (both float32, grey levels, of one
    size) by every claim of a calibration; ``scale``: output pixels to a recorded one."""
    tolerances = sorted({claim.tolerance for claim in claims})
    error, risk = np.abs(luma - truth), np.where(low, np.float32(0.0), np.float32(1.0))
    one = next(iter(counts(risk, ~low, error, truth_edges(truth, scale), (_LIMIT,), tolerances, least=1)))
    wrong, edge_wrong, largest = (
        {tolerance: {_LIMIT: value} for tolerance, value in zip(tolerances, values, strict=True)}
        for values in (one.wrong, one.edge_wrong, one.largest)
    )
    counted = Recording(one.pixels, {_LIMIT: one.low}, {_LIMIT: one.edge_low}, wrong, edge_wrong, largest, {})
    return Kept(
        one.pixels, one.low, dict(zip(tolerances, one.wrong, strict=True)), one.largest[-1],
        tuple(claim.kind for claim in claims if counted.failed(claim, _LIMIT, scale)),
    )  # fmt: skip


def inside_low(low: np.ndarray) -> tuple[int, int] | None:
    """Middle (x, y), in output pixels, of the tile deepest inside ``low`` (boolean, per tile); None without any."""
    if not low.any():
        return None
    cv2 = opencv()
    depth = cv2.distanceTransform(np.pad(low.astype(np.uint8), 1), cv2.DIST_C, 3)[1:-1, 1:-1]
    row, column = divmod(int(depth.argmax()), low.shape[1])
    return column * TILE + TILE // 2, row * TILE + TILE // 2


def planted(output: CodedFrame, recorded: Geometry, centre: tuple[int, int]) -> CodedFrame:
    """``output`` with characters around ``centre`` (x, y), less all of them that the default forward model from it to
    ``recorded`` can see: they lie in its null space, but for rounding and clipping. Chroma stays.

    Raises ``UsageError`` as :meth:`ForwardModel.between`.
    """
    cv2 = opencv()
    luma = output.to_working().luma
    drawn = np.zeros(luma.shape, np.uint8)
    at = (centre[0] - _SIZE[0] // 2, centre[1] + _SIZE[1] // 2)
    cv2.putText(drawn, _TEXT, at, cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2, cv2.LINE_AA)
    strokes = drawn.astype(np.float32) * np.float32(_CONTRAST / 255.0)
    forward = ForwardModel.between(recorded, output.geometry)
    seen = solve(forward.gram, forward.apply(strokes), iterations=100, tolerance=1e-5).x
    false = luma + strokes - forward.adjoint(seen)
    layout = output.geometry.layout
    samples = np.clip(np.rint(false * np.float32(layout.grey_scale)), 0, layout.maximum).astype(layout.dtype)
    planes = (samples, *output.planes[1:])
    return CodedFrame(planes, output.geometry, output.colour, output.timing, output.stage_class, output.coding)


def planted_tiles(honest: CodedFrame, false: CodedFrame) -> np.ndarray:
    """Boolean per tile: where ``false`` shows something else than ``honest``."""
    changed = np.abs(false.to_working().luma - honest.to_working().luma) > CHANGED
    return np.asarray(tile_share(changed) >= SHARE)
