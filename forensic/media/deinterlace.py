"""Deinterlacing by FFmpeg's bwdif filter (Bob Weaver, motion-adaptive; after BBC R&D's w3fdif and yadif)."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av.filter
import numpy as np
from av.video.frame import VideoFrame

from forensic.errors import InternalError
from forensic.frames.frame import Planes, WorkingFrame
from forensic.media.pixels import plane_rows

_UNIT = np.float32(256.0)  # codes of the 16-bit intermediate per grey level
_TICK = Fraction(1, 25)
PARITIES = {"top": "tff", "bottom": "bff"}


def bwdif(previous: WorkingFrame, current: WorkingFrame, following: WorkingFrame, parity: str) -> Planes:
    """Deinterlaced planes of ``current`` (float32, grey levels): one picture per frame, same size.

    ``parity`` is ``top`` or ``bottom``: the field whose lines are kept; the other lines are interpolated from
    all three frames. At the ends of a clip pass ``current`` for the missing neighbour.
    Works in 16 bits at 1/256 grey level, so samples are clipped to 0..255.996 and rounded to that step
    (kept lines too). Each plane is filtered by itself, on one thread: the result depends on the arguments
    and the FFmpeg version only. Raises ``InternalError`` (``deinterlace.arguments``).
    """
    if parity not in PARITIES:
        raise InternalError("deinterlace.arguments", f"Unknown parity {parity!r}.")
    if not previous.geometry == current.geometry == following.geometry:
        raise InternalError("deinterlace.arguments", "The three frames do not have the same geometry.")
    return tuple(
        _plane([before, here, after], PARITIES[parity])
        for before, here, after in zip(previous.planes, current.planes, following.planes, strict=True)
    )


def _plane(samples: list[np.ndarray], parity: str) -> np.ndarray:
    rows, columns = samples[0].shape
    if rows < 4 or columns < 3:
        raise InternalError("deinterlace.arguments", f"A plane of {columns}x{rows} is too small to deinterlace.")
    graph: Any = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(width=columns, height=rows, format="gray16le", time_base=_TICK)
    graph.link_nodes(
        source, graph.add("bwdif", f"mode=send_frame:parity={parity}:deint=all"), graph.add("buffersink")
    ).configure()
    for number, plane in enumerate(samples):
        graph.push(_picture(plane, number))
    graph.push(None)
    graph.pull()  # the first picture; it has no past and is not the one asked for
    result = graph.pull()
    codes = plane_rows(result.planes[0], rows, 2 * columns).copy().view("<u2")
    return np.asarray(codes.astype(np.float32) / _UNIT)


def _picture(plane: np.ndarray, number: int) -> VideoFrame:
    rows, columns = plane.shape
    codes = np.clip(np.rint(plane * _UNIT), 0, 65535).astype("<u2")
    picture = VideoFrame(columns, rows, "gray16le")
    plane_rows(picture.planes[0], rows, 2 * columns)[...] = codes.view(np.uint8)
    picture.pts = number
    picture.time_base = _TICK
    return picture
