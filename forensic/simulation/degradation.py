"""What is done to a clean scene, in numbers: one immutable, checked, JSON-able record.

Lengths are in pixels of the recording (low resolution) unless said otherwise, levels in grey levels
of the 8-bit scale, angles in degrees counter-clockwise as seen on the screen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from typing import Any

from forensic.errors import BadInput, UsageError

#: Raised whenever the same record and seed would give other pictures than before.
VERSION = 1

OPTICS = ("none", "gaussian", "defocus", "airy", "motion", "rotation")
CODECS = ("none", "h264", "h265", "mpeg4", "mjpeg")
INTERLACE = ("none", "tff", "bff")
_RATE = re.compile(r"[0-9]{1,5}(/[0-9]{1,5}|\.[0-9]{1,3})?")


def _wrong(message: str) -> UsageError:
    return UsageError("simulation.parameter", message)


def _within(owner: str, name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise _wrong(f"{owner} {name} is {value!r}; it must be a number from {low:g} to {high:g}.")


def _whole(owner: str, name: str, value: object, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _wrong(f"{owner} {name} is {value!r}; it must be a whole number from {low} to {high}.")


def _one_of(owner: str, name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise _wrong(f"{owner} {name} is {value!r}; it must be one of {', '.join(choices)}.")


def _flag(owner: str, name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise _wrong(f"{owner} {name} is {value!r}; it must be true or false.")


def frame_rate(text: object) -> Fraction:
    """Frames per second from ``25``, ``12.5`` or ``30000/1001``. Raises ``UsageError`` ``simulation.parameter``."""
    if isinstance(text, str) and _RATE.fullmatch(text) and not text.endswith(("/0", "/00", "/000", "/0000", "/00000")):
        rate = Fraction(text)
        if 0 < rate <= 240 and rate.numerator < 65536:  # MPEG-4 Part 2 has 16 bits for it
            return rate
    raise _wrong(f"Codec fps is {text!r}; it must be text such as '25', '12.5' or '30000/1001', at most 240.")


@dataclass(frozen=True)
class Optics:
    """Blur before the sensor. Which numbers count depends on ``kind``; the others must stay zero.

    ``gaussian``: ``sigma_x`` along ``angle``, ``sigma_y`` across it. ``defocus``: ``radius`` of the disc.
    ``airy``: ``radius`` of the first dark ring. ``motion``: a line of ``length`` at ``angle``.
    ``rotation``: a turn by ``arc`` degrees about the picture's middle during the exposure.
    """

    kind: str = "none"
    sigma_x: float = 0.0
    sigma_y: float = 0.0
    angle: float = 0.0
    radius: float = 0.0
    length: float = 0.0
    arc: float = 0.0

    def __post_init__(self) -> None:
        _one_of("Optics", "kind", self.kind, OPTICS)
        used: dict[str, dict[str, tuple[float, float]]] = {
            "none": {},
            "gaussian": {"sigma_x": (0.05, 8.0), "sigma_y": (0.05, 8.0), "angle": (-180.0, 180.0)},
            "defocus": {"radius": (0.1, 12.0)},
            "airy": {"radius": (0.1, 6.0)},
            "motion": {"length": (0.1, 40.0), "angle": (-180.0, 180.0)},
            "rotation": {"arc": (0.01, 30.0)},
        }
        for part in fields(self)[1:]:
            low, high = used[self.kind].get(part.name, (0.0, 0.0))
            _within(f"Optics ({self.kind})", part.name, getattr(self, part.name), low, high)


@dataclass(frozen=True)
class Sampling:
    """The sensor's grid: every recorded pixel is the mean of ``factor`` x ``factor`` scene pixels.

    ``bayer``: one colour per photosite (RGGB), interpolated after Malvar, He and Cutler (2004).
    """

    factor: int = 4
    bayer: bool = False

    def __post_init__(self) -> None:
        _whole("Sampling", "factor", self.factor, 1, 4)
        _flag("Sampling", "bayer", self.bayer)


@dataclass(frozen=True)
class Sensor:
    """Noise of a photosite: variance = ``gain`` x level + ``read_noise``**2.

    ``gain`` in grey levels (variance per level: how many levels one photoelectron is worth).
    ``fixed_pattern``, ``column_pattern``: standard deviation, in levels, of an offset of every photosite and
    of every column that stays the same through the recording.
    """

    gain: float = 0.0
    read_noise: float = 0.0
    fixed_pattern: float = 0.0
    column_pattern: float = 0.0

    def __post_init__(self) -> None:
        _within("Sensor", "gain", self.gain, 0.0, 8.0)
        for name in ("read_noise", "fixed_pattern", "column_pattern"):
            _within("Sensor", name, getattr(self, name), 0.0, 40.0)


@dataclass(frozen=True)
class Recorder:
    """What the camera's and the recorder's processing do before the codec, in this order.

    ``sharpen`` times the difference to a Gaussian blur of ``sharpen_sigma`` px is added (halos). Then the
    range is compressed: level 0 becomes ``black``, 255 becomes ``white``. ``resize_x``, ``resize_y`` (up to
    1) reduce the picture by that factor and enlarge it again to its size: a recorder that stores less than
    it claims. ``interlace``: the two fields are half a frame apart in time, top or bottom first. ``text``:
    an on-screen display of that text, white with a black rim, in corner ``text_corner``. ``chroma_420``:
    chroma at half resolution both ways (always so with a codec that needs it).
    """

    sharpen: float = 0.0
    sharpen_sigma: float = 1.0
    black: float = 0.0
    white: float = 255.0
    resize_x: float = 1.0
    resize_y: float = 1.0
    interlace: str = "none"
    text: str = ""
    text_corner: str = "bottom-left"
    chroma_420: bool = True

    def __post_init__(self) -> None:
        _within("Recorder", "sharpen", self.sharpen, 0.0, 4.0)
        _within("Recorder", "sharpen_sigma", self.sharpen_sigma, 0.3, 5.0)
        _within("Recorder", "black", self.black, 0.0, 96.0)
        _within("Recorder", "white", self.white, 128.0, 255.0)
        _within("Recorder", "resize_x", self.resize_x, 0.25, 1.0)
        _within("Recorder", "resize_y", self.resize_y, 0.25, 1.0)
        _one_of("Recorder", "interlace", self.interlace, INTERLACE)
        if (
            not isinstance(self.text, str)
            or len(self.text) > 64
            or not (self.text.isascii() and self.text.isprintable())
        ):
            raise _wrong(f"Recorder text is {self.text!r}; it must be up to 64 printable ASCII characters.")
        _one_of("Recorder", "text_corner", self.text_corner, ("top-left", "top-right", "bottom-left", "bottom-right"))
        _flag("Recorder", "chroma_420", self.chroma_420)


@dataclass(frozen=True)
class Codec:
    """Codec and its settings, as in :func:`forensic.media.encoding.transcode`; ``none`` only rounds to 8 bits.

    One of ``crf``, ``qp`` (h264, h265) and ``quality`` (mpeg4, mjpeg: quantiser scale, 1 best to 31) is set.
    ``fps`` is a fraction as text.
    """

    name: str = "none"
    crf: float | None = None
    qp: int | None = None
    quality: int | None = None
    gop: int = 50
    bframes: int = 0
    fps: str = "25"
    preset: str = "medium"

    def __post_init__(self) -> None:
        _one_of("Codec", "name", self.name, CODECS)
        wanted = {"none": (), "h264": ("crf", "qp"), "h265": ("crf", "qp")}.get(self.name, ("quality",))
        given = [name for name in ("crf", "qp", "quality") if getattr(self, name) is not None]
        if len(given) != (1 if wanted else 0) or any(name not in wanted for name in given):
            raise _wrong(f"Codec {self.name} takes exactly one of {wanted or 'nothing'}, not {given or 'nothing'}.")
        if self.crf is not None:
            _within("Codec", "crf", self.crf, 0.0, 51.0)
        if self.qp is not None:
            _whole("Codec", "qp", self.qp, 0, 51)
        if self.quality is not None:
            _whole("Codec", "quality", self.quality, 1, 31)
        _whole("Codec", "gop", self.gop, 1, 1000)
        _whole("Codec", "bframes", self.bframes, 0, 4)
        frame_rate(self.fps)
        if not isinstance(self.preset, str):
            raise _wrong(f"Codec preset is {self.preset!r}; it must be the name of an x264 preset.")


@dataclass(frozen=True)
class MovingObject:
    """A flat patch that moves in front of the scene.

    ``centre_x``, ``centre_y``: its middle in the reference frame as a share of width and height; ``width``,
    ``height`` in pixels; ``velocity_x``, ``velocity_y`` in pixels per frame; ``turn`` in degrees per frame;
    ``zoom``: relative growth per frame. ``sprite``: number of the picture handed to the simulator that it
    shows, or -1 for a part of the scene itself, chosen by the seed.
    """

    centre_x: float = 0.5
    centre_y: float = 0.5
    width: float = 16.0
    height: float = 12.0
    velocity_x: float = 0.0
    velocity_y: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    sprite: int = -1

    def __post_init__(self) -> None:
        for name, low, high in (
            ("centre_x", -1.0, 2.0), ("centre_y", -1.0, 2.0), ("width", 2.0, 2048.0), ("height", 2.0, 2048.0),
            ("velocity_x", -64.0, 64.0), ("velocity_y", -64.0, 64.0), ("turn", -45.0, 45.0), ("zoom", -0.2, 0.2),
        ):  # fmt: skip
            _within("MovingObject", name, getattr(self, name), low, high)
        _whole("MovingObject", "sprite", self.sprite, -1, 63)


@dataclass(frozen=True)
class Motion:
    """Movement of the camera and of objects, relative to the reference frame, which shows the scene unmoved.

    ``jitter`` (px) and ``jitter_turn`` (degrees): standard deviation of an independent normal displacement of
    every frame. ``pan_x``, ``pan_y`` (px), ``turn`` (degrees), ``zoom`` (relative): steady change per frame.
    """

    jitter: float = 0.0
    jitter_turn: float = 0.0
    pan_x: float = 0.0
    pan_y: float = 0.0
    turn: float = 0.0
    zoom: float = 0.0
    objects: tuple[MovingObject, ...] = ()

    def __post_init__(self) -> None:
        _within("Motion", "jitter", self.jitter, 0.0, 16.0)
        _within("Motion", "jitter_turn", self.jitter_turn, 0.0, 10.0)
        _within("Motion", "pan_x", self.pan_x, -64.0, 64.0)
        _within("Motion", "pan_y", self.pan_y, -64.0, 64.0)
        _within("Motion", "turn", self.turn, -45.0, 45.0)
        _within("Motion", "zoom", self.zoom, -0.2, 0.2)
        if not isinstance(self.objects, tuple) or any(not isinstance(one, MovingObject) for one in self.objects):
            raise _wrong("Motion objects must be a tuple of MovingObject.")

    @property
    def is_shift(self) -> bool:
        """Whether the camera's motion is a pure displacement."""
        return not (self.jitter_turn or self.turn or self.zoom)


