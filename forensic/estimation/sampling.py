"""Which frames are looked at: groups of consecutive frames, evenly spaced, chosen in one pass with bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from forensic.errors import UsageError
from forensic.frames.frame import CodedFrame
from forensic.media.quantisers import FrameCoding

GROUP = 3
"""Consecutive frames in a group: what field order and temporal noise need."""
_MEMORY = 256 << 20


@dataclass(frozen=True)
class Observation:
    """One frame as the estimators see it.

    ``luma``: (rows, columns) in 8-bit grey levels, uint8 or float32. ``depth``: bits of a sample in the exhibit.
    """

    index: int
    luma: np.ndarray
    depth: int = 8
    coding: FrameCoding | None = None

    @property
    def levels(self) -> np.ndarray:
        """``luma`` as float32."""
        return self.luma.astype(np.float32, copy=False)


class CodedReader(Protocol):
    """``ExhibitReader`` or ``SandboxedReader``, opened with ``coding=True``."""

    @property
    def coding(self) -> FrameCoding | None:
        """How the frame given out last was coded."""

    def frames(self) -> Iterator[CodedFrame]:
        """Every frame."""


def observations_of(reader: CodedReader) -> Iterator[Observation]:
    """Every frame of ``reader`` together with how it was coded."""
    for frame in reader.frames():
        yield _from_frame(frame, reader.coding)


def observe(frames: Iterable[Observation | CodedFrame | np.ndarray]) -> Iterator[Observation]:
    """The same for frames of any of these forms; an array is a luma plane in 8-bit grey levels.

    Raises ``UsageError`` (``estimation.frames``) for anything else, or if the size changes.
    """
    shape: tuple[int, ...] | None = None
    for index, frame in enumerate(frames):
        if isinstance(frame, CodedFrame):
            one = _from_frame(frame, None)
        elif isinstance(frame, Observation):
            one = frame
        elif isinstance(frame, np.ndarray) and frame.ndim == 2:
            one = Observation(index, frame if frame.dtype == np.uint8 else frame.astype(np.float32, copy=False))
        else:
            raise UsageError("estimation.frames", f"Frame {index} is not a picture that can be looked at.")
        if shape is not None and one.luma.shape != shape:
            raise UsageError("estimation.frames", f"Frame {index} is of another size than those before it.")
        shape = one.luma.shape
        yield one


def _from_frame(frame: CodedFrame, coding: FrameCoding | None) -> Observation:
    layout = frame.geometry.layout
    if layout.family != "rgb" and layout.bits == 8:
        return Observation(frame.timing.index, frame.planes[0], 8, coding)
    return Observation(frame.timing.index, frame.to_working().luma, layout.bits, coding)


Group = tuple[Observation, ...]


class GroupSampler:
    """Keeps at most ``limit`` frames in groups of :data:`GROUP`, evenly spaced over all that are offered.

    Groups begin at multiples of a stride. Where more groups come than there is room for, every second one is
    dropped and the stride doubled: the choice depends on the number of frames alone, and between half and
    all of the room is used. ``expected`` frames (a container's claim) only sets the stride to begin with,
    and never so wide that fewer than eight times ``limit`` frames would give less than two groups.
    """

    def __init__(self, limit: int, expected: int | None = None) -> None:
        if limit < GROUP:
            raise UsageError("estimation.limit", f"At least {GROUP} frames must be looked at, not {limit}.")
        self._most = limit // GROUP
        self._expected = min(expected or 0, 4 * limit * self._most)
        self.stride = 0
        self.offered = 0
        self._current: list[Observation] = []
        self._groups: list[Group] = []

    def offer(self, one: Observation) -> None:
        """Take ``one`` if it belongs to a group. Frames come in order."""
        if not self.stride:
            room = _MEMORY // max(1, one.luma.nbytes * GROUP)
            self._most = max(2, min(self._most, room))
            self.stride = max(GROUP, -(-self._expected // self._most))
        place = self.offered % self.stride
        self.offered += 1
        if place < GROUP:
            self._current = [*self._current, one] if place else [one]
            if len(self._current) == GROUP:
                self._groups.append(tuple(self._current))
                self._current = []
        if len(self._groups) > self._most:
            self._groups = self._groups[::2]
            self.stride *= 2
            self._current = []

    @property
    def groups(self) -> list[Group]:
        """The groups chosen; of a recording shorter than a group, what there is."""
        if not self._groups and self._current:
            return [tuple(self._current)]
        return list(self._groups)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        return {
            "rule": f"groups of {GROUP} consecutive frames, one every {self.stride} frames, from the first on",
            "frames_seen": self.offered,
            "stride": self.stride,
            "frames_used": [one.index for group in self.groups for one in group],
        }
