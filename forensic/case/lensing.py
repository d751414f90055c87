"""Finding the distortion of an exhibit's lens: from marked straight things, or from a checkerboard that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from forensic.case.ending import record_end, why_ended
from forensic.case.execution import as_acquired, open_exhibit_file
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.progress import Progress
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, Interrupted, UsageError
from forensic.stages.lens import LensEstimate
from forensic.stages.lens_estimation import find_checkerboard, from_checkerboards, from_straight_lines

ESTIMATED, FAILED = "exhibit.lens-estimated", "exhibit.lens-failed"
_MOST_VIEWS = 20
Line = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class LensFound:
    """An estimate, and the number of the entry that holds it."""

    seq: int
    estimate: LensEstimate

    def recipe_lines(self) -> list[str]:
        """The stage ``undistort`` as it is written into a recipe file."""
        given = {name: _short(value) for name, value in self.estimate.lens.to_parameters().items()}
        inner = ", ".join(f"{name} = {json.dumps(value)}" for name, value in given.items() if value)
        estimate = self.estimate
        why = (
            f"Lens estimated from {estimate.method} ({estimate.marks} marks, ledger entry {self.seq}): "
            f"{estimate.rms_before:.2f} pixels off without, {estimate.rms:.2f} with the correction."
        )
        return ["[[stage]]", 'name = "undistort"', f"why = {json.dumps(why)}", f"parameters = {{ {inner} }}"]


def _short(value: Any) -> Any:
    return [round(one, 4) for one in value] if isinstance(value, list) else round(value, 8)


def lens_from_lines(
    workspace: Workspace, exhibit: Exhibit, lines: Sequence[Line], terms: int, centre: bool
) -> LensFound:
    """From places marked along straight things (:func:`~forensic.stages.lens_estimation.from_straight_lines`).

    ``exhibit.lens-estimated`` holds marks and estimate. Raises ``BadInput`` (``lens.marks``, ``lens.undetermined``) and
    ``VerificationFailed`` (``exhibit.changed``); each is recorded as ``exhibit.lens-failed``. ``UsageError``
    (``lens.marks``) for what is no number: nothing can be recorded of it.
    """
    if not all(isfinite(value) for line in lines for place in line for value in place):
        raise UsageError("lens.marks", "A marked place is not a pair of finite numbers.")
    asked = {"lines": [[list(place) for place in line] for line in lines], "terms": terms, "centre": centre}
    geometry = exhibit.geometry()

    def estimate() -> tuple[LensEstimate, dict[str, Any]]:
        for x, y in (place for line in lines for place in line):
            if not (-0.5 <= x <= geometry.width - 0.5 and -0.5 <= y <= geometry.height - 0.5):
                raise BadInput("lens.marks", f"The marked place ({x:g}, {y:g}) is not in the picture.")
        marks = [np.array(line, np.float64) for line in lines]
        return from_straight_lines(marks, geometry.width, geometry.height, terms=terms, centre=centre), {}

    return _recorded(workspace, exhibit, asked, estimate)


def lens_from_board(
    workspace: Workspace,
    exhibit: Exhibit,
    board: tuple[int, int],
    frames: tuple[int, int],
    terms: int,
    progress: Progress,
) -> LensFound:
    """From a checkerboard of ``board`` (columns, rows) inner corners in the frames ``frames`` (half-open).

    Up to 20 frames, evenly spaced, are looked at; which, and which of them showed the board, is on record with its
    corners. Raises and records as :func:`lens_from_lines`, and as ``SandboxedReader``.
    """
    looked_at: list[int] = []
    asked: dict[str, Any] = {"board": list(board), "frames": list(frames), "looked_at": looked_at, "terms": terms}
    geometry, chosen = exhibit.geometry(), _spaced(*frames)

    def estimate() -> tuple[LensEstimate, dict[str, Any]]:
        views: dict[int, np.ndarray] = {}
        with progress.task("Looking for the board", len(chosen), "frames") as task:
            for number, luma in _every(exhibit, chosen):
                task.advance()
                looked_at.append(number)
                corners = find_checkerboard(luma, *board)
                if corners is not None:
                    views[number] = corners
        progress.say(f"The board was found in {len(views)} frames")
        found = from_checkerboards(list(views.values()), *board, geometry.width, geometry.height, terms=terms)
        seen = {str(number): np.round(corners, 3).tolist() for number, corners in views.items()}
        return found, {"corners": seen}

    return _recorded(workspace, exhibit, asked, estimate)


def _recorded(workspace: Workspace, exhibit: Exhibit, asked: dict[str, Any], estimate: Any) -> LensFound:
    identity = {"case": exhibit.case, "exhibit": exhibit.id}
    try:
        check_untouched(workspace, exhibit)
        found, extra = estimate()
        entry = workspace.ledger.append(ESTIMATED, {**asked, **extra, "lens": found.to_record()}, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        record_end(workspace.ledger, FAILED, {**asked, "code": code, "reason": reason}, error, **identity)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("lens.cancelled", "The estimation was cancelled; that is on the record.") from None
        raise
    return LensFound(entry.seq, found)


def _spaced(first: int, stop: int) -> list[int]:
    """The middles of up to 20 equal parts of the frames from ``first`` to ``stop`` - 1."""
    count = min(stop - first, _MOST_VIEWS)
    return [first + (2 * part + 1) * (stop - first) // (2 * count) for part in range(count)]


def _every(exhibit: Exhibit, wanted: Sequence[int]) -> Iterator[tuple[int, np.ndarray]]:
    with open_exhibit_file(exhibit) as reader:
        for frame in as_acquired(exhibit, exhibit.manifest(), reader.frames()):
            if frame.timing.index > wanted[-1]:
                return
            if frame.timing.index in wanted:
                yield frame.timing.index, frame.to_working().luma
