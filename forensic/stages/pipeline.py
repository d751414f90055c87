"""Runs stages over a clip: frames in parallel, results in order, the same bytes for any ``workers``.

Consecutive stages that need one frame only are fused into one task. Each task is a pure function
of its input frames, every library below runs one thread, and nothing is summed across tasks: so
the number of workers and their timing cannot show in a pixel. A stage that needs neighbours gets
fewer at the ends of the clip; frames are never invented.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from forensic.errors import InternalError, UsageError
from forensic.frames.frame import CodedFrame, Geometry, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages.comparison import chains_for_recorded, recorded_through
from forensic.stages.order import check_order, check_places
from forensic.stages.stage import Stage
from forensic.stages.standin import WHITE, standing_in

AnyStage = Stage[Any]
Notes = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class PlannedStage:
    """A stage with the geometry that it will see and make, known before a pixel is touched."""

    position: int
    stage: AnyStage
    source: Geometry
    result: Geometry
    scale: float


@dataclass(frozen=True)
class PipelineOutput:
    """One enhanced frame with the decoded frame that it shows.

    ``notes`` are what stages measured while making it, each with the stage's position and name.
    For tapped frames ``window`` holds the decoded frames that took part and ``at`` the place of
    ``source`` among them, so that ``process_window`` can be run on variations; else it is None.
    ``written``: the frame is taken from what the same run wrote before it was broken off.
    """

    frame: CodedFrame
    source: CodedFrame
    notes: Notes = ()
    window: tuple[CodedFrame, ...] | None = None
    at: int = 0
    written: bool = False


@dataclass(frozen=True)
class _Made:
    frame: WorkingFrame | CodedFrame
    notes: Notes


@dataclass(frozen=True)
class _Segment:
    """Stages run in one task: at most the first looks at neighbours. ``reach`` is what later ones need.

    ``recorded``: for stages that show the recorded picture too, by position, what it goes through for them.
    """

    stages: tuple[tuple[int, AnyStage], ...]
    radius: int
    reach: int
    recorded: dict[int, tuple[AnyStage, ...]]


class Pipeline:
    """An ordered chain of stages."""

    def __init__(self, stages: Iterable[AnyStage], *, recorded: bool = False) -> None:
        """Raises ``BadInput`` (``recipe.order``, ``stage.grid``) as :func:`check_order` does.

        ``recorded``: they are the stages of a run that was made, or some of them.
        """
        self.stages = tuple(stages)
        self.recorded = recorded
        self._recorded = chains_for_recorded(self.stages)
        check_order(self.stages, recorded=recorded)

    # --- what it declares -------------------------------------------------------------------

    def plan(self, geometry: Geometry) -> tuple[PlannedStage, ...]:
        """Every stage with the geometry before and after it. Raises ``BadInput`` where one cannot work."""
        planned = []
        for position, stage in enumerate(self.stages, start=1):
            result = stage.output_geometry(geometry)
            planned.append(PlannedStage(position, stage, geometry, result, stage.scale_for(geometry)))
            geometry = result
        check_places([(each.stage, each.source) for each in planned])
        return tuple(planned)

    def output_geometry(self, geometry: Geometry) -> Geometry:
        """Geometry of the result."""
        for stage in self.stages:
            geometry = stage.output_geometry(geometry)
        return geometry

    @property
    def radius(self) -> int:
        """Frames of the exhibit on either side that can influence a frame: the sum over all stages."""
        return sum(stage.radius for stage in self.stages)

    @property
    def effective_class(self) -> StageClass:
        """The class that the output of an unaltered exhibit will have: the maximum over all stages."""
        return max((stage.effective_class for stage in self.stages), default=StageClass.PRESENTATION)

    def reference(self) -> Pipeline:
        """The chain that the risk map's reference picture goes through (``Stage.in_reference_chain``)."""
        kept = (stage for stage in self.stages if stage.in_reference_chain)
        return Pipeline(kept, recorded=self.recorded)

    def reference_picture(self, source: WorkingFrame, notes: Notes) -> WorkingFrame:
        """The picture that the risk map compares with: ``source``, the decoded frame, through :meth:`reference`.

        What stages with a window measured (a movement, a gain) is taken from ``notes``, those of the enhanced
        frame: both pictures are then moved and lit alike, to the bit, whatever else was done to the enhanced one.
        """
        by_position = {note["position"]: note for note in notes}
        picture = source
        for position, stage in enumerate(self.stages, start=1):
            if stage.in_reference_chain:
                recorded = recorded_through(self._recorded.get(position), source)
                picture = stage.repeat(picture, by_position.get(position, {}), recorded)
        return picture

    def shows_recording(self, source: WorkingFrame, notes: Notes) -> np.ndarray:
        """Boolean (rows, columns) of :meth:`reference_picture`: False where a stage had no recording to show.

        A white picture is sent through the geometric stages of the chain: they give a darker value to what
        lies outside. A pixel interpolated in part from outside counts as outside.
        """
        actual = source.geometry
        plane = np.full(actual.plane_shapes[0], WHITE, np.float32)
        by_position = {note["position"]: note for note in notes}
        for position, stage in enumerate(self.stages, start=1):
            if stage.in_reference_chain and stage.effective_class is StageClass.GEOMETRIC and not stage.shows_source:
                picture = standing_in(plane, actual.layout, source)
                plane = stage.repeat(picture, by_position.get(position, {})).planes[0]
            actual = stage.output_geometry(actual)
        return np.asarray(plane >= WHITE - 0.5)

    # --- one frame --------------------------------------------------------------------------

    def process_window(self, window: Sequence[WorkingFrame], at: int) -> WorkingFrame:
        """Run the whole chain for ``window[at]``, in this thread, without quantising.

        ``window`` must hold the neighbours up to ``radius`` on both sides as far as the clip has
        them; further ones are ignored. The result is what :meth:`run` makes of the same frames.
        """
        frames, first, reach = list(window), 0, self.radius
        for position, stage in enumerate(self.stages, start=1):
            reach -= stage.radius
            low, high = max(first, at - reach), min(first + len(frames), at + reach + 1)
            made = []
            for index in range(low, high):
                start = max(first, index - stage.radius)
                neighbours = frames[start - first : index + stage.radius + 1 - first]
                recorded = recorded_through(self._recorded.get(position), window[index])
                made.append(stage.process(neighbours, index - start, recorded))
            frames, first = made, low
        return frames[at - first]

    # --- a clip -----------------------------------------------------------------------------

    def run(
        self,
        frames: Iterable[CodedFrame],
        *,
        workers: int,
        keep: tuple[int, int] | None = None,
        tap: Collection[int] = (),
    ) -> Iterator[PipelineOutput]:
        """Enhanced frames in the order of ``frames``, which must be consecutive by ``timing.index``.

        ``keep`` is a half-open range of indices: frames outside are context only, so that the bytes
        of frame N do not depend on the range; reading stops when no more context is needed.
        ``tap`` names frames whose window is wanted. At most about ``2 * workers`` frames and the
        context are held. ``workers`` = 1 runs in this thread.

        Raises what a stage raises, after the pool has been stopped; ``UsageError``
        (``frames.range``, ``workers.count``); ``InternalError`` (``pipeline.order``).
        """
        if workers < 1:
            raise UsageError("workers.count", f"{workers} workers cannot do anything.", "Give at least 1.")
        if keep is not None and not 0 <= keep[0] < keep[1]:
            raise UsageError("frames.range", f"Frames {keep[0]}:{keep[1]} is not a range.", "Use A:B with A below B.")
        return self._run(frames, workers, keep, frozenset(tap))

    def _segments(self) -> list[_Segment]:
        groups: list[list[tuple[int, AnyStage]]] = [[]]
        for position, stage in enumerate(self.stages, start=1):
            if stage.radius:
                groups.append([])
            groups[-1].append((position, stage))
        radii = [group[0][1].radius if group else 0 for group in groups]
        return [
            _Segment(
                tuple(group),
                radii[number],
                sum(radii[number + 1 :]),
                {position: self._recorded[position] for position, _ in group if position in self._recorded},
            )
            for number, group in enumerate(groups)
        ]

    def _run(
        self, frames: Iterable[CodedFrame], workers: int, keep: tuple[int, int] | None, tap: frozenset[int]
    ) -> Iterator[PipelineOutput]:
        executor: Executor = ThreadPoolExecutor(workers, "stage") if workers > 1 else _Inline()
        schedule = _Schedule(self._segments(), executor, keep, workers, tap, self.radius)
        try:
            for frame in frames:
                if schedule.is_past(frame.timing.index):
                    break
                schedule.feed(frame)
                yield from schedule.finished(workers)
            schedule.end()
            yield from schedule.finished(0)
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


