"""The parent's side of :mod:`forensic.media.sandbox.sound`: plain samples, every number checked."""

from __future__ import annotations

from collections.abc import Iterator
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from forensic.media.pixels import plane_bytes
from forensic.media.sandbox.facts import whole
from forensic.media.sandbox.framing import Breach, fill
from forensic.media.sandbox.process import DECODER, DecoderProcess, Limits
from forensic.media.sandbox.sound import BLOCK, LAYOUTS, RATE

LONGEST_S = 7 * 24 * 3600
_AHEAD = 64  # messages


class SandboxedSound:
    """Context manager over the first audio track of a file, decoded in a confined process.

    ``tracks``: number of audio tracks, ``channels``: 1 or 2 (0 without a track), ``lost``: packets that could not
    be decoded, known at the end. Raises ``BadInput`` as :class:`~forensic.media.sandbox.reader.SandboxedReader`.
    """

    def __init__(self, path: Path, *, limits: Limits | None = None, module: str = DECODER) -> None:
        self._process = DecoderProcess(path, "sound", limits=limits, take=self._take, module=module)
        self.tracks = self.channels = self.lost = 0

    def __enter__(self) -> SandboxedSound:
        self._process.__enter__()
        try:
            header, _ = self._process.expect("sound")
            try:
                self.tracks, self.channels = whole(header.get("tracks"), 0), whole(header.get("channels"), 0)
                if (self.channels not in LAYOUTS) is bool(self.tracks):
                    raise Breach("sound of no form")
            except Breach as error:
                raise self._process.breach(error) from error
            self._process.go_on(_AHEAD)
        except BaseException:
            self._process.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.close()

    @property
    def layout(self) -> str:
        """``mono`` or ``stereo``."""
        return LAYOUTS[self.channels]

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """Number of the first sample (48 000 a second, from the file's time 0) and float32 [channels, samples]."""
        while True:
            header, samples = self._process.expect("samples", "end")
            try:
                if header["kind"] == "end":
                    self.lost = whole(header.get("lost"), 0)
                    return
                at = whole(header.get("at"))
                if samples is None or abs(at) > LONGEST_S * RATE:
                    raise Breach("sound beyond any recording")
            except Breach as error:
                raise self._process.breach(error) from error
            yield at, samples

    def _take(self, header: dict[str, Any], length: int, pipe: RawIOBase) -> np.ndarray:
        """On the listening thread: one block."""
        each = 4 * self.channels
        if header["kind"] != "samples" or not each or length % each or length > each * BLOCK:
            raise Breach("a payload where none belongs")
        samples = np.empty((self.channels, length // each), np.float32)
        fill(pipe, plane_bytes(samples))
        return samples
