"""Distance between two marked points of a plane, with its uncertainty: pure functions, no pictures.

Model: four marked corners of a rectangle of known size fix the map H from the recording to the plane; two
marked points a and b are carried over; the distance is |H(b) - H(a)|. With a reference length marked in
the same plane it is that length times |H(b) - H(a)| / |H(s) - H(r)|, and the rectangle gives only its shape.

Inputs, taken as independent: both coordinates of every mark, each with the standard uncertainty of marking,
the rectangle's width and height, and the reference length. Their uncertainty is carried to the distance in
two ways: to first order (JCGM 100:2008, the GUM, 5.1.2) and by a Monte Carlo calculation with normal
distributions (JCGM 101:2008). The interval that is stated is that of the Monte Carlo calculation; the
record has both and says whether they agree by the criterion of JCGM 101, clause 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from forensic.stages.homography import homography, mapped_points

Points = tuple[tuple[float, float], ...]

TRIALS = 20_000
_COVERAGE = 0.95
_FACTOR = 1.959964  # normal distribution, 95 %
_STEP = 1e-3  # of an input's uncertainty, for differences
_SEED = 20260101


@dataclass(frozen=True)
class Marking:
    """What was marked (pixels of the recording) and what is known (any one unit of length).

    ``corners``: top left, top right, bottom right, bottom left of the rectangle; ``size``: its (width, height);
    ``points``: the two ends. ``reference``: two points, or empty; ``reference_length``: their distance. The
    ``*_u`` are standard uncertainties: of each coordinate of the corners, of the points and of the
    reference's ends (pixels), of either side of the rectangle and of the reference length.
    """

    corners: Points
    size: tuple[float, float]
    points: Points
    corners_u: float
    points_u: float
    size_u: float
    reference: Points = ()
    reference_length: float = 0.0
    reference_length_u: float = 0.0


@dataclass(frozen=True)
class Distance:
    """A distance in the unit of the rectangle's size.

    ``low`` to ``high`` is the 95 % interval; ``u`` the standard uncertainty of the Monte Carlo calculation,
    ``u_linear`` that to first order; ``shares`` the part of the first-order variance due to each kind of
    input; ``linear_agrees`` whether the ends of both intervals agree to one significant digit of the uncertainty
    (JCGM 101, clause 8); ``usable`` is the share of trials whose marks made a rectangle at all.
    """

    value: float
    u: float
    low: float
    high: float
    u_linear: float
    linear_agrees: bool
    shares: dict[str, float]
    usable: float

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts, numbers to six digits."""
        linear = _FACTOR * self.u_linear
        return {
            "value": _six(self.value),
            "standard_uncertainty": _six(self.u),
            "interval_95": [_six(self.low), _six(self.high)],
            "standard_uncertainty_first_order": _six(self.u_linear),
            "interval_95_first_order": [_six(self.value - linear), _six(self.value + linear)],
            "first_order_agrees": self.linear_agrees,
            "share_of_variance": {kind: round(share, 4) for kind, share in self.shares.items()},
            "trials": TRIALS,
            "usable_trials": self.usable,
        }


def _six(number: float) -> float:
    return float(f"{number:.6g}")


