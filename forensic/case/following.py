"""``--roi X,Y,W,H@FRAME --track``: something marked in one frame is followed, and the recipe made to follow it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from forensic.case.ending import record_end, why_ended
from forensic.case.execution import as_acquired, open_exhibit_file
from forensic.case.exhibits import Exhibit, check_untouched
from forensic.case.progress import Progress
from forensic.case.workspace import Workspace
from forensic.errors import BadInput, Interrupted, UsageError
from forensic.frames.frame import CodedFrame
from forensic.fusion.tracking import Region, Track, joined, track_region
from forensic.stages.objectlock import locked
from forensic.stages.recipe import Recipe

TRACKED, FAILED = "exhibit.region-tracked", "exhibit.tracking-failed"
CONTEXT = 16  # frames on either side of those that are made: what stages with neighbours may look at
_MOST_HELD = 1 << 30  # bytes of frames before the marked one, which are followed backwards


@dataclass(frozen=True)
class Tracked:
    """Where the region was found, and the number of the entry that holds it."""

    seq: int
    track: Track

    def recipe(self, base: Recipe) -> Recipe:
        """``base`` behind a crop that follows the region; fusion is given how it turns and grows."""
        source = f"{base.source}, following the track of entry {self.seq}"
        return locked(base, self.track, source)


def follow_region(
    workspace: Workspace,
    exhibit: Exhibit,
    region: tuple[int, int, int, int],
    at: int,
    frames: tuple[int, int],
    progress: Progress,
) -> Tracked:
    """Follow ``region`` (x, y, width, height in pixels) of frame ``at`` through the frames ``frames`` (half-open) and
    16 beyond on either side; ``exhibit.region-tracked`` holds every position.

    Raises ``UsageError`` (``track.range``), ``BadInput`` (``track.region``, ``track.lost``), ``VerificationFailed``
    (``exhibit.changed``, ``exhibit.decodes-differently``) and as ``SandboxedReader``; each is recorded as
    ``exhibit.tracking-failed``.
    """
    identity = {"case": exhibit.case, "exhibit": exhibit.id}
    asked: dict[str, Any] = {"region": list(region), "frame": at, "frames": list(frames)}
    try:
        check_untouched(workspace, exhibit)
        track = _follow(exhibit, Region(*region), at, frames, progress)
        entry = workspace.ledger.append(TRACKED, {**asked, "track": track.to_record()}, **identity)
    except BaseException as error:
        code, reason = why_ended(error)
        record_end(workspace.ledger, FAILED, {**asked, "code": code, "reason": reason}, error, **identity)
        if isinstance(error, KeyboardInterrupt):
            raise Interrupted("track.cancelled", "Tracking was cancelled; that is on the record.") from None
        raise
    lost = f", lost in {len(track.lost)}" if track.lost else ""
    progress.say(f"The region was found in {len(track.sights)} frames{lost}: check the positions")
    return Tracked(entry.seq, track)


def _follow(exhibit: Exhibit, region: Region, at: int, frames: tuple[int, int], progress: Progress) -> Track:
    first, stop = max(0, frames[0] - CONTEXT), min(exhibit.frame_count, frames[1] + CONTEXT)
    if not first <= at < stop:
        raise UsageError(
            "track.range",
            f"The region is marked in frame {at}, which is not among the frames {frames[0]}:{frames[1]} or near them.",
            "Mark it in a frame of the range.",
        )
    geometry = exhibit.geometry()
    if (at - first) * geometry.width * geometry.height * geometry.layout.dtype.itemsize > _MOST_HELD:
        raise UsageError(
            "track.range",
            f"There are {at - first} frames before the marked one, too many to follow backwards.",
            "Mark the region nearer to the beginning of the range, or choose a shorter range.",
        )
    before: list[CodedFrame] = []
    with (
        open_exhibit_file(exhibit) as reader,
        progress.task("Tracking", stop, "frames") as task,
    ):
        source = as_acquired(exhibit, exhibit.manifest(), reader.frames())

        def onwards() -> Iterator[CodedFrame]:
            for frame in source:
                if frame.timing.index >= stop:
                    return
                task.advance()
                if first <= frame.timing.index <= at:
                    before.append(frame)
                if frame.timing.index >= at:
                    yield frame

        forwards = track_region(map(_luma, onwards()), region)
        backwards = track_region(map(_luma, reversed(before)), region)
    track = joined(backwards, forwards)
    found = {sight.frame for sight in track.sights}
    if not any(frame in found for frame in range(*frames)):
        raise BadInput("track.lost", "The region was not found in any frame of the range.")
    return track


def _luma(frame: CodedFrame) -> tuple[int, Any]:
    return frame.timing.index, frame.to_working().luma
