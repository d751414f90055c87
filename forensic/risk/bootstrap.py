"""Equivariant bootstrap: how far a process strays from its own result when the recording is made again.

J. Tachella and M. Pereyra, "Equivariant bootstrapping for uncertainty quantification in imaging inverse problems",
arXiv:2310.11838 (AISTATS 2024): take the result x̂ for the scene, record it again with the declared forward model, and
enhance that, x⁽ⁱ⁾ = T_g⁻¹ f(P(A T_g x̂)). Here T_g are mirrors and shifts by half a recorded pixel, A is blur and area
sampling (:mod:`forensic.fusion.forward`), and P adds Gaussian noise of the estimated strength, rounds to whole grey
levels and codes the picture with H.264 at the frame's own mean quantiser. All passes are the intra pictures of one
stream, so that a frame costs one encoder. Quarter turns are left to the self-ensemble: they would change the
picture's size within the stream.

What x̂ does not hold cannot stray: the bootstrap sees the errors that enhancing x̂ brings, not those that x̂ was made
with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from forensic.errors import ForensicError, InternalError
from forensic.frames.frame import WorkingFrame
from forensic.fusion.forward import ForwardModel
from forensic.media.opencv import opencv
from forensic.risk.noise import estimate_sigma

Process = Callable[[Sequence[WorkingFrame], int], WorkingFrame]

PASSES = 16
SEED = 20261123
_INTRA_OFFSET = 3  # libx264 codes intra pictures of a constant quantiser three steps finer (ip ratio 1.4)
_HIGHEST = 51
_SMALLEST = 16  # libx264's pictures
_NOT_CODED = frozenset({"media.encode-failed", "media.encode-picture"})
_FLIPS = ((False, False), (True, True), (True, False), (False, True))  # (left-right, top-bottom)
_SHIFTS = ((0, 0), (1, 1), (1, 0), (0, 1))  # (across, down), in half recorded pixels


@dataclass(frozen=True)
class Stray:
    """``deviation``: root mean square of x⁽ⁱ⁾ − x̂, float32 (rows, columns) of the output, grey levels.

    ``passes``: how many; ``quantiser``: of the coding within, None where there was none, and ``note`` why.
    """

    deviation: np.ndarray
    passes: int
    quantiser: int | None
    note: str | None = None


@dataclass(frozen=True)
class _Variation:
    """T_g: mirrored, then moved by (``across``, ``down``) output pixels; what moves in is a mirror image."""

    left_right: bool
    top_bottom: bool
    across: int
    down: int

    def apply(self, plane: np.ndarray) -> np.ndarray:
        return _moved(self._mirrored(plane), self.across, self.down)

    def undo(self, plane: np.ndarray) -> np.ndarray:
        return self._mirrored(_moved(plane, -self.across, -self.down))

    def mirrored(self, plane: np.ndarray) -> np.ndarray:
        """Only mirrored: for chroma, which is not compared."""
        return self._mirrored(plane)

    def _mirrored(self, plane: np.ndarray) -> np.ndarray:
        down = -1 if self.top_bottom else 1
        across = -1 if self.left_right else 1
        return np.ascontiguousarray(plane[::down, ::across])


def _moved(plane: np.ndarray, across: int, down: int) -> np.ndarray:
    """``plane`` with its content moved right by ``across`` and down by ``down`` pixels."""
    if not across and not down:
        return plane
    rows, columns = plane.shape
    left, top = max(across, 0), max(down, 0)
    padded = np.pad(plane, ((top, max(-down, 0)), (left, max(-across, 0))), mode="symmetric")
    return np.ascontiguousarray(padded[max(-down, 0) :][:rows, max(-across, 0) :][:, :columns])


def variations(passes: int, scale: int) -> tuple[_Variation, ...]:
    """The first ``passes`` of the sixteen pairs of a mirror and a shift, every mirror and shift equally often in each
    four."""
    half = scale // 2
    found = []
    for number in range(passes):
        flip = _FLIPS[number % 4]
        shift = _SHIFTS[(number + number // 4) % 4]
        found.append(_Variation(*flip, shift[0] * half, shift[1] * half))
    return tuple(found)


def stray(
    process: Process,
    window: Sequence[WorkingFrame],
    at: int,
    output: np.ndarray,
    forward: ForwardModel,
    *,
    passes: int = PASSES,
) -> Stray:
    """Record ``output`` again ``passes`` times as ``window[at]`` was recorded, enhance, compare.

    ``output``: float32 luma of ``process(window, at)``; ``process`` must look at the one frame alone. Noise is drawn
    from a fixed seed: the same frame gives the same bytes. Where the H.264 quantiser is not known, or the encoder does
    not take the picture, nothing is coded, and ``note`` says why.
    Raises ``InternalError`` (``risk.dispersion-shape``) for an output of another size than the forward model leads to.
    """
    opencv()
    frame = window[at]
    if forward.output_shape(frame.luma.shape) != output.shape:
        raise InternalError(
            "risk.dispersion-shape", f"An output of {output.shape} is not {forward.factor} times its input."
        )
    used = variations(passes, forward.factor)
    sigma = estimate_sigma(frame.luma)
    rng = np.random.Generator(np.random.Philox(SEED))
    recorded = []
    for one in used:
        seen = forward.apply(one.apply(output))
        noise = rng.standard_normal(seen.shape, dtype=np.float32) * np.float32(sigma)
        recorded.append(np.clip(np.rint(seen + noise), 0, 255).astype(np.uint8))
    quantiser, note = requantiser(frame)
    if quantiser is not None:
        try:
            recorded = _coded(recorded, quantiser)
        except ForensicError as error:
            if error.code not in _NOT_CODED:
                raise
            quantiser, note = None, f"the picture could not be coded again ({error.code}: {error.message})"
    power = np.zeros_like(output)
    for one, luma in zip(used, recorded, strict=True):
        planes = (luma.astype(np.float32), *(one.mirrored(plane) for plane in frame.planes[1:]))
        made = process([_with(frame, planes)], 0).luma
        power += np.square(one.undo(made) - output)
    deviation = np.sqrt(power * np.float32(1.0 / len(used)))
    return Stray(deviation, len(used), quantiser, note)


def _with(frame: WorkingFrame, planes: tuple[np.ndarray, ...]) -> WorkingFrame:
    return WorkingFrame(planes, frame.geometry, frame.colour, frame.timing, frame.stage_class, frame.coding)


def requantiser(frame: WorkingFrame) -> tuple[int | None, str | None]:
    """At which H.264 quantiser ``frame`` is coded again; or None, and why it cannot be."""
    coding = frame.coding
    if coding is None or coding.scale != "h264" or coding.quantiser is None:
        return None, "the frame's H.264 quantiser is not known: nothing was coded again"
    if min(frame.luma.shape) < _SMALLEST:
        return None, f"pictures under {_SMALLEST} pixels cannot be coded again"
    return min(max(round(coding.quantiser), 0), _HIGHEST - _INTRA_OFFSET), None


def _coded(pictures: Sequence[np.ndarray], quantiser: int) -> list[np.ndarray]:
    """``pictures`` after H.264, every one an intra picture at ``quantiser``."""
    from forensic.media.encoding import transcode

    rows, columns = pictures[0].shape
    odd = ((0, rows % 2), (0, columns % 2))  # 4:2:0 needs even sides
    planes = []
    for picture in pictures:
        luma = np.pad(picture, odd, mode="edge")
        grey = np.full((luma.shape[0] // 2, luma.shape[1] // 2), 128, np.uint8)
        planes.append((luma, grey, grey))
    coded = transcode(planes, codec="h264", qp=quantiser + _INTRA_OFFSET, gop=1)
    return [frame[0][:rows, :columns] for frame in coded.frames]