def _inputs(marking: Marking) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Values, standard uncertainties and kinds of all inputs, in the order that :func:`_distance` reads them."""
    groups = [
        ("marking of the corners", np.ravel(marking.corners), marking.corners_u),
        ("marking of the points", np.ravel(marking.points), marking.points_u),
        ("size of the rectangle", np.array(marking.size), marking.size_u),
    ]
    if marking.reference:
        groups += [
            ("marking of the reference", np.ravel(marking.reference), marking.points_u),
            ("length of the reference", np.array([marking.reference_length]), marking.reference_length_u),
        ]
    values = np.concatenate([np.asarray(part, np.float64) for _, part, _ in groups])
    uncertainties = np.concatenate([np.full(np.size(part), u) for _, part, u in groups])
    return values, uncertainties, [kind for kind, part, _ in groups for _ in range(np.size(part))]


def _distance(inputs: np.ndarray) -> np.ndarray:
    """Distances for rows of inputs, (N, 14) or with a reference (N, 19)."""
    corners, points, size = inputs[:, :8].reshape(-1, 4, 2), inputs[:, 8:12].reshape(-1, 2, 2), inputs[:, 12:14]
    plane = np.zeros_like(corners)
    plane[:, 1:3, 0] = size[:, :1]
    plane[:, 2:4, 1] = size[:, 1:]
    matrix = homography(corners, plane)
    length = _length(mapped_points(matrix, points))
    if inputs.shape[1] == 14:
        return length
    reference = _length(mapped_points(matrix, inputs[:, 14:18].reshape(-1, 2, 2)))
    return np.asarray(inputs[:, 18] * length / reference)


def _length(pair: np.ndarray) -> np.ndarray:
    return np.asarray(np.hypot(pair[:, 1, 0] - pair[:, 0, 0], pair[:, 1, 1] - pair[:, 0, 1]))


def _sound(inputs: np.ndarray) -> np.ndarray:
    """Which rows have convex clockwise corners, points on the near side of the horizon, and positive sizes."""
    corners = inputs[:, :8].reshape(-1, 4, 2)
    sides = np.roll(corners, -1, axis=1) - corners
    following = np.roll(sides, -1, axis=1)
    convex = ((sides[..., 0] * following[..., 1] - sides[..., 1] * following[..., 0]) > 0).all(axis=1)
    sound = convex & (inputs[:, 12:14] > 0).all(axis=1)
    if inputs.shape[1] > 14:
        sound &= inputs[:, 18] > 0
    return np.asarray(sound)


def beyond_horizon(marking: Marking) -> bool:
    """Whether a point or an end of the reference lies beyond the horizon of the plane that the corners mark."""
    plane = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    matrix = homography(np.array(marking.corners, np.float64), plane)
    depth = (np.array([*marking.corners, *marking.points, *marking.reference]) @ matrix[2, :2]) + matrix[2, 2]
    return bool((depth * np.sign(depth[0]) <= 1e-3 * np.abs(depth[:4]).max()).any())


@lru_cache(maxsize=64)
def measure_distance(marking: Marking) -> Distance:
    """The distance with its uncertainty. Deterministic: the trials use one fixed seed.

    ``marking`` must have sound corners (``homography.quadrilateral_fault``) and points this side of the
    horizon (:func:`beyond_horizon`).
    """
    values, uncertainties, kinds = _inputs(marking)
    value = float(_distance(values[None])[0])
    steps = np.where(uncertainties > 0, _STEP * uncertainties, 1.0)
    moved = np.diag(steps)
    slopes = (_distance(values + moved) - _distance(values - moved)) / (2 * steps)
    parts = (slopes * uncertainties) ** 2
    u_linear = float(np.sqrt(parts.sum()))
    generator = np.random.Generator(np.random.PCG64(_SEED))
    trials = values + uncertainties * generator.standard_normal((TRIALS, values.size))
    trials = trials[_sound(trials)]
    results = np.sort(_distance(trials))
    if not u_linear or results.size < 2:
        low = high = value
        u = 0.0
    else:
        low, high = (float(bound) for bound in np.quantile(results, [(1 - _COVERAGE) / 2, (1 + _COVERAGE) / 2]))
        u = float(results.std(ddof=1))
    tolerance = 0.5 * 10.0 ** np.floor(np.log10(u)) if u > 0 else 0.0
    agrees = bool(
        abs(value - _FACTOR * u_linear - low) <= tolerance and abs(value + _FACTOR * u_linear - high) <= tolerance
    )
    total = float(parts.sum())
    shares = {
        kind: float(sum(part for part, of in zip(parts, kinds, strict=True) if of == kind) / total) if total else 0.0
        for kind in dict.fromkeys(kinds)
    }
    return Distance(value, u, low, high, u_linear, agrees, shares, trials.shape[0] / TRIALS)
