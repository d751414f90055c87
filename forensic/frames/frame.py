"""Pictures on their way through the tool: coded (integers, exact) and working (float32).

Both carry their stage class. It can only rise: there is no call that lowers it, and the writer
and the report take nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np

from forensic.errors import InternalError
from forensic.frames.colour import ColourSpec
from forensic.frames.cut import Cut
from forensic.frames.layout import PixelLayout, pack_planes
from forensic.frames.stageclass import StageClass

Planes = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class FrameTiming:
    """When a frame is shown, as in the file.

    ``index`` counts decoded frames of the exhibit from 0 in presentation order; ``pts`` is in
    units of ``time_base`` seconds. ``synthesised`` says that the file had no timestamp here and
    ``pts`` was made up by the documented rule.
    """

    index: int
    pts: int
    time_base: Fraction
    synthesised: bool = False

    @property
    def seconds(self) -> Fraction:
        """Exact presentation time."""
        return self.pts * self.time_base


@dataclass(frozen=True)
class BlockQuantisers:
    """Quantiser of every block of 16 x 16 luma samples (a macroblock), row by row, ``columns`` in a row.

    ``values``: one signed byte each. (``left``, ``top``): where in the coded picture the frame's first sample lies.
    """

    columns: int
    values: bytes = field(repr=False)
    left: int = 0
    top: int = 0

    SIDE: ClassVar[int] = 16

    def moved(self, x: int, y: int) -> BlockQuantisers:
        """Of a frame that begins ``x`` columns and ``y`` rows further on."""
        return replace(self, left=self.left + x, top=self.top + y)

    def mean(self, width: int, height: int) -> float | None:
        """Mean over ``width`` x ``height`` samples from the first on, by area; None where blocks are missing there."""
        grid = np.frombuffer(self.values, np.int8).reshape(-1, self.columns).astype(np.float64)
        shares = []
        for first, count, blocks in ((self.top, height, grid.shape[0]), (self.left, width, grid.shape[1])):
            edges = np.clip(self.SIDE * np.arange(blocks + 1.0), first, first + count)
            share = edges[1:] - edges[:-1]
            if share.sum() != count:
                return None
            shares.append(share)
        return float(shares[0] @ grid @ shares[1]) / (width * height)


@dataclass(frozen=True)
class Coding:
    """How the samples of a frame were coded, as far as the bitstream says; ``why_not`` where it says nothing.

    ``picture_type``: ``I``, ``P``, ``B`` and so on. ``quantiser``: mean over the picture as it was coded, in the units
    of ``scale`` (``h264``, ``vp9``, ``mpeg``, ``jpeg``; see ``forensic.media.quantisers``); both None where unknown.
    ``blocks``: where which quantiser was used; None where that is not known, or samples no longer lie where they were
    coded. ``bits``: of the whole coded picture, per luma sample. ``part``: the frame is a part of the coded picture;
    ``local`` is the mean quantiser there, None if unknown. ``fault``: why what is told here may not be of the samples
    (damage, fields), in words.
    """

    picture_type: str
    scale: str | None = None
    quantiser: float | None = None
    why_not: str | None = None
    blocks: BlockQuantisers | None = None
    bits: float | None = None
    part: bool = False
    local: float | None = None
    fault: str | None = None

    @property
    def here(self) -> float | None:
        """Mean quantiser of the samples that the frame holds; None where it is not known."""
        return self.local if self.part else self.quantiser

    def within(self, x: int, y: int, width: int, height: int) -> Coding:
        """Of a rectangle of the frame, in luma samples."""
        if self.blocks is None:
            return replace(self, part=True, local=None)
        blocks = self.blocks.moved(x, y)
        return replace(self, blocks=blocks, part=True, local=blocks.mean(width, height))

    def unplaced(self) -> Coding:
        """Of samples that were turned or moved, so that blocks are no longer where they were coded."""
        return replace(self, blocks=None)


@dataclass(frozen=True)
class Geometry:
    """Size and shape of a picture: luma columns and rows, layout, sample (pixel) aspect ratio."""

    width: int
    height: int
    layout: PixelLayout
    sample_aspect: Fraction | None = None

    @property
    def plane_shapes(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) of every plane."""
        return self.layout.plane_shapes(self.width, self.height)

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts."""
        aspect = self.sample_aspect
        return {
            "width": self.width,
            "height": self.height,
            "pixel_format": self.layout.name,
            "sample_aspect": None if aspect is None else f"{aspect.numerator}:{aspect.denominator}",
        }


def _checked(planes: Planes, geometry: Geometry, kind: str) -> Planes:
    shapes = tuple(plane.shape for plane in planes)
    if shapes != geometry.plane_shapes:
        raise InternalError(
            "frame.shape", f"{kind} frame has planes {shapes}, its geometry says {geometry.plane_shapes}."
        )
    for plane in planes:
        plane.flags.writeable = False
    return planes


class CodedFrame:
    """A frame in integer code values, exactly as decoded or as about to be written."""

    __slots__ = ("_sha256", "coding", "colour", "geometry", "planes", "stage_class", "timing")

    planes: Planes
    geometry: Geometry
    colour: ColourSpec
    timing: FrameTiming
    stage_class: StageClass
    coding: Coding | None  # None: nobody asked
    _sha256: str | None

    def __init__(
        self,
        planes: Planes,
        geometry: Geometry,
        colour: ColourSpec,
        timing: FrameTiming,
        stage_class: StageClass,
        coding: Coding | None = None,
    ) -> None:
        for plane in planes:
            if plane.dtype != geometry.layout.dtype:
                raise InternalError("frame.dtype", f"{plane.dtype} samples in a {geometry.layout.name} frame.")
        object.__setattr__(self, "planes", _checked(planes, geometry, "coded"))
        object.__setattr__(self, "geometry", geometry)
        object.__setattr__(self, "colour", colour)
        object.__setattr__(self, "timing", timing)
        object.__setattr__(self, "stage_class", stage_class)
        object.__setattr__(self, "coding", coding)
        object.__setattr__(self, "_sha256", None)

    def __setattr__(self, name: str, value: object) -> None:
        raise InternalError("frame.immutable", f"A frame's {name} cannot be changed.")

    @property
    def sha256(self) -> str:
        """SHA-256 over the canonical planes, equal to FFmpeg's framehash in that pixel format."""
        if self._sha256 is None:
            if self.geometry.layout.family == "rgb":
                value = hashlib.sha256(pack_planes(self.geometry.layout, self.planes)).hexdigest()
            else:
                digest = hashlib.sha256()
                for plane in self.planes:
                    digest.update(np.ascontiguousarray(plane).data)
                value = digest.hexdigest()
            object.__setattr__(self, "_sha256", value)
            return value
        return self._sha256

    def to_working(self) -> WorkingFrame:
        """Float32 planes in grey levels of the 8-bit scale; the class comes along."""
        scale = np.float32(1.0 / self.geometry.layout.grey_scale)
        planes = tuple(plane.astype(np.float32) * scale for plane in self.planes)
        return WorkingFrame(planes, self.geometry, self.colour, self.timing, self.stage_class, self.coding)


