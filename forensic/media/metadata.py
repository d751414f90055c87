"""What a file carries beside its samples, and which of it does not reach the output."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from av.video.frame import VideoFrame

from forensic.frames.colour import LUMA_WEIGHTS, UNSPECIFIED, ColourSpec
from forensic.frames.layout import PixelLayout
from forensic.media.pixels import Conversion
from forensic.media.quantisers import EXPORT_TYPE

if TYPE_CHECKING:
    from forensic.media.probe import MediaFacts

_RANGES = {0: None, 1: False, 2: True}
_MATRIX_NAMES = {1: "BT.709", 6: "BT.601"}
_SIDE_DATA = {
    "A53_CC": "closed captions (ATSC A/53)",
    "SEI_UNREGISTERED": "user data of the encoder (SEI, unregistered)",
    "ICC_PROFILE": "ICC colour profile",
    "DISPLAYMATRIX": "display matrix (a wish for rotation or mirroring)",
    "GOP_TIMECODE": "time code (GOP)",
    "S12M_TIMECODE": "time code (SMPTE ST 12-1)",
    "MASTERING_DISPLAY_METADATA": "mastering display",
    "CONTENT_LIGHT_LEVEL": "content light level",
    "TYPE_31": "EXIF (further types in these frames are not seen)",
}


class FrameMetadata:
    """Counts what decoded frames carry beside their samples."""

    def __init__(self) -> None:
        self.interlaced = 0
        self._types: Counter[str] = Counter()

    def note(self, picture: VideoFrame) -> None:
        """Count the types of side data of ``picture`` and its interlaced flag."""
        self.interlaced += bool(picture.interlaced_frame)
        self._types.update(_types_of(picture))

    @property
    def side_data(self) -> dict[str, int]:
        """Frames with each type of side data, by FFmpeg's name."""
        return dict(sorted(self._types.items()))


def _types_of(picture: VideoFrame) -> set[str]:
    try:
        # What FFmpeg adds on our request is not something that the file carries.
        return {str(data.type.name) for data in picture.side_data} - {EXPORT_TYPE}  # type: ignore[attr-defined]
    except ValueError as error:
        # PyAV refuses all side data of a frame at the first type that it does not know, naming its number.
        number = re.match(r"\d+", str(error))
        return {f"TYPE_{number[0]}" if number else "TYPE_UNKNOWN"}


def colour_of_picture(picture: VideoFrame, conversion: Conversion) -> ColourSpec:
    """Colour description that one decoded picture carries."""
    full_range = _RANGES.get(picture.color_range)
    if full_range is None and conversion.full_range:
        full_range = True
    return ColourSpec(int(picture.colorspace), int(picture.color_primaries), int(picture.color_trc), full_range)


def completed_colour(declared: ColourSpec, found: ColourSpec) -> ColourSpec:
    """The stream's description, completed by the first frame's where it is silent."""
    return ColourSpec(
        declared.matrix if declared.matrix != UNSPECIFIED else found.matrix,
        declared.primaries if declared.primaries != UNSPECIFIED else found.primaries,
        declared.transfer if declared.transfer != UNSPECIFIED else found.transfer,
        declared.full_range if declared.full_range is not None else found.full_range,
        declared.chroma_location,
    )


def describe_matrix(colour: ColourSpec, layout: PixelLayout) -> str | None:
    """What is assumed for display where the file names no usable matrix; None where it names one."""
    if layout.family != "yuv" or colour.matrix in LUMA_WEIGHTS or colour.display_matrix is None:
        return None
    named = (
        "The file does not name its colour matrix."
        if colour.matrix == UNSPECIFIED
        else f"The file names colour matrix {colour.matrix} (ITU-T H.273), which is not converted here."
    )
    used = _MATRIX_NAMES[colour.display_matrix]
    return f"{named} For display {used} is assumed, by the exhibit's number of rows (BT.709 from 720, else BT.601)."


def not_carried(facts: MediaFacts, side_data: Mapping[str, int]) -> list[dict[str, str]]:
    """See :meth:`forensic.media.probe.MediaFacts.not_carried_metadata`."""
    listed: list[dict[str, str]] = []

    def add(what: str, reason: str) -> None:
        listed.append({"what": what, "reason": reason})

    own = facts.streams[facts.video_stream]
    if facts.rotation is not None:
        add(
            f"display matrix: the recorder asks for a turn by {facts.rotation} degrees counter-clockwise",
            "the master keeps the samples as coded; the turn is recorded and not applied",
        )
    orientation = facts.image.get("exif_orientation")
    if orientation not in (None, 1):
        add(f"EXIF orientation {orientation}", "the master keeps the samples as coded; it is recorded and not applied")
    if facts.image.get("icc_profile"):
        add("ICC colour profile of the image file", "the master has no place for it; it is not applied")
    for line in own.side_data:
        if facts.rotation is None or not line.lower().replace(" ", "").startswith("displaymatrix"):
            add(f"side data of the video stream: {line}", "recorded only")
    for owner, tags in (("container", facts.tags), ("video stream", own.tags)):
        if tags:
            add(f"tags of the {owner}: {', '.join(sorted(tags))}", "recorded; the master has tags of its own")
    for kind, count in sorted(side_data.items()):
        name = _SIDE_DATA.get(kind)
        if name is None and kind.startswith("TYPE_"):
            name = "side data of a type that PyAV does not name (further types in these frames are not seen)"
        add(f"{name} [{kind}] of {count} frame(s)" if name else f"frame side data {kind} of {count} frame(s)",
            "counted, not read")  # fmt: skip
    return listed
