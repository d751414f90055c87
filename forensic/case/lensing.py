"""Finding the distortion of an exhibit's lens: from marked straight things, or from a checkerboard that it shows."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.case.ending import record_end, why_ended
from forensic.case.execution import as_acquired, open_exhibit_file
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.progress import Progress
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, Interrupted
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
    ``VerificationFailed`` (``exhibit.changed``); each is recorded as ``exhibit.lens-failed``.
    """
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

    Up to 20 frames, evenly spaced, are looked at; which of them showed the board is on record with its corners. Raises
    and records as :func:`lens_from_lines`, and as ``SandboxedReader``.
    """
    asked: dict[str, Any] = {"board": list(board), "frames": list(frames), "terms": terms}
    geometry = exhibit.geometry()
    stride = max(1, (frames[1] - frames[0]) // _MOST_VIEWS)

    def estimate() -> tuple[LensEstimate, dict[str, Any]]:
        views: dict[int, np.ndarray] = {}
        with progress.task("Looking for the board", frames[1], "frames") as task:
            for number, luma in _every(exhibit, range(*frames, stride)):
                task.advance()
                corners = find_checkerboard(luma, *board)
                if corners is not None and len(views) < _MOST_VIEWS:
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


def _every(exhibit: Exhibit, wanted: range) -> Iterator[tuple[int, np.ndarray]]:
    with open_exhibit_file(exhibit) as reader:
        for frame in as_acquired(exhibit, exhibit.manifest(), reader.frames()):
            if frame.timing.index >= wanted.stop:
                return
            if frame.timing.index in wanted:
                yield frame.timing.index, frame.to_working().luma
