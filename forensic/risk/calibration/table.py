"""A recording's counts and measures as a row of a table, and back: what a calibration can be computed from again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from forensic.risk.calibration.criteria import THRESHOLDS, TOLERANCES, Count
from forensic.risk.calibration.domain import MEASURES
from forensic.risk.calibration.strata import Recording

#: The measure that only pictures of several frames have: a column where there are any.
FRAMES = "frames"
#: Columns of a table for one recording; the counts at all thresholds stand in one cell, strict to lax.
FIELDS = (
    *(name for name in MEASURES if name != FRAMES), "pixels", "low", "edge_low",
    *(f"{what}_{tolerance}" for tolerance in TOLERANCES for what in ("wrong", "largest", "edge_wrong")),
)  # fmt: skip


def row_of(found: Sequence[Count], measures: Mapping[str, float | None]) -> dict[str, str]:
    """Counts and measures of one recording as cells of a table."""
    cells: dict[str, object] = {
        "pixels": found[0].pixels,
        "low": " ".join(str(count.low) for count in found),
        "edge_low": " ".join(str(count.edge_low) for count in found),
    }
    for place, tolerance in enumerate(TOLERANCES):
        for what in ("wrong", "largest", "edge_wrong"):
            cells[f"{what}_{tolerance}"] = " ".join(str(getattr(count, what)[place]) for count in found)
    told = {name: "" if (value := measures[name]) is None else value for name in MEASURES}
    if measures[FRAMES] is None:
        del told[FRAMES]
    return {name: str(value) for name, value in (told | cells).items()}


def recording_of(row: Mapping[str, str]) -> Recording:
    """A row of the table as :func:`forensic.risk.calibration.fitting.fit` takes it.

    Raises ``ValueError`` where a cell does not hold what it should.
    """
    if int(row["pixels"]) < 1:
        raise ValueError("a recording has no pixels")

    def by_threshold(name: str) -> dict[float, int]:
        return dict(zip(THRESHOLDS, map(int, row[name].split()), strict=True))

    return Recording(
        pixels=int(row["pixels"]),
        low=by_threshold("low"),
        edge_low=by_threshold("edge_low"),
        wrong={one: by_threshold(f"wrong_{one}") for one in TOLERANCES},
        edge_wrong={one: by_threshold(f"edge_wrong_{one}") for one in TOLERANCES},
        largest={one: by_threshold(f"largest_{one}") for one in TOLERANCES},
        measures={name: float(row[name]) if row.get(name) else None for name in MEASURES},
    )
