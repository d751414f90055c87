"""The parameters of AV1's film grain (specification 6.8.20 and 7.18.3): whole numbers, as the bitstream holds them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from forensic.errors import UsageError

Points = tuple[tuple[int, int], ...]
Coefficients = tuple[int, ...]
MOST_LUMA_POINTS, MOST_CHROMA_POINTS = 14, 10
LARGEST_LAG = 3
_NAMES = ("Cb", "Cr")


def neighbours(lag: int) -> tuple[tuple[int, int], ...]:
    """(row, column) offsets of the samples that come before one in raster order, in the order of the bitstream."""
    return tuple(
        (row, column)
        for row in range(-lag, 1)
        for column in range(-lag, lag + 1)
        if row < 0 or column < 0
    )  # fmt: skip


@dataclass(frozen=True)
class GrainParameters:
    """One set of parameters.

    ``luma_points``, ``cb_points``, ``cr_points``: (level, scaling) pairs, both 0 to 255, levels rising; none: no grain
    in that plane. Grain is added as ``scaling(level) * template >> scaling_shift``, the template having a standard
    deviation of 32 before its filter, halved by each of ``grain_shift``. Coefficients are those of :func:`neighbours`
    (``lag``), divided by ``2 ** ar_shift``; those of colour end with that of the mean of the luma samples there.
    ``*_mult``, ``*_luma_mult``, ``*_offset`` say from what the level for colour is made, as in the bitstream; as they
    stand here, it is the mean of luma. ``chroma_from_luma``: colour takes the luma's points. ``overlap``: blocks of
    32 x 32 are blended. ``restricted``: the result is kept within nominal black and white.

    Raises ``UsageError`` (``grain.parameters``) for what the bitstream cannot hold.
    """

    luma_points: Points = ()
    cb_points: Points = ()
    cr_points: Points = ()
    scaling_shift: int = 11
    lag: int = 0
    luma_coefficients: Coefficients = ()
    cb_coefficients: Coefficients = (0,)
    cr_coefficients: Coefficients = (0,)
    ar_shift: int = 7
    grain_shift: int = 0
    chroma_from_luma: bool = False
    cb_mult: int = 128
    cb_luma_mult: int = 192
    cb_offset: int = 256
    cr_mult: int = 128
    cr_luma_mult: int = 192
    cr_offset: int = 256
    overlap: bool = True
    restricted: bool = False

    def __post_init__(self) -> None:
        _check_points("luma", self.luma_points, MOST_LUMA_POINTS)
        for name, points in zip(_NAMES, (self.cb_points, self.cr_points), strict=True):
            _check_points(name, points, MOST_CHROMA_POINTS)
            if points and self.chroma_from_luma:
                raise _wrong(f"{name} has points of its own and those of luma")
        _within("scaling shift", self.scaling_shift, 8, 11)
        _within("lag", self.lag, 0, LARGEST_LAG)
        _within("shift of the coefficients", self.ar_shift, 6, 9)
        _within("shift of the grain", self.grain_shift, 0, 3)
        for plane in ("cb", "cr"):
            _within(f"{plane}_mult", getattr(self, f"{plane}_mult"), 0, 255)
            _within(f"{plane}_luma_mult", getattr(self, f"{plane}_luma_mult"), 0, 255)
            _within(f"{plane}_offset", getattr(self, f"{plane}_offset"), 0, 511)
        count = len(neighbours(self.lag))
        expected = {"luma": count, "cb": count + 1, "cr": count + 1}
        for plane, number in expected.items():
            values = getattr(self, f"{plane}_coefficients")
            if len(values) != number:
                raise _wrong(f"{plane} has {len(values)} coefficients, lag {self.lag} has {number}")
            for value in values:
                _within(f"a coefficient of {plane}", value, -128, 127)

    @property
    def empty(self) -> bool:
        """Whether nothing is added to any plane."""
        return not (self.luma_points or self.cb_points or self.cr_points)

    def points_of(self, plane: int) -> Points:
        """Points that plane 0 (luma), 1 (Cb) or 2 (Cr) is scaled by."""
        if plane and self.chroma_from_luma:
            return self.luma_points
        return (self.luma_points, self.cb_points, self.cr_points)[plane]

    def coefficients_of(self, plane: int) -> Coefficients:
        """Coefficients of plane 0, 1 or 2."""
        return (self.luma_coefficients, self.cb_coefficients, self.cr_coefficients)[plane]

    def to_record(self) -> dict[str, Any]:
        """JSON-able: every number."""
        return {name: _listed(value) for name, value in asdict(self).items()}


def _listed(value: Any) -> Any:
    return [_listed(one) for one in value] if isinstance(value, tuple) else value


def _check_points(plane: str, points: Points, most: int) -> None:
    if len(points) > most:
        raise _wrong(f"{plane} has {len(points)} points, at most {most} are possible")
    for level, scaling in points:
        _within(f"a level of {plane}", level, 0, 255)
        _within(f"a scaling of {plane}", scaling, 0, 255)
    if any(later[0] <= earlier[0] for earlier, later in pairwise(points)):
        raise _wrong(f"the levels of {plane} must rise")


def _within(name: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(f"{name} is {value!r}, not a whole number from {low} to {high}")


def _wrong(problem: str) -> UsageError:
    return UsageError("grain.parameters", f"These are no parameters of film grain: {problem}.")
