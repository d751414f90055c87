"""All estimators over one exhibit, in one pass over its frames."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forensic.errors import UsageError
from forensic.estimation.duplicates import DuplicateFinder, Duplicates
from forensic.estimation.estimate import COVERAGE, NotDetermined, value_of
from forensic.estimation.grid import BlockGrid, estimate_grid
from forensic.estimation.halo import Halo, estimate_halo
from forensic.estimation.interlace import Interlacing, estimate_interlacing
from forensic.estimation.noise import NoiseLevel, estimate_noise
from forensic.estimation.pointspread import PointSpread, estimate_point_spread
from forensic.estimation.quantiser import Quantiser, QuantiserLog
from forensic.estimation.resolution import TrueResolution, estimate_resolution
from forensic.estimation.sampling import Group, GroupSampler, Observation, observe
from forensic.frames.frame import CodedFrame
from forensic.media.opencv import opencv

if TYPE_CHECKING:
    from forensic.media.probe import MediaFacts

VERSION = 2
DEFAULT_LIMIT = 36
# Streams of these codecs hold samples that no quantiser has touched (since they were written into them).
_LOSSLESS = frozenset(
    {"rawvideo", "ffv1", "huffyuv", "ffvhuff", "utvideo", "png", "bmp", "tiff", "qtrle", "v210", "magicyuv", "gif"}
)
_INTRA = frozenset({"mjpeg", "mjpegb", "jpeg2000", "prores", "dvvideo", "dnxhd"})


@dataclass(frozen=True)
class Survey:
    """What was found. ``frames``: which frames were looked at; ``width``, ``height``, ``depth`` of the pictures.

    ``codec``: FFmpeg's name, None if the frames came from elsewhere. ``lossless``: whether the codec keeps every
    sample; None if unknown. ``is_image``: a still picture.
    """

    frames: dict[str, Any]
    width: int
    height: int
    depth: int
    codec: str | None
    lossless: bool | None
    is_image: bool
    noise: NoiseLevel
    quantiser: Quantiser
    grid: BlockGrid
    interlacing: Interlacing
    duplicates: Duplicates
    resolution: TrueResolution
    point_spread: PointSpread
    halo: Halo

    @property
    def distinct_frames(self) -> int:
        """Frames that do not repeat their predecessor."""
        repeats = len(self.duplicates.exact) + len(self.duplicates.near)
        return int(self.frames["frames_seen"]) - repeats

    def to_record(self) -> dict[str, Any]:
        """JSON-able facts, the same bytes for the same frames on one platform."""
        return {
            "survey_version": VERSION,
            "coverage_of_intervals": COVERAGE,
            "frames": self.frames,
            "picture": {"width": self.width, "height": self.height, "depth": self.depth},
            "codec": self.codec,
            "lossless": self.lossless,
            "noise": self.noise.to_record(),
            "quantiser": self.quantiser.to_record(),
            "block_grid": self.grid.to_record(),
            "interlacing": self.interlacing.to_record(),
            "duplicates": self.duplicates.to_record(),
            "true_resolution": self.resolution.to_record(),
            "point_spread": self.point_spread.to_record(),
            "sharpening": self.halo.to_record(),
        }


def survey(
    frames: Iterable[Observation | CodedFrame | np.ndarray],
    facts: MediaFacts | None = None,
    limit: int = DEFAULT_LIMIT,
) -> Survey:
    """Look at every frame once, and closely at up to ``limit`` of them.

    ``frames``: in presentation order, of one size; with how they were coded as
    :func:`~forensic.estimation.sampling.observations_of` gives them, or coded frames, or luma planes in 8-bit
    grey levels. ``facts``: of the exhibit, for the container's word on interlacing and codec. Memory: the
    frames kept, at most 256 MiB or six frames. Raises ``UsageError`` (``estimation.frames``,
    ``estimation.limit``), also if there is no frame; and whatever ``frames`` raises.
    """
    opencv()  # the estimators' arithmetic must not depend on the machine's cores
    expected = None if facts is None else facts.frames_claimed
    sampler, duplicates, log = GroupSampler(limit, expected), DuplicateFinder(), QuantiserLog()
    first: Observation | None = None
    for one in observe(frames):
        first = first or one
        sampler.offer(one)
        duplicates.offer(one)
        log.offer(one.coding)
    if first is None:
        raise UsageError("estimation.frames", "There is no frame to look at.")
    rows, columns = first.luma.shape
    own = None if facts is None else facts.streams[facts.video_stream]
    codec = None if own is None else own.codec
    found = _look(sampler.groups, log, codec, "unknown" if facts is None else facts.field_order)
    return Survey(
        frames=sampler.to_record(),
        width=columns,
        height=rows,
        depth=first.depth,
        codec=codec,
        lossless=None if codec is None else codec in _LOSSLESS,
        is_image=facts is not None and facts.is_image,
        duplicates=duplicates.finish(),
        **found,
    )


def _look(groups: Sequence[Group], log: QuantiserLog, codec: str | None, declared: str) -> dict[str, Any]:
    grid = estimate_grid(groups)
    quantiser = log.finish(groups, _origin(grid))
    interlacing = estimate_interlacing(groups, declared)
    fields = [_first_fields(group) for group in groups] if interlacing.interlaced else groups
    coded = codec is not None and codec not in _LOSSLESS
    noise = estimate_noise(fields, quantiser.step, _inter_coded(quantiser, codec), quantiser.scale, coded)
    left = value_of(noise.left)
    point_spread = estimate_point_spread(fields, left, quantiser.step)
    resolution = estimate_resolution(fields, left, point_spread.across_x, point_spread.across_y, grid.found)
    if interlacing.interlaced:
        halved = NotDetermined("the picture is interlaced; a field holds every second line")
        point_spread = replace(point_spread, shape="unknown", width=halved, across_y=halved,
                               angle=halved, length=halved, radius=halved)  # fmt: skip
        lines = replace(resolution.y, samples=2 * resolution.y.samples, held=halved, factor=halved)
        resolution = replace(resolution, y=lines)
    return {
        "noise": noise,
        "quantiser": quantiser,
        "grid": grid,
        "interlacing": interlacing,
        "resolution": resolution,
        "point_spread": point_spread,
        "halo": estimate_halo(fields, left),
    }


def _origin(grid: BlockGrid) -> tuple[int, int]:
    x = next((int(one.offset) for one in grid.x if one.period == 8.0), 0)
    y = next((int(one.offset) for one in grid.y if one.period == 8.0), 0)
    return x, y


def _first_fields(group: Group) -> Group:
    return tuple(replace(one, luma=np.ascontiguousarray(one.luma[0::2])) for one in group)


def _inter_coded(quantiser: Quantiser, codec: str | None) -> bool | None:
    if quantiser.inter_coded is not None:
        return quantiser.inter_coded
    if codec is None:
        return None
    return codec not in _LOSSLESS | _INTRA
