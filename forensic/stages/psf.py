"""Point spread functions that the user states, and periodic-free deconvolution geometry."""

from __future__ import annotations

from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import model_validator

from forensic.media.opencv import opencv
from forensic.simulation.psf import disc, gaussian, line
from forensic.stages.parameters import Parameters, parameter


class PsfParameters(Parameters):
    """Shape of the blur."""

    psf: Literal["gaussian", "defocus", "motion"] = parameter(
        title="Blur", unit="name", description="Gaussian, defocus (a uniform disc) or motion (a straight uniform line)."
    )
    sigma: float | None = parameter(
        None, title="Gaussian size", unit="pixels (standard deviation)", ge=0.2, le=15.0,
        description="With blur 'gaussian'.",
    )  # fmt: skip
    disc_radius: float | None = parameter(
        None, title="Disc radius", unit="pixels", ge=0.5, le=40.0, description="With blur 'defocus'."
    )
    length: float | None = parameter(
        None, title="Motion length", unit="pixels", ge=1.0, le=120.0, description="With blur 'motion'."
    )
    angle: float = parameter(
        0.0, title="Motion angle", unit="degrees", ge=-180.0, le=180.0,
        description="With blur 'motion': counter-clockwise from the horizontal.",
    )  # fmt: skip

    @model_validator(mode="after")
    def _one_shape(self) -> PsfParameters:
        needed = {"gaussian": "sigma", "defocus": "disc_radius", "motion": "length"}[self.psf]
        for name in ("sigma", "disc_radius", "length"):
            if (getattr(self, name) is not None) != (name == needed):
                raise ValueError(f"Blur {self.psf!r} needs {needed!r} and no other size")
        if self.psf != "motion" and "angle" in self.model_fields_set:
            raise ValueError("'angle' goes with blur 'motion' only")
        return self

    def kernel(self) -> np.ndarray:
        """The point spread function: float64, odd sides, not negative, sum one, centred."""
        if self.psf == "gaussian":
            assert self.sigma is not None  # noqa: S101 - by _one_shape
            return gaussian(self.sigma)
        if self.psf == "defocus":
            assert self.disc_radius is not None  # noqa: S101
            return disc(self.disc_radius)
        assert self.length is not None  # noqa: S101
        return line(self.length, self.angle)


@lru_cache(maxsize=8)
def _transfer(parameters: PsfParameters, shape: tuple[int, int]) -> np.ndarray:
    return packed_spectrum(_centred(parameters.kernel(), shape))


def _centred(kernel: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Kernel in a field of ``shape``, its middle at (0, 0), wrapped round."""
    field = np.zeros(shape)
    field[: kernel.shape[0], : kernel.shape[1]] = kernel
    return np.roll(field, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))


def packed_spectrum(field: np.ndarray) -> np.ndarray:
    """Discrete Fourier transform of a real field in OpenCV's packed form (float32, not writeable)."""
    spectrum: np.ndarray = opencv().dft(field.astype(np.float32))
    spectrum.flags.writeable = False
    return spectrum


@lru_cache(maxsize=8)
def inverse_spectrum(parameters: PsfParameters, shape: tuple[int, int], noise_to_signal: float) -> np.ndarray:
    """Wiener's inverse of the blur, packed; scaled so that the mean of a picture stays."""
    transfer = np.fft.rfft2(_centred(parameters.kernel(), shape))
    inverse = np.conj(transfer) / (np.abs(transfer) ** 2 + noise_to_signal) * (1.0 + noise_to_signal)
    return packed_spectrum(np.fft.irfft2(inverse, s=shape))


class DeconvolutionField:
    """A plane prepared for Fourier deconvolution: padded so that its opposite borders join smoothly.

    The picture is continued by mirroring and faded towards its blurred, wrapped-round self, as in
    edge tapering: the discrete Fourier transform takes pictures to be periodic, and a jump at the
    border would ring.
    """

    def __init__(self, plane: np.ndarray, parameters: PsfParameters) -> None:
        kernel = parameters.kernel()
        self._pad = 2 * max(kernel.shape)
        self._height, self._width = plane.shape
        rows, columns = (opencv().getOptimalDFTSize(length + 2 * self._pad) for length in plane.shape)
        below, right = rows - self._height - self._pad, columns - self._width - self._pad
        padded = np.pad(plane, ((self._pad, below), (self._pad, right)), mode="symmetric").astype(np.float32)
        self.transfer = _transfer(parameters, padded.shape)
        fade = np.minimum.outer(_ramp(rows, self._pad, below), _ramp(columns, self._pad, right))
        self.plane = fade * padded + (1 - fade) * self.filtered(padded, self.transfer)

    @staticmethod
    def filtered(plane: np.ndarray, spectrum: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
        """Convolve float32 ``plane`` with the field of packed ``spectrum``, or with its mirror image."""
        cv2 = opencv()
        product = cv2.mulSpectrums(cv2.dft(plane), spectrum, 0, conjB=mirrored)
        return np.asarray(cv2.idft(product, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT))

    def cut(self, plane: np.ndarray) -> np.ndarray:
        """The part of ``plane`` that is the picture."""
        return np.ascontiguousarray(plane[self._pad : self._pad + self._height, self._pad : self._pad + self._width])


def _ramp(length: int, before: int, after: int) -> np.ndarray:
    """One over the picture, falling smoothly to zero at the outer ends of the padding."""
    position = np.arange(length)
    outside = np.maximum((before - position) / before, (position - (length - 1 - after)) / after)
    return (0.5 * (1 + np.cos(np.pi * np.clip(outside, 0.0, 1.0)))).astype(np.float32)
