"""The child's part in encoding sound anew: the first audio track, decoded, as plain samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import av.error
import numpy as np
from av.audio.resampler import AudioResampler

from forensic.media.libav import ExhibitFile, messages, open_exhibit
from forensic.media.pixels import plane_bytes
from forensic.media.sandbox.packets import Say

RATE = 48_000  # samples per second of what is sent
BLOCK = 8192  # samples in one message at most
_GAP = RATE // 50
LAYOUTS = {1: "mono", 2: "stereo"}


def send_sound(file: ExhibitFile, say: Say, begin: Callable[[], None]) -> None:
    """Send ``sound`` (number of tracks, channels), ``samples`` after ``samples`` (float32 planes), ``end``.

    ``begin`` is called before the first sample is decoded. Packets that cannot be decoded are counted. Raises
    ``BadInput`` as ``open_exhibit``.
    """
    container = open_exhibit(file)
    try:
        tracks = container.streams.audio
        channels = 0 if not tracks else 1 if tracks[0].codec_context.channels == 1 else 2
        say("sound", tracks=len(tracks), channels=channels)
        begin()
        lost = _send(container, LAYOUTS[channels], say) if tracks else 0
        say("end", lost=lost)
    finally:
        container.close()


def _send(container: Any, layout: str, say: Say) -> int:
    resampler = AudioResampler(format="fltp", layout=layout, rate=RATE)
    lost = 0
    at: int | None = None

    def decoded() -> Iterator[Any]:
        nonlocal lost
        for packet in container.demux(audio=0):
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                lost += 1

    with messages():
        for frame in chain(decoded(), (None,)):  # None: what the resampler still holds
            for whole in resampler.resample(frame):
                samples = whole.to_ndarray()
                stated = at if whole.pts is None else whole.pts
                # Containers round times (Matroska to milliseconds): samples follow each other up to a real gap.
                if at is None or (stated is not None and stated - at > _GAP):
                    at = stated or 0
                for start in range(0, samples.shape[1], BLOCK):
                    block = np.ascontiguousarray(samples[:, start : start + BLOCK])
                    say("samples", (plane_bytes(block),), at=at + start)
                at += samples.shape[1]
    return lost