class WorkingFrame:
    """A frame between stages: float32 planes in grey levels (8-bit scale), not clipped.

    Luma of 8-bit limited-range video therefore runs from 16 to 235 nominally, its chroma is
    centred on 128, as coded; nothing is converted to RGB unless a stage needs it.
    """

    __slots__ = ("coding", "colour", "cut", "geometry", "planes", "stage_class", "timing")

    planes: Planes
    geometry: Geometry
    colour: ColourSpec
    timing: FrameTiming
    stage_class: StageClass
    coding: Coding | None  # of these samples; None once a stage has made others
    cut: Cut | None  # None: no rectangle that moves was cut out

    def __init__(
        self,
        planes: Planes,
        geometry: Geometry,
        colour: ColourSpec,
        timing: FrameTiming,
        stage_class: StageClass,
        coding: Coding | None = None,
        cut: Cut | None = None,
    ) -> None:
        for plane in planes:
            if plane.dtype != np.float32:
                raise InternalError("frame.dtype", f"{plane.dtype} samples in a working frame.")
        object.__setattr__(self, "planes", _checked(planes, geometry, "working"))
        object.__setattr__(self, "geometry", geometry)
        object.__setattr__(self, "colour", colour)
        object.__setattr__(self, "timing", timing)
        object.__setattr__(self, "stage_class", stage_class)
        object.__setattr__(self, "coding", coding)
        object.__setattr__(self, "cut", cut)

    def __setattr__(self, name: str, value: object) -> None:
        raise InternalError("frame.immutable", f"A frame's {name} cannot be changed.")

    @property
    def luma(self) -> np.ndarray:
        """Luma (rows, columns) float32; for RGB the Rec. 601 weighted sum, for gray the plane."""
        if self.geometry.layout.family != "rgb":
            return self.planes[0]
        red, green, blue = self.planes
        return np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue

    def touched(
        self,
        by: StageClass,
        planes: Planes,
        *,
        geometry: Geometry | None = None,
        colour: ColourSpec | None = None,
        sources: Iterable[WorkingFrame] = (),
        coding: Coding | None = None,
        cut: Cut | None = None,
    ) -> WorkingFrame:
        """The frame after a stage of class ``by`` that also looked at ``sources``.

        ``coding``: how its samples were coded, if they are those that were. ``cut``: where it lies, if a rectangle
        that moves was cut out. The result's class is the maximum of this
        frame's, the sources' and ``by``. Raises ``InternalError`` (``frame.not-finite``) if a sample is NaN or
        infinite.
        """
        for number, plane in enumerate(planes):
            # A sum is finite only if all samples are (they are far below float32's limit).
            if not np.isfinite(np.sum(plane, dtype=np.float64)):
                raise InternalError(
                    "frame.not-finite",
                    f"Frame {self.timing.index}, plane {number}: a sample is not a finite number.",
                    "The run was stopped; report this with the recipe, it is a defect of a stage or of the machine.",
                )
        return WorkingFrame(
            planes,
            geometry or self.geometry,
            colour or self.colour,
            self.timing,
            max([self.stage_class, by, *(frame.stage_class for frame in sources)]),
            coding,
            cut,
        )

    def quantise(self) -> CodedFrame:
        """Round to integer code values (half to even), clip to the layout's range: once, at the end."""
        layout = self.geometry.layout
        planes = []
        for plane in self.planes:
            samples = plane * np.float32(layout.grey_scale) if layout.bits > 8 else plane.copy()
            np.rint(samples, out=samples)
            np.clip(samples, 0, layout.maximum, out=samples)
            planes.append(samples.astype(layout.dtype))
        return CodedFrame(tuple(planes), self.geometry, self.colour, self.timing, self.stage_class)
