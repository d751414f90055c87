"""What fusion is told, and what it hands out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from forensic.errors import UsageError
from forensic.fusion.motion import Motion

Registration = Literal["none", "translation", "affine", "homography", "mesh", "flow"]
DEFAULT_PSF = 0.35  # input px: Gaussian sigma of lens and low-pass; MTF 0.55 at the sensor's Nyquist frequency


def _refused(name: str, value: object, range_: str) -> UsageError:
    return UsageError("fusion.options", f"Fusion option {name} is {value!r}; it must be {range_}.")


@dataclass(frozen=True)
class FusionOptions:
    """How frames are fused.

    ``scale``: 1 to 4. ``psf_sigma``: Gaussian blur of the optics in input px, 0 to 3; None estimates it.
    ``second_sigma``: another blur, for a second picture of the same frames without self-similarity.
    ``registration``: richest motion of the camera that is tried; ``mesh`` lets it differ slowly over the
    picture, ``flow`` adds dense motion. ``largest_shift``:
    input px. ``noise``: grey levels (standard deviation) of one frame; None estimates it. ``quantisers``: QP of
    every frame of the window on H.264's scale, None where not known; () for not known at all. ``strength``:
    factor on the weight of the priors. ``motions``: of every frame of the window, from the reference's pixels to that
    frame's, where they are known already, and None for a frame that is not to be used; () estimates them.
    ``even_priors``: the priors weigh the same all over the picture, however much the codec took: what the networks of
    ``refined-fusion`` were trained on, and are given. ``detail``: whether the self-similarity rounds are run.
    ``halves``: whether two independent fusions of every second
    frame are made as well. ``tile``: input px.

    Raises ``UsageError`` (``fusion.options``) for values outside.
    """

    scale: int = 4
    psf_sigma: float | None = DEFAULT_PSF
    second_sigma: float | None = None
    registration: Registration = "affine"
    largest_shift: float = 32.0
    noise: float | None = None
    quantisers: tuple[float | None, ...] = ()
    strength: float = 1.0
    motions: tuple[Motion | None, ...] = ()
    even_priors: bool = False
    detail: bool = True
    halves: bool = False
    tile: int = 256

    def __post_init__(self) -> None:
        if self.scale not in (1, 2, 3, 4):
            raise _refused("scale", self.scale, "1, 2, 3 or 4")
        for name, value, low, high in (
            ("psf_sigma", self.psf_sigma, 0.0, 3.0),
            ("second_sigma", self.second_sigma, 0.0, 3.0),
            ("largest_shift", self.largest_shift, 0.0, 500.0),
            ("noise", self.noise, 0.0, 50.0),
            ("strength", self.strength, 0.01, 100.0),
            ("tile", self.tile, 64, 4096),
        ):
            if value is not None and not low <= value <= high:
                raise _refused(name, value, f"from {low} to {high}")
        if self.registration not in ("none", "translation", "affine", "homography", "mesh", "flow"):
            raise _refused("registration", self.registration, "none, translation, affine, homography, mesh or flow")
        if any(qp is not None and not 0.0 <= qp <= 63.0 for qp in self.quantisers):
            raise _refused("quantisers", self.quantisers, "from 0 to 63 each")


@dataclass(frozen=True)
class FrameReport:
    """What became of one frame of the window: its place, motion, mean weight, light, quantiser, or why not."""

    place: int
    motion: Motion | None
    weight: float
    rejected: str | None
    gain: float = 1.0
    offset: float = 0.0
    quantiser: float | None = None
    residual: float | None = None

    def to_record(self, shape: tuple[int, int]) -> dict[str, Any]:
        """JSON-able facts."""
        record: dict[str, Any] = {"place": self.place}
        record |= {"shift": None} if self.motion is None else self.motion.to_record(shape)
        return record | {
            "weight": round(self.weight, 4),
            "rejected": self.rejected,
            "gain": round(self.gain, 4),
            "offset": round(self.offset, 3),
            "quantiser": self.quantiser,
            "residual": None if self.residual is None else round(self.residual, 4),
        }


@dataclass(frozen=True)
class Fused:
    """Result of fusion of a window of frames (height, width) at ``scale``.

    ``luma``: float32 (scale·height, scale·width) grey levels. ``weights``: float32 (frames, height, width), the
    weight 0..1 of every frame at the reference's pixels. ``effective``: float32 (height, width), effective
    number of frames (Kish): (Σ w)² / Σ w². ``halves``: two independent fusions, of the frames at even and at odd
    distance from the reference, or None. ``report``: JSON-able; ``frames``: per frame. ``second``: as ``luma``, with
    the second blur, or None.
    """

    luma: np.ndarray = field(repr=False)
    weights: np.ndarray = field(repr=False)
    effective: np.ndarray = field(repr=False)
    halves: tuple[np.ndarray, np.ndarray] | None = field(repr=False)
    frames: tuple[FrameReport, ...]
    report: dict[str, Any]
    second: np.ndarray | None = field(default=None, repr=False)


@dataclass(frozen=True)
class SplitHalves:
    """Two pictures of the same thing without a frame in common, and how many frames there were to make them.

    Fields as in :class:`Fused`. Where ``halves`` is None, ``why_none`` says why. ``refined``: a learned model makes
    another picture of what was fused; the halves are without it.
    """

    halves: tuple[np.ndarray, np.ndarray] | None = field(repr=False)
    why_none: str | None
    weights: np.ndarray = field(repr=False)
    effective: np.ndarray = field(repr=False)
    report: dict[str, Any]
    refined: bool = False
