"""Which build of an encoder this installation codes with, by the encoder's own word in its stream."""

from __future__ import annotations

import re
from functools import cache

import av
import numpy as np

from forensic.errors import InternalError
from forensic.media.encoding import transcode

_X264 = re.compile(rb"x264 - (core [0-9]{1,6}(?: r[0-9]{1,8}M?)?(?: [0-9a-f]{4,40})?)")


@cache
def h264_versions() -> dict[str, str]:
    """Versions of what codes H.264 and decodes it again: ``av``, ``libavcodec``, ``libx264``.

    x264 writes its own into every stream (an unregistered SEI message of user data); no library call tells it.
    Raises ``InternalError`` (``media.encoder-version``) for a stream that says nothing.
    """
    grey = tuple(np.full((side, side), 128, np.uint8) for side in (16, 8, 8))
    made = transcode([grey], codec="h264", qp=30, gop=1)
    told = _X264.search(made.data)
    if told is None:
        raise InternalError("media.encoder-version", "The H.264 encoder does not say which it is.")
    return {
        "av": av.__version__,
        "libavcodec": made.settings["libraries"]["libavcodec"],
        "libx264": told[1].decode("ascii"),
    }