class _Inline(Executor):
    """Runs each task at once, in the caller's thread."""

    def submit(self, task: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(task(*args, **options))
        return future


def _make(
    segment: _Segment,
    neighbours: Sequence[CodedFrame | Future[_Made]],
    at: int,
    source: CodedFrame,
    *,
    last: bool,
) -> _Made:
    """Task: run ``segment`` for ``neighbours[at]``; in the first segment they are decoded frames.

    ``source`` is the decoded frame of the same index.
    """
    window: list[WorkingFrame] = []
    notes: Notes = ()
    for number, neighbour in enumerate(neighbours):
        if isinstance(neighbour, CodedFrame):
            window.append(neighbour.to_working())
        else:
            made = neighbour.result()
            assert isinstance(made.frame, WorkingFrame)  # noqa: S101 - only the last segment quantises
            window.append(made.frame)
            notes = made.notes if number == at else notes
    for position, stage in segment.stages:
        chain = segment.recorded.get(position)
        recorded = None if chain is None else recorded_through(chain, source.to_working())
        frame, note = stage.process_noted(window, at, recorded)
        window, at = [frame], 0
        if note:
            notes += ({"position": position, "stage": stage.name, **note},)
    return _Made(window[at].quantise() if last else window[at], notes)


class _Schedule:
    """Which task is next: tasks are queued in an order in which none waits for a later one.

    A task of segment j waits for the results of segment j - 1 that it needs. These were queued
    before it and the pool works through its queue in order, so that a waiting task always waits
    for one that runs or is done: no deadlock, whatever the number of workers.
    """

    def __init__(
        self,
        segments: list[_Segment],
        executor: Executor,
        keep: tuple[int, int] | None,
        workers: int,
        tap: frozenset[int],
        radius: int,
    ) -> None:
        self._segments, self._executor, self._keep = segments, executor, keep
        self._lag = workers - 1  # queue a windowed task late enough that its inputs are likely done
        self._tap, self._radius = tap, radius
        self._made: list[dict[int, Future[_Made]]] = [{} for _ in segments]
        self._next: list[int] = [0] * len(segments)  # next index to queue, per segment
        self._sources: deque[CodedFrame] = deque()
        self._first = -1  # index of the first frame of the clip
        self._stop = 0  # one past the last frame seen
        self._ended = False
        self._turn = 0  # index of the next frame to hand out

    def is_past(self, index: int) -> bool:
        """Whether frame ``index`` and those after it can no longer influence a kept frame."""
        return self._keep is not None and index >= self._keep[1] + self._radius

    def feed(self, frame: CodedFrame) -> None:
        """Take the next decoded frame and queue what has become possible."""
        index = frame.timing.index
        if self._first < 0:
            self._first = self._stop = index
            for number, segment in enumerate(self._segments):
                self._next[number] = self._low(segment)
            self._turn = self._low(self._segments[-1])
        if index != self._stop:
            raise InternalError("pipeline.order", f"Frame {index} came where frame {self._stop} was due.")
        self._stop = index + 1
        if index >= self._low(self._segments[0]):
            self._sources.append(frame)
            self._queue()

    def end(self) -> None:
        """No more frames come: windows that reach beyond the last one are truncated."""
        self._ended = True
        if self._first >= 0:
            self._queue()

    def finished(self, waiting: int) -> Iterator[PipelineOutput]:
        """Hand out frames in order, as long as more than ``waiting`` are in the works."""
        last = self._made[-1]
        while len(last) > waiting:
            made = last.pop(self._turn).result()
            assert isinstance(made.frame, CodedFrame)  # noqa: S101 - the last segment quantises
            offset = self._turn - self._sources[0].timing.index
            source = self._sources[offset]
            window, at = None, 0
            if self._turn in self._tap:
                start = max(0, offset - self._radius)
                window = tuple(self._sources)[start : offset + self._radius + 1]
                at = offset - start
            self._turn += 1
            while self._sources and self._sources[0].timing.index < self._turn - self._radius:
                self._sources.popleft()
            yield PipelineOutput(made.frame, source, made.notes, window, at)

    def _low(self, segment: _Segment) -> int:
        return self._first if self._keep is None else max(self._first, self._keep[0] - segment.reach)

    def _high(self, segment: _Segment) -> int:
        return self._stop if self._keep is None else min(self._stop, self._keep[1] + segment.reach)

    def _queue(self) -> None:
        for number, segment in enumerate(self._segments):
            ahead = 0 if self._ended or number == 0 else segment.radius + self._lag
            available = self._stop if number == 0 else self._next[number - 1]
            while self._next[number] < min(self._high(segment), available - ahead):
                self._submit(number, segment, self._next[number])
                self._next[number] += 1

    def _submit(self, number: int, segment: _Segment, index: int) -> None:
        task: tuple[Sequence[CodedFrame | Future[_Made]], int]
        source = self._sources[index - self._sources[0].timing.index]
        if number == 0:
            task = ([source], 0)
        else:
            earlier = self._made[number - 1]
            low = max(index - segment.radius, self._low(self._segments[number - 1]))
            high = min(index + segment.radius + 1, self._next[number - 1])
            task = ([earlier[neighbour] for neighbour in range(low, high)], index - low)
            earlier.pop(index - segment.radius, None)  # no later window reaches back to it
        last = number == len(self._segments) - 1
        self._made[number][index] = self._executor.submit(_make, segment, *task, source, last=last)
