"""Lens distortion: the Brown-Conrady model, its inverse, and where it folds.

Places are in units of the focal length, measured from the centre of distortion. The model leads from the
place where a pinhole camera would have put a point to the place where the lens put it:

    x' = x d + 2 p1 x y + p2 (r² + 2 x²)      y' = y d + p1 (r² + 2 y²) + 2 p2 x y
    d = 1 + k1 r² + k2 r⁴ + k3 r⁶             r² = x² + y²

Sources: D. C. Brown, Close-range camera calibration, Photogrammetric Engineering 37 (1971), 855-866;
A. E. Conrady, Decentred lens-systems, Monthly Notices of the Royal Astronomical Society 79 (1919), 384-390.
Order and signs are those of OpenCV.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

_ROUNDS = 60
_SETTLED = 1e-12  # focal lengths


@dataclass(frozen=True)
class Lens:
    """Coefficients with the centre (x, y) and focal lengths (x, y), both in pixels.

    With a centre and coefficients from straight lines alone the focal length is only the unit of r.
    """

    centre: tuple[float, float]
    focal: tuple[float, float]
    k1: float = 0.0
    k2: float = 0.0
    k3: float = 0.0
    p1: float = 0.0
    p2: float = 0.0

    @property
    def is_ideal(self) -> bool:
        """Whether the lens bends nothing."""
        return self.k1 == self.k2 == self.k3 == self.p1 == self.p2 == 0.0

    def to_parameters(self) -> dict[str, Any]:
        """Parameters of the stage ``undistort``."""
        coefficients = {name: getattr(self, name) for name in ("k1", "k2", "k3", "p1", "p2")}
        return {"centre": list(self.centre), "focal": list(self.focal), **coefficients}

    def distorted(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where the lens puts the points (focal lengths, from the centre)."""
        square = x * x + y * y
        radial = 1.0 + square * (self.k1 + square * (self.k2 + square * self.k3))
        cross = 2.0 * x * y
        return (
            x * radial + self.p1 * cross + self.p2 * (square + 2.0 * x * x),
            y * radial + self.p1 * (square + 2.0 * y * y) + self.p2 * cross,
        )

    def slopes(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x' by x, x' by y = y' by x, y' by y): the symmetric matrix of first derivatives of :meth:`distorted`."""
        square = x * x + y * y
        radial = 1.0 + square * (self.k1 + square * (self.k2 + square * self.k3))
        growth = 2.0 * (self.k1 + square * (2.0 * self.k2 + 3.0 * self.k3 * square))
        xx = radial + growth * x * x + 2.0 * self.p1 * y + 6.0 * self.p2 * x
        xy = growth * x * y + 2.0 * self.p1 * x + 2.0 * self.p2 * y
        yy = radial + growth * y * y + 6.0 * self.p1 * y + 2.0 * self.p2 * x
        return xx, xy, yy

    @property
    def fold(self) -> float:
        """Radius (focal lengths) from which the radial part turns back on itself; infinite where it does not."""
        roots = np.roots([7.0 * self.k3, 5.0 * self.k2, 3.0 * self.k1, 1.0])
        real = roots.real[(np.abs(roots.imag) < 1e-9 * np.maximum(np.abs(roots), 1e-300)) & (roots.real > 0)]
        return float(np.sqrt(real.min())) if real.size else float("inf")

    def recorded(self, u: np.ndarray, v: np.ndarray, zoom: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """Places of the recording (pixels) that the places (``u``, ``v``) of the straightened picture show.

        ``zoom`` magnifies about the centre. NaN from the radius on where the model folds: it would show the
        same place twice.
        """
        x = (u - self.centre[0]) / (zoom * self.focal[0])
        y = (v - self.centre[1]) / (zoom * self.focal[1])
        xx, xy, yy = self.slopes(x, y)
        folded = (x * x + y * y >= self.fold**2) | (xx * yy - xy * xy <= 0.0) | (xx + yy <= 0.0)
        far_x, far_y = self.distorted(x, y)
        return (
            np.where(folded, np.nan, far_x * self.focal[0] + self.centre[0]),
            np.where(folded, np.nan, far_y * self.focal[1] + self.centre[1]),
        )

    def straightened(self, places: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`recorded` for places (N, 2) in pixels, by Newton steps; NaN where it has none."""
        goal_x = (places[:, 0] - self.centre[0]) / self.focal[0]
        goal_y = (places[:, 1] - self.centre[1]) / self.focal[1]
        x, y = goal_x.copy(), goal_y.copy()
        with np.errstate(all="ignore"):  # places beyond the fold run away and become NaN below
            for _ in range(_ROUNDS):
                far_x, far_y = self.distorted(x, y)
                xx, xy, yy = self.slopes(x, y)
                determinant = xx * yy - xy * xy
                off_x, off_y = goal_x - far_x, goal_y - far_y
                x = x + (yy * off_x - xy * off_y) / determinant
                y = y + (xx * off_y - xy * off_x) / determinant
                if np.nanmax(np.abs(np.concatenate([off_x, off_y]))) < _SETTLED:
                    break
            far_x, far_y = self.distorted(x, y)
            bad = ~(np.hypot(far_x - goal_x, far_y - goal_y) < 1e-9) | (x * x + y * y >= self.fold**2)
        x, y = np.where(bad, np.nan, x), np.where(bad, np.nan, y)
        return np.stack([x * self.focal[0] + self.centre[0], y * self.focal[1] + self.centre[1]], axis=1)

    def moved(self, x: float, y: float) -> Lens:
        """The same lens for a picture whose origin was moved to (``x``, ``y``) by cropping."""
        return replace(self, centre=(self.centre[0] - x, self.centre[1] - y))


@dataclass(frozen=True)
class LensEstimate:
    """A lens as estimated. ``uncertainty``: standard uncertainties of what was estimated, by name.

    ``rms`` and ``rms_before`` are the root mean square distances (pixels of the recording) of the marks from
    what straight lines, or a flat board, would give with and without the correction; ``freedom`` is the
    number of marked coordinates beyond what had to be found.
    """

    lens: Lens
    method: str
    uncertainty: dict[str, float]
    rms: float
    rms_before: float
    marks: int
    freedom: int

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "method": self.method,
            "parameters": self.lens.to_parameters(),
            "standard_uncertainty": dict(self.uncertainty),
            "rms_pixels": self.rms,
            "rms_before_pixels": self.rms_before,
            "marks": self.marks,
            "degrees_of_freedom": self.freedom,
        }