@dataclass(frozen=True)
class Degradation:
    """Everything that is done to a scene. ``profile`` names the distribution it was drawn from, if any."""

    optics: Optics = field(default_factory=Optics)
    sampling: Sampling = field(default_factory=Sampling)
    sensor: Sensor = field(default_factory=Sensor)
    recorder: Recorder = field(default_factory=Recorder)
    codec: Codec = field(default_factory=Codec)
    motion: Motion = field(default_factory=Motion)
    profile: str = "stated"
    version: int = VERSION

    def __post_init__(self) -> None:
        for name, kind in _PARTS.items():
            if not isinstance(getattr(self, name), kind):
                raise _wrong(f"Degradation {name} must be a {kind.__name__}.")
        if not isinstance(self.profile, str) or len(self.profile) > 64:
            raise _wrong("Degradation profile must be a name of up to 64 characters.")
        if isinstance(self.version, bool) or self.version != VERSION:
            raise UsageError(
                "simulation.version",
                f"This simulator is version {VERSION}; the record is of version {self.version!r}.",
                "Use the release of the tool that wrote the record.",
            )
        if self.recorder.white <= self.recorder.black:
            raise _wrong("Recorder white must lie above black.")
        if self.codec.name == "mpeg4" and not self.recorder.chroma_420:
            raise _wrong("MPEG-4 Part 2 codes 4:2:0 only; recorder chroma_420 must be true.")

    def to_record(self) -> dict[str, Any]:
        """Every parameter, JSON-able."""
        record = asdict(self)
        record["motion"]["objects"] = list(record["motion"]["objects"])
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Degradation:
        """Inverse of :meth:`to_record`. Every parameter must be there and no other.

        Raises ``BadInput`` ``simulation.record``, or ``UsageError`` where a value is out of its range.
        """
        parts: dict[str, Any] = dict(_checked_keys(cls, record))
        for name, kind in _PARTS.items():
            values = dict(_checked_keys(kind, parts[name]))
            if kind is Motion:
                if not isinstance(values["objects"], list | tuple):
                    raise BadInput("simulation.record", "Motion objects must be a list.")
                values["objects"] = tuple(
                    MovingObject(**_checked_keys(MovingObject, each)) for each in values["objects"]
                )
            parts[name] = kind(**values)
        return cls(**parts)


_PARTS: dict[str, type[Any]] = {
    "optics": Optics,
    "sampling": Sampling,
    "sensor": Sensor,
    "recorder": Recorder,
    "codec": Codec,
    "motion": Motion,
}


def _checked_keys(kind: type[Any], record: object) -> Mapping[str, Any]:
    expected = {part.name for part in fields(kind)}
    if not isinstance(record, Mapping):
        raise BadInput("simulation.record", f"The record of {kind.__name__} is not an object.")
    if set(record) != expected:
        missing, strange = sorted(expected - set(record)), sorted(map(str, set(record) - expected))
        raise BadInput(
            "simulation.record",
            f"The record of {kind.__name__} lacks {missing or 'nothing'} and has {strange or 'nothing'} too many.",
        )
    return record
