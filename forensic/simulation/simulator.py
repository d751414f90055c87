"""A clean scene becomes a recording: motion, lens, sensor, recorder, codec, in this order.

Every frame is rendered from the scene at the high resolution (this is its truth), blurred, sampled,
read out with noise, processed, and the whole clip is encoded and decoded by a real codec. A pure
function of (scene, degradation, frames, seed), on one thread.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forensic.errors import UsageError
from forensic.media.opencv import opencv
from forensic.simulation import recorder as recording_chain
from forensic.simulation import sensor as photosites
from forensic.simulation.degradation import Degradation, frame_rate
from forensic.simulation.optics import blurred
from forensic.simulation.randomness import Purpose, generator
from forensic.simulation.rendering import Renderer
from forensic.simulation.trajectory import Trajectory, on_low_resolution

if TYPE_CHECKING:
    from forensic.media.encoding import Encoded

Planes = tuple[np.ndarray, ...]
_MOST_FRAMES = 2000
_MOST_PIXELS = 1 << 26


@dataclass(frozen=True)
class Recording:
    """A simulated recording with what is known about it.

    ``frames``: decoded luma, float32 (rows, columns), whole grey levels. ``chroma``: decoded (Cb, Cr) of each
    frame for a colour scene, else None. ``truth``: luma of the scene as each frame saw it, float32, ``factor``
    times larger, in the recorder's level range, without blur, noise, sharpening and text. ``truth_chroma``:
    its full-resolution (Cb, Cr), or None.

    ``homographies``: float64 (frames, 3, 3), from pixel coordinates (x, y) of ``truth[reference]`` to those of
    ``truth[f]``. ``shifts``: float64 (frames, 2), the displacement (x, y) of the picture's middle in
    low-resolution pixels. ``object_homographies``: the same as ``homographies`` for each moving object;
    ``object_corners``: (frames, 4, 2) of each, its outline in high-resolution pixels. ``covers``: share of
    every high-resolution pixel that an object covers, float32 per frame, or None without objects.

    ``pts``, ``time_base``, ``frame_types``, ``packet_sizes``, ``qp``, ``qp_maps``: as the decoder gave them; with
    codec ``none`` pts count from 0, types are ``-`` and sizes the raw bytes. ``encoded``: the coded stream (None
    without codec). ``sha256``: over all decoded planes in order; ``frame_sha256`` over each frame's.
    """

    frames: tuple[np.ndarray, ...] = field(repr=False)
    chroma: tuple[tuple[np.ndarray, np.ndarray], ...] | None = field(repr=False)
    truth: tuple[np.ndarray, ...] = field(repr=False)
    truth_chroma: tuple[tuple[np.ndarray, np.ndarray], ...] | None = field(repr=False)
    homographies: np.ndarray = field(repr=False)
    shifts: np.ndarray = field(repr=False)
    object_homographies: tuple[np.ndarray, ...] = field(repr=False)
    object_corners: tuple[np.ndarray, ...] = field(repr=False)
    covers: tuple[np.ndarray, ...] | None = field(repr=False)
    reference: int
    pts: tuple[int, ...]
    time_base: Fraction
    frame_types: tuple[str, ...]
    packet_sizes: tuple[int, ...]
    qp: tuple[float | None, ...]
    qp_maps: tuple[np.ndarray | None, ...] = field(repr=False)
    encoded: Encoded | None = field(repr=False)
    text_box: tuple[int, int, int, int] | None
    degradation: Degradation
    seed: int
    margin: int
    scene_sha256: str
    frame_sha256: tuple[str, ...] = field(repr=False)
    sha256: str

    @property
    def factor(self) -> int:
        """High-resolution pixels per low-resolution pixel and axis."""
        return self.degradation.sampling.factor

    @property
    def encoding(self) -> dict[str, Any]:
        """Encoder, options and library versions, JSON-able."""
        return {"codec": "none"} if self.encoded is None else self.encoded.settings

    @property
    def stream(self) -> bytes:
        """The coded elementary stream; empty without codec."""
        return b"" if self.encoded is None else self.encoded.data

    def file(self, container: Literal["mp4", "matroska", "avi", "mpegts"]) -> bytes:
        """The recording as a file in that container; the stream in it is :attr:`stream`, not coded again.

        Raises ``UsageError`` ``simulation.no-codec`` without codec.
        """
        if self.encoded is None:
            raise UsageError("simulation.no-codec", "A recording without codec has no stream to put into a file.")
        from forensic.media.encoding import contained

        return contained(self.encoded, container)

    def low_resolution_homographies(self) -> np.ndarray:
        """:attr:`homographies` between the low-resolution frames: float64 (frames, 3, 3)."""
        return np.array([on_low_resolution(each, self.factor) for each in self.homographies])

    def to_record(self) -> dict[str, Any]:
        """JSON-able: everything that makes the recording again, and the hashes to compare it with."""
        return {
            "simulator_version": self.degradation.version,
            "degradation": self.degradation.to_record(),
            "seed": self.seed,
            "margin": self.margin,
            "reference": self.reference,
            "scene_sha256": self.scene_sha256,
            "frames": len(self.frames),
            "size": [self.frames[0].shape[1], self.frames[0].shape[0]],
            "shifts": self.shifts.tolist(),
            "homographies": self.homographies.tolist(),
            "pts": list(self.pts),
            "time_base": f"{self.time_base.numerator}/{self.time_base.denominator}",
            "frame_types": list(self.frame_types),
            "packet_sizes": list(self.packet_sizes),
            "qp": list(self.qp),
            "text_box": None if self.text_box is None else list(self.text_box),
            "encoding": self.encoding,
            "stream_sha256": hashlib.sha256(self.stream).hexdigest(),
            "sha256": self.sha256,
        }


def simulate(
    scene: np.ndarray,
    degradation: Degradation,
    frames: int,
    seed: int,
    *,
    margin: int = 0,
    reference: int | None = None,
    sprites: Sequence[np.ndarray] = (),
) -> Recording:
    """Record ``scene`` for ``frames`` frames.

    ``scene``: grey levels 0..255, uint8 or float, (rows, columns) luma or (rows, columns, 3) full-range RGB.
    ``margin``: scene pixels cut from every side after the camera's motion, so that real scene and not its
    mirror image moves into view. What is left must divide by ``factor``, and by twice that where chroma is
    halved (4 times that vertically where interlaced); see :func:`cropped_to_fit`. ``reference``: frame that
    shows the scene unmoved, default the middle one (frames // 2). ``sprites``: pictures of moving objects.

    Raises ``UsageError``: ``simulation.scene``, ``simulation.size``, ``simulation.frames``, ``simulation.seed``,
    ``simulation.sprite``, ``media.encode-picture``.
    """
    opencv()
    middle = frames // 2 if reference is None and isinstance(frames, int) else reference
    picture = _checked_scene(scene, degradation, frames, seed, margin, middle)
    factor = degradation.sampling.factor
    first = 0 if middle is None else middle
    trajectory = Trajectory(degradation.motion, factor, frames, first, seed)
    renderer = Renderer(picture, degradation.motion, trajectory, factor, margin, sprites, seed)
    camera = _Camera(degradation, renderer, picture.ndim == 3, seed)

    truth, truth_chroma, covers, raw = [], [], [], []
    for frame in range(frames):
        view = renderer.view(float(frame))
        planes = recording_chain.to_planes(view.picture)
        truth.append(recording_chain.in_recorded_range(planes[0], degradation.recorder))
        truth_chroma.append(planes[1:])
        covers.append(view.cover)
        raw.append(camera.frame(frame, view.picture))
    passed = _through_codec(raw, degradation)

    width, height = renderer.width, renderer.height
    homographies = np.array([trajectory.pose(float(frame)).homography(width, height) for frame in range(frames)])
    poses = [trajectory.pose(float(frame)) for frame in range(frames)]
    placements = [
        np.array([trajectory.placement(thing, float(f), width, height, sprite.shape[:2]) for f in range(frames)])
        for thing, sprite in zip(degradation.motion.objects, renderer.sprites, strict=True)
    ]
    digests = tuple(_sha256(planes) for planes in passed.planes)
    colour = picture.ndim == 3
    return Recording(
        frames=tuple(planes[0].astype(np.float32) for planes in passed.planes),
        chroma=tuple((p[1].astype(np.float32), p[2].astype(np.float32)) for p in passed.planes) if colour else None,
        truth=tuple(truth),
        truth_chroma=tuple((each[0], each[1]) for each in truth_chroma) if colour else None,
        homographies=homographies,
        shifts=np.array([(pose.x / factor, pose.y / factor) for pose in poses]),
        object_homographies=tuple(each @ np.linalg.inv(each[first]) for each in placements),
        object_corners=tuple(
            _outline(each, sprite.shape[:2]) for each, sprite in zip(placements, renderer.sprites, strict=True)
        ),
        covers=tuple(each for each in covers if each is not None) if degradation.motion.objects else None,
        reference=first,
        pts=passed.pts,
        time_base=passed.time_base,
        frame_types=passed.frame_types,
        packet_sizes=passed.packet_sizes,
        qp=passed.qp,
        qp_maps=passed.qp_maps,
        encoded=passed.encoded,
        text_box=camera.text_box,
        degradation=degradation,
        seed=seed,
        margin=margin,
        scene_sha256=_sha256((picture,)),
        frame_sha256=digests,
        sha256=_sha256(tuple(plane for planes in passed.planes for plane in planes)),
    )


def size_step(degradation: Degradation) -> tuple[int, int]:
    """(columns, rows) that the visible scene's sides must be multiples of."""
    factor = degradation.sampling.factor
    halves = degradation.recorder.chroma_420 or degradation.codec.name == "mpeg4"
    even = halves or degradation.sampling.bayer or degradation.recorder.interlace != "none"
    both = halves and degradation.recorder.interlace != "none"
    return factor * (2 if even else 1), factor * (4 if both else 2 if even else 1)


def cropped_to_fit(scene: np.ndarray, degradation: Degradation, margin: int = 0) -> np.ndarray:
    """The largest part of ``scene`` in the middle whose size :func:`simulate` takes."""
    across, down = size_step(degradation)
    height = (scene.shape[0] - 2 * margin) // down * down + 2 * margin
    width = (scene.shape[1] - 2 * margin) // across * across + 2 * margin
    top, left = (scene.shape[0] - height) // 2, (scene.shape[1] - width) // 2
    return scene[top : top + height, left : left + width]


class _Camera:
    """Lens, sensor and recorder for one clip."""

    def __init__(self, degradation: Degradation, renderer: Renderer, colour: bool, seed: int) -> None:
        self._how, self._renderer, self._colour, self._seed = degradation, renderer, colour, seed
        factor = degradation.sampling.factor
        height, width = renderer.height // factor, renderer.width // factor
        shape = (height, width, 3) if colour and not degradation.sampling.bayer else (height, width)
        self._pattern = photosites.fixed_pattern(degradation.sensor, shape, generator(seed, Purpose.FIXED_PATTERN))
        self._text = recording_chain.text_layers(degradation.recorder, width, height)
        self.text_box = None if self._text is None else _box(self._text[1])

    def frame(self, number: int, picture: np.ndarray) -> Planes:
        """8-bit planes of frame ``number`` that go to the codec; ``picture`` is the scene at its time."""
        how = self._how
        interlaced = how.recorder.interlace != "none"
        planes = self._recorded(picture, number, 0)
        if interlaced:
            later = self._recorded(self._renderer.view(number + 0.5).picture, number, 1)
            planes = recording_chain.woven(planes, later, how.recorder.interlace == "bff")
        planes = recording_chain.with_text(planes, self._text)
        if how.recorder.chroma_420 and len(planes) == 3:
            centred = how.codec.name == "mjpeg"
            luma, blue, red = planes
            planes = (luma, *(recording_chain.halved_chroma(plane, interlaced, centred) for plane in (blue, red)))
        return tuple(recording_chain.rounded(plane) for plane in planes)

    def _recorded(self, picture: np.ndarray, frame: int, which_field: int) -> Planes:
        how = self._how
        factor = how.sampling.factor
        levels = photosites.area_mean(blurred(picture, how.optics, factor), factor)
        rng = generator(self._seed, Purpose.NOISE, frame, which_field)
        if how.sampling.bayer:
            raw = photosites.mosaic(levels) if self._colour else levels
            rgb = photosites.demosaic(photosites.noisy(raw, how.sensor, self._pattern, rng))
            seen = rgb if self._colour else recording_chain.luma_of(rgb)
        else:
            seen = photosites.noisy(levels, how.sensor, self._pattern, rng)
        return recording_chain.processed(recording_chain.to_planes(seen), how.recorder)


@dataclass(frozen=True)
class _Passed:
    planes: tuple[Planes, ...]
    pts: tuple[int, ...]
    time_base: Fraction
    frame_types: tuple[str, ...]
    packet_sizes: tuple[int, ...]
    qp: tuple[float | None, ...]
    qp_maps: tuple[np.ndarray | None, ...]
    encoded: Encoded | None


def _through_codec(raw: list[Planes], how: Degradation) -> _Passed:
    codec, count = how.codec, len(raw)
    if codec.name == "none":
        return _Passed(
            planes=tuple(raw),
            pts=tuple(range(count)),
            time_base=1 / frame_rate(codec.fps),
            frame_types=("-",) * count,
            packet_sizes=tuple(sum(plane.size for plane in planes) for planes in raw),
            qp=(None,) * count,
            qp_maps=(None,) * count,
            encoded=None,
        )
    from forensic.media.encoding import transcode

    halved = how.recorder.chroma_420
    rows, columns = raw[0][0].shape
    neutral = np.full((rows // 2, columns // 2) if halved else (rows, columns), 128, np.uint8)
    interlace = how.recorder.interlace
    fields: Any = interlace if interlace != "none" and codec.name in ("h264", "mpeg4") else None
    name: Any = codec.name
    encoded = transcode(
        [planes if len(planes) == 3 else (planes[0], neutral, neutral) for planes in raw],
        codec=name,
        crf=codec.crf,
        qp=codec.qp,
        quality=codec.quality,
        gop=codec.gop,
        bframes=codec.bframes,
        fps=frame_rate(codec.fps),
        pixel_format="yuv420p" if halved else "yuv444p",
        preset=codec.preset,
        full_range=(how.recorder.black, how.recorder.white) != (16.0, 235.0),
        interlaced=fields,
    )
    return _Passed(
        planes=encoded.frames,
        pts=encoded.pts,
        time_base=encoded.time_base,
        frame_types=encoded.frame_types,
        packet_sizes=encoded.packet_sizes,
        qp=encoded.qps,
        qp_maps=encoded.qp_maps,
        encoded=encoded,
    )


def _checked_scene(
    scene: np.ndarray, how: Degradation, frames: int, seed: int, margin: int, reference: int | None
) -> np.ndarray:
    if not isinstance(frames, int) or isinstance(frames, bool) or not 1 <= frames <= _MOST_FRAMES:
        raise UsageError("simulation.frames", f"The number of frames is {frames!r}, not from 1 to {_MOST_FRAMES}.")
    if reference is None or not 0 <= reference < frames:
        raise UsageError("simulation.frames", f"Reference frame {reference!r} is not one of {frames} frames.")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 1 << 63:
        raise UsageError("simulation.seed", f"The seed is {seed!r}; it must be a whole number from 0 to 2**63 - 1.")
    if not (scene.ndim == 2 or (scene.ndim == 3 and scene.shape[2] == 3)) or scene.size > 3 * _MOST_PIXELS:
        raise UsageError("simulation.scene", f"A scene is (rows, columns) or (rows, columns, 3), not {scene.shape}.")
    if scene.dtype != np.uint8 and not np.issubdtype(scene.dtype, np.floating):
        raise UsageError("simulation.scene", f"A scene holds uint8 or floating-point levels, not {scene.dtype}.")
    picture = np.ascontiguousarray(scene, dtype=np.float32)
    low, high = (float(picture.min()), float(picture.max())) if picture.size else (np.nan, np.nan)
    if not (low >= 0.0 and high <= 255.0):
        raise UsageError("simulation.scene", f"The scene's levels run from {low:g} to {high:g}, not within 0..255.")
    across, down = size_step(how)
    if not isinstance(margin, int) or margin < 0:
        raise UsageError("simulation.size", f"The margin is {margin!r}; it must be a whole number from 0.")
    height, width = picture.shape[0] - 2 * margin, picture.shape[1] - 2 * margin
    if width < 8 * across or height < 8 * down or width % across or height % down:
        raise UsageError(
            "simulation.size",
            f"The visible scene has {width}x{height} pixels; it takes multiples of {across}x{down}, at least eight.",
            "Crop it with cropped_to_fit().",
        )
    return picture


def _outline(placements: np.ndarray, sprite: tuple[int, int]) -> np.ndarray:
    rows, columns = sprite
    ends = (-0.5, columns - 0.5, -0.5, rows - 0.5)
    corners = np.array([[ends[0], ends[2], 1], [ends[1], ends[2], 1], [ends[1], ends[3], 1], [ends[0], ends[3], 1]])
    mapped = np.einsum("fij,kj->fki", placements, corners)
    return np.asarray(mapped[..., :2] / mapped[..., 2:])


def _box(mask: np.ndarray) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) around what is true; None where nothing is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


def _sha256(planes: Planes) -> str:
    digest = hashlib.sha256()
    for plane in planes:
        digest.update(np.ascontiguousarray(plane).data)
    return digest.hexdigest()
