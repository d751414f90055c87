"""Declared forward model: how a camera with area sampling turns the output picture into the input.

y = A x, A = (mean over scale x scale blocks) after (Gaussian blur), on luma in grey levels. The
block mean is the light that one photosite gathers (100 % fill factor), the Gaussian stands for
lens and optical low-pass filter. Block means put the centre of input pixel i at scale * i +
(scale - 1) / 2 of the output grid, the half-pixel-centre convention of the resize stage.

Pictures are continued by half-sample symmetric reflection. Under it a symmetric blur is a
symmetric matrix, so that the adjoint below is exact up to the borders and A Aᵀ is again a short
symmetric convolution on the input grid.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from forensic.errors import UsageError
from forensic.frames.frame import Geometry

MAXIMUM_SCALE = 16
DEFAULT_OPTICS = 0.25  # Gaussian sigma of the optics in input pixels; MTF 0.73 at the sensor's Nyquist frequency
_BORDER = cv2.BORDER_REFLECT  # half-sample symmetric: cba|abc


def _gaussian(sigma: float) -> np.ndarray:
    """Sampled, normalised Gaussian of standard deviation ``sigma`` (px), cut at four sigmas; float64."""
    if sigma < 0.05:  # no neighbour would get as much as 1e-80
        return np.ones(1)
    radius = int(np.ceil(4.0 * sigma))
    positions = np.arange(-radius, radius + 1, dtype=np.float64)
    kernel = np.exp(-0.5 * (positions / sigma) ** 2)
    return np.asarray(kernel / kernel.sum())


def _gram(blur: np.ndarray, scale: int) -> np.ndarray:
    """One-dimensional kernel of A Aᵀ on the input grid: the autocorrelation of the PSF, sampled."""
    box = np.full(scale, 1.0 / scale)
    psf = np.convolve(blur, box)
    autocorrelation = np.convolve(psf, psf[::-1])
    centre = autocorrelation.size // 2
    reach = centre // scale
    return np.asarray(autocorrelation[centre - reach * scale : centre + reach * scale + 1 : scale])


@dataclass(frozen=True)
class ForwardModel:
    """A for output = ``scale`` x input.

    ``scale``: whole number from 1 to 16. ``psf_sigma``: standard deviation of the Gaussian part of
    the point spread function, in output pixels; None takes the default, 0.25 input pixels where
    the picture was enlarged and 0 (A is the identity) at scale 1, where any blur would put an
    untouched picture in conflict with itself. Raises ``UsageError`` (``risk.scale``,
    ``risk.psf``) for values outside these.
    """

    scale: float
    psf_sigma: float | None = None
    psf_is_default: bool = field(init=False)

    def __post_init__(self) -> None:
        if not (1 <= self.scale <= MAXIMUM_SCALE and float(self.scale).is_integer()):
            raise UsageError(
                "risk.scale",
                f"The forward model needs a whole scale factor from 1 to {MAXIMUM_SCALE}, not {self.scale:g}.",
                "The risk of such an output is reported as not assessed.",
            )
        object.__setattr__(self, "psf_is_default", self.psf_sigma is None)
        sigma = self._default_sigma() if self.psf_sigma is None else float(self.psf_sigma)
        if not 0.0 <= sigma <= 4.0 * self.scale:
            raise UsageError(
                "risk.psf", f"The PSF's sigma is {sigma:g} px; it must be from 0 to four times the scale factor."
            )
        object.__setattr__(self, "psf_sigma", sigma)

    def _default_sigma(self) -> float:
        return 0.0 if self.scale == 1 else DEFAULT_OPTICS * self.scale

    @classmethod
    def between(cls, reference: Geometry, output: Geometry, psf_sigma: float | None = None) -> ForwardModel:
        """Model that leads from a picture of ``output`` geometry to one of ``reference`` geometry.

        Raises ``UsageError`` (``risk.geometry``) if the one is not a whole multiple of the other.
        """
        across, down = output.width / reference.width, output.height / reference.height
        if across != down or not across.is_integer() or not 1 <= across <= MAXIMUM_SCALE:
            raise UsageError(
                "risk.geometry",
                f"The output has {output.width}x{output.height} pixels, its input {reference.width}x"
                f"{reference.height}: not the same whole multiple (1 to {MAXIMUM_SCALE}) both ways.",
                "The risk of such an output is reported as not assessed.",
            )
        return cls(across, psf_sigma)

    @property
    def factor(self) -> int:
        """``scale`` as an integer."""
        return int(self.scale)

    @property
    def blurs(self) -> bool:
        """Whether the Gaussian part does anything."""
        return bool(self.psf_sigma)

    @cached_property
    def _blur(self) -> np.ndarray:
        return _gaussian(float(self.psf_sigma or 0.0)).astype(np.float32)

    @cached_property
    def _gram(self) -> np.ndarray:
        return _gram(_gaussian(float(self.psf_sigma or 0.0)), self.factor).astype(np.float32)

    def output_shape(self, input_shape: tuple[int, int]) -> tuple[int, int]:
        """(rows, columns) of x for a y of ``input_shape``."""
        return input_shape[0] * self.factor, input_shape[1] * self.factor

    def _convolve(self, picture: np.ndarray, kernel: np.ndarray) -> np.ndarray:
        return np.asarray(cv2.sepFilter2D(picture, cv2.CV_32F, kernel, kernel, borderType=_BORDER))

    def apply(self, x: np.ndarray) -> np.ndarray:
        """A x: float32 (s·h, s·w) grey levels to float32 (h, w). Raises ``UsageError`` (``risk.shape``)."""
        s = self.factor
        if x.shape[0] % s or x.shape[1] % s:
            raise UsageError("risk.shape", f"A picture of {x.shape[1]}x{x.shape[0]} does not divide by {s}.")
        blurred = self._convolve(x, self._blur) if self.blurs else x
        if s == 1:
            return blurred
        # INTER_AREA at a whole factor is the block mean.
        return np.asarray(cv2.resize(blurred, (x.shape[1] // s, x.shape[0] // s), interpolation=cv2.INTER_AREA))

    def adjoint(self, y: np.ndarray) -> np.ndarray:
        """Aᵀ y: float32 (h, w) to float32 (s·h, s·w), with <A x, y> = <x, Aᵀ y>."""
        spread = self.replicate(y) * np.float32(1.0 / self.factor**2) if self.factor > 1 else y
        return self._convolve(spread, self._blur) if self.blurs else spread

    def gram(self, y: np.ndarray) -> np.ndarray:
        """A Aᵀ y on the input grid, float32 (h, w): equal to ``apply(adjoint(y))``, but cheap."""
        return self._convolve(y, self._gram)

    def replicate(self, y: np.ndarray) -> np.ndarray:
        """Every pixel of ``y`` as an s x s block: values of the input placed on the output grid."""
        s = self.factor
        if s == 1:
            return y
        size = (y.shape[1] * s, y.shape[0] * s)
        return np.asarray(cv2.resize(y, size, interpolation=cv2.INTER_NEAREST))

    def interpolate(self, y: np.ndarray) -> np.ndarray:
        """``y`` on the output grid by bilinear interpolation with half-pixel centres."""
        s = self.factor
        if s == 1:
            return y.copy()
        return np.asarray(cv2.resize(y, (y.shape[1] * s, y.shape[0] * s), interpolation=cv2.INTER_LINEAR))

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts, in words that stand in the report."""
        return {
            "model": "downsample(blur(output)) = input, on luma",
            "scale": self.factor,
            "sampling": f"area: mean over {self.factor}x{self.factor} output pixels, 100 % fill factor",
            "psf": "gaussian" if self.blurs else "none",
            "psf_sigma_px": float(self.psf_sigma or 0.0),
            "psf_source": "default, not measured" if self.psf_is_default else "declared",
            "border": "half-sample symmetric",
        }
