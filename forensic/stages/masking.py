"""Which pixels of a frame are damaged: marked by a person, found by a detector, or both.

One group of parameters and one answer for every stage that replaces damaged pixels, whatever it replaces them by.
A mask is boolean, of the size of the stage's input, True where a pixel is damaged. Where colour is kept more coarsely
than luma it is made of whole colour samples: one that stands for a damaged pixel is damaged, with all its pixels.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from forensic.errors import BadInput
from forensic.frames.frame import Geometry, WorkingFrame
from forensic.frames.png import SIGNATURE
from forensic.media.opencv import opencv
from forensic.stages.blemishes import Found, blemishes
from forensic.stages.marking import Place, active
from forensic.stages.parameters import Parameters, parameter
from forensic.stages.stage import MAXIMUM_SIDE

MOST = 0.10
"""Share of the picture that may be masked: beyond, what is shown would be made, not recorded."""
_BRIGHT = 128  # code value from which a pixel of a mask picture is damaged
_MOST_BASE64 = 700_000  # characters: a recipe file has room for no more

FrameNumber = Annotated[int, Field(ge=0, le=2**31 - 1)]
Offset = Annotated[int, Field(ge=-MAXIMUM_SIDE, le=MAXIMUM_SIDE)]
Length = Annotated[int, Field(ge=1, le=MAXIMUM_SIDE)]


class Area(Parameters):
    """A damaged place: a rectangle of whole pixels (x, y, width, height), or a polygon of three corners or more."""

    rectangle: tuple[Offset, Offset, Length, Length] | None = None
    polygon: Annotated[tuple[Place, ...], Field(min_length=3, max_length=500)] | None = None
    first_frame: FrameNumber | None = None
    last_frame: FrameNumber | None = None

    @model_validator(mode="after")
    def _whole(self) -> Area:
        if (self.rectangle is None) == (self.polygon is None):
            raise ValueError("an area is either a 'rectangle' or a 'polygon'")
        if None not in (self.first_frame, self.last_frame) and self.last_frame < self.first_frame:  # type: ignore[operator]
            raise ValueError("'last_frame' lies before 'first_frame'")
        return self

    def drawn(self, shape: tuple[int, int]) -> np.ndarray:
        """Boolean (rows, columns): pixels whose middle lies within, or on the border to the left or above."""
        inside = np.zeros(shape, bool)
        if self.rectangle is not None:
            x, y, width, height = self.rectangle
            inside[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = True
        elif self.polygon is not None:
            _even_odd(inside, np.array(self.polygon, np.float64))
        return inside

    def moved(self, x: int, y: int) -> dict[str, Any]:
        """The same place of a picture whose origin was moved to (``x``, ``y``)."""
        values = self.model_dump(exclude_none=True)
        if self.rectangle is not None:
            values["rectangle"] = (self.rectangle[0] - x, self.rectangle[1] - y, *self.rectangle[2:])
        if self.polygon is not None:
            values["polygon"] = tuple((px - x, py - y) for px, py in self.polygon)
        return values


def _even_odd(inside: np.ndarray, corners: np.ndarray) -> None:
    """Set the pixels whose middle a ray crosses an odd number of sides from, within the polygon's box only."""
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, (inside.shape[1], inside.shape[0]))
    if (low >= high).any():
        return
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float64)
    odd = np.zeros(x.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            odd ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    inside[low[1] : high[1], low[0] : high[0]] |= odd


class MaskParameters(Parameters):
    """Where the picture is damaged: base of the parameters of stages that replace damaged pixels."""

    areas: tuple[Area, ...] = parameter(
        (),
        title="Marked areas",
        unit="list of rectangles (x, y, width, height) and polygons (corners x, y), pixels",
        max_length=500,
        description="Each has a rectangle or a polygon and, where wished, first_frame and last_frame.",
    )
    picture: str | None = parameter(
        None,
        title="Mask picture",
        unit="PNG file in base64",
        max_length=_MOST_BASE64,
        description="Damaged where it is bright (128 or more in any channel); of the size of the picture.",
    )
    picture_at: tuple[Offset, Offset] = parameter(
        (0, 0),
        title="Place of the mask picture",
        unit="pixels (x, y)",
        description="Where its top left pixel lies; not 0, 0 only where the picture was cropped after it was drawn.",
    )
    picture_of: tuple[Length, Length] | None = parameter(
        None,
        title="Size of the marked picture",
        unit="pixels (width, height)",
        description="On which the mask picture was drawn, where it was cropped since; a region sets it with the place.",
    )
    picture_frames: tuple[FrameNumber, FrameNumber] | None = parameter(
        None,
        title="Frames of the mask picture",
        unit="frame numbers (first, last)",
        description="Frames that it is for, both included; without it, all.",
    )
    detector: Literal["none", "blotches", "scratches", "both"] = parameter(
        "none",
        title="Detector",
        unit="name",
        description="Also look for what is seen in one frame and not in those before and after it: 'blotches' (dust, "
        "dirt) and 'scratches' (upright lines).",
    )
    contrast: float = parameter(
        12.0,
        title="Contrast of damage",
        unit="grey levels",
        ge=2.0,
        le=128.0,
        description="Difference to both neighbouring frames, along motion, from which the detector takes a place for "
        "damaged; never less than five times the picture's own unrest.",
    )
    grow: int = parameter(
        2,
        title="Margin of detected damage",
        unit="pixels",
        ge=0,
        le=16,
        description="By which what the detector found is widened: rims of damage are faint.",
    )
    largest_share: float = parameter(
        MOST,
        title="Largest share",
        unit="share of the picture",
        ge=0.0001,
        le=MOST,
        description="More than this is not masked: marks that cover more are refused, and of a frame in which the "
        "detector's finds bring it above this, none of them is used.",
    )

    @field_validator("picture")
    @classmethod
    def _readable(cls, picture: str | None) -> str | None:
        if picture is not None:
            try:
                base64.b64decode(picture, validate=True)
            except (binascii.Error, ValueError):
                raise ValueError("it is not base64") from None
        return picture

    @model_validator(mode="after")
    def _something(self) -> MaskParameters:
        if not self.areas and self.picture is None and self.detector == "none":
            raise ValueError("nothing says what is damaged: give 'areas', a 'picture' or a 'detector'")
        if self.picture_frames is not None and self.picture_frames[1] < self.picture_frames[0]:
            raise ValueError("the last of 'picture_frames' lies before the first")
        return self

    @property
    def reach(self) -> int:
        """Frames on either side that :func:`mask_of` looks at."""
        return 0 if self.detector == "none" else 1

    @property
    def names_places(self) -> bool:
        """Whether they name places in the picture (``Stage.positional``)."""
        return bool(self.areas) or self.picture is not None

    def moved(self, x: int, y: int) -> dict[str, Any]:
        """Values that name the same places after a crop at (``x``, ``y``), for ``Stage.varied``; may be empty."""
        values: dict[str, Any] = {}
        if self.areas:
            values["areas"] = tuple(area.moved(x, y) for area in self.areas)
        if self.picture is not None:
            values["picture_at"] = (self.picture_at[0] - x, self.picture_at[1] - y)
            values["picture_of"] = self.picture_of or self.picture_size
        return values

    @property
    def picture_size(self) -> tuple[int, int] | None:
        """(width, height) of the mask picture, None without one. Raises ``BadInput`` (``mask.picture``)."""
        if self.picture is None:
            return None
        rows, columns = _decoded(self.picture)[0].shape
        return columns, rows


@dataclass(frozen=True)
class Mask:
    """What of one frame is damaged, and who says so. Arrays are boolean (rows, columns), luma pixels.

    ``damaged``: all that counts. ``marked``: by a person. ``found``: what the detector found, or None where it was not
    asked. ``refused``: why its finds are not among ``damaged``; None where they are. ``damaged`` is made of whole
    colour samples, by which it may exceed what was marked and found; ``pitch`` (x, y) is their size in pixels.
    """

    damaged: np.ndarray
    marked: np.ndarray
    found: Found | None
    refused: str | None
    source: dict[str, Any]
    pitch: tuple[int, int] = (1, 1)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts: pixels by source, share, and what was refused and why."""
        facts: dict[str, Any] = {
            "pixels": int(np.count_nonzero(self.damaged)),
            "share": round(float(np.mean(self.damaged)), 6),
            "marked_by_user": int(np.count_nonzero(self.marked)),
            **self.source,
        }
        if self.pitch != (1, 1) and self.damaged.any():
            used = self.marked if self.found is None or self.refused is not None else self.marked | self.found.pixels
            added = int(np.count_nonzero(self.damaged & ~used))
            facts["whole_colour_samples"] = {"pixels_each": list(self.pitch), "pixels_added": added}
        if self.found is not None:
            facts["detector"] = self.found.to_record() | {"not_used": self.refused}
        return facts


def mask_of(window: Sequence[WorkingFrame], at: int, parameters: MaskParameters) -> Mask:
    """What of ``window[at]`` is damaged; the frames beside it are looked at where a detector is asked for.

    Needs ``parameters.reach`` frames on either side, as far as the clip has them: a frame without a neighbour on each
    side, in the same shot, has no finds. Raises ``BadInput`` as :func:`require_masks`.
    """
    frame = window[at]
    marked, source = _marked(parameters, frame.geometry, frame.timing.index)
    pitch = _pitch(frame.geometry)
    rounded = _rounded(marked, frame.geometry)
    if parameters.detector == "none":
        return Mask(rounded, marked, None, None, source, pitch)
    near = window[max(0, at - 1) : at + 2]
    found = blemishes(near, at - max(0, at - 1), parameters.detector, parameters.contrast, parameters.grow)
    both = _rounded(marked | found.pixels, frame.geometry)
    share = float(np.mean(both))
    if share > parameters.largest_share:
        why = f"marked and found together are {share:.4f} of the picture, more than {parameters.largest_share:g}"
        return Mask(rounded, marked, found, why, source, pitch)
    return Mask(both, marked, found, None, source, pitch)


def _pitch(geometry: Geometry) -> tuple[int, int]:
    """(x, y) of colour samples, in luma pixels."""
    layout = geometry.layout
    return (1 << layout.chroma_shift_x, 1 << layout.chroma_shift_y) if layout.family == "yuv" else (1, 1)


def _rounded(mask: np.ndarray, geometry: Geometry) -> np.ndarray:
    """``mask`` up to whole colour samples: what is recorded of a colour cannot be filled in part."""
    if _pitch(geometry) == (1, 1) or not mask.any():
        return mask
    from forensic.fusion.filling import whole_blocks  # OpenCV is loaded only where a pixel is touched

    return whole_blocks(mask, geometry.plane_shapes[1], _pitch(geometry))


def masks_for(window: Sequence[WorkingFrame], at: int, parameters: MaskParameters) -> np.ndarray:
    """Boolean (rows, columns): the damaged pixels of ``window[at]`` (:func:`mask_of` with the facts left out)."""
    return mask_of(window, at, parameters).damaged


def require_masks(parameters: MaskParameters, geometry: Geometry) -> None:
    """Refuse what a person marked where it cannot be used: call it in ``Stage.output_geometry``, before any pixel.

    Raises ``BadInput``: ``mask.outside`` for an area beyond the picture, ``mask.picture`` for a mask picture that is no
    PNG or not of the size of the picture that was marked, ``mask.too-large`` where more is marked, in whole colour
    samples, than may be masked.
    """
    shape = (geometry.height, geometry.width)
    for number, area in enumerate(parameters.areas, start=1):
        if not area.drawn(shape).any():
            raise BadInput(
                "mask.outside",
                f"Area {number} covers no pixel of a picture of {geometry.width}x{geometry.height}.",
                "Places are pixels of the picture as the stage gets it, from 0, 0 at the top left.",
            )
    # Between the first frames of areas the set of those that apply can only shrink.
    starts = {0, *(area.first_frame or 0 for area in parameters.areas)}
    if parameters.picture_frames is not None:
        starts.add(parameters.picture_frames[0])
    for frame in sorted(starts):
        share = float(np.mean(_rounded(_marked(parameters, geometry, frame)[0], geometry)))
        if share > parameters.largest_share:
            raise BadInput(
                "mask.too-large",
                f"{100 * share:.1f} % of frame {frame} is marked as damaged; at most "
                f"{100 * parameters.largest_share:g} % may be.",
                "Mark less, or only the frames that are damaged: of a picture filled further, too little is recorded.",
            )


def _marked(parameters: MaskParameters, geometry: Geometry, frame: int) -> tuple[np.ndarray, dict[str, Any]]:
    shape = (geometry.height, geometry.width)
    marked = np.zeros(shape, bool)
    source: dict[str, Any] = {}
    numbers = [
        number
        for number, area in enumerate(parameters.areas, start=1)
        if active(area.first_frame, area.last_frame, frame)
    ]
    for number in numbers:
        marked |= parameters.areas[number - 1].drawn(shape)
    if numbers:
        source["areas"] = numbers
    first, last = parameters.picture_frames or (None, None)
    if parameters.picture is not None and active(first, last, frame):
        drawn, digest = _decoded(parameters.picture)
        x, y = (-place for place in parameters.picture_at)
        of = parameters.picture_of or (geometry.width, geometry.height)
        if drawn.shape != of[::-1]:
            raise _other_size(drawn.shape, of)
        if x < 0 or y < 0 or drawn.shape[0] < y + shape[0] or drawn.shape[1] < x + shape[1]:
            raise BadInput(
                "mask.picture",
                f"The mask picture is {drawn.shape[1]}x{drawn.shape[0]} and lies at {-x}, {-y}; the picture of "
                f"{geometry.width}x{geometry.height} is not within it.",
                "Draw the mask on a still of the exhibit, at its full size, and leave 'picture_at' out.",
            )
        marked |= drawn[y : y + shape[0], x : x + shape[1]]
        source["picture_sha256"] = digest
    return marked, source


def _other_size(drawn: tuple[int, ...], of: tuple[int, int]) -> BadInput:
    return BadInput(
        "mask.picture",
        f"The mask picture is {drawn[1]}x{drawn[0]}, the picture {of[0]}x{of[1]}: it was drawn on another one.",
        "Draw the mask on a still of the exhibit, at its full size.",
    )


def require_whole(parameters: MaskParameters, before: Sequence[tuple[Geometry, tuple[int, int] | None]]) -> None:
    """Refuse a mask picture said to be drawn before a crop that no crop bears out.

    ``before``: of every stage in front, the geometry that it was given and, for a crop, its corner. Raises ``BadInput``
    (``mask.picture``).
    """
    of, at = parameters.picture_of, parameters.picture_at
    if parameters.picture is None or (of is None and at == (0, 0)):
        return
    x, y = 0, 0
    for geometry, corner in reversed(before):
        if corner is None:
            continue
        x, y = x + corner[0], y + corner[1]
        if (-x, -y) == at:
            if of != (geometry.width, geometry.height):
                raise _other_size((of or (0, 0))[::-1], (geometry.width, geometry.height))
            return
    raise BadInput(
        "mask.picture",
        f"The mask picture lies at {at[0]}, {at[1]}, but the picture was not cropped so after it was drawn.",
        "Leave 'picture_at' and 'picture_of' out: a region of the run sets them.",
    )


@lru_cache(maxsize=8)
def _decoded(picture: str) -> tuple[np.ndarray, str]:
    return drawn_mask(base64.b64decode(picture))


def drawn_mask(data: bytes) -> tuple[np.ndarray, str]:
    """Boolean (rows, columns) of a mask picture, and its file's SHA-256. Raises ``BadInput`` (``mask.picture``)."""
    cv2 = opencv()
    pixels = None
    if data.startswith(SIGNATURE):
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] != 3):
        raise BadInput(
            "mask.picture",
            "The mask picture is no PNG of 8 bits in grey or colour without transparency.",
            "Save it so: white where the recording is damaged, black elsewhere.",
        )
    drawn = pixels >= _BRIGHT
    drawn = drawn.any(axis=2) if drawn.ndim == 3 else drawn
    drawn.flags.writeable = False
    return drawn, hashlib.sha256(data).hexdigest()
