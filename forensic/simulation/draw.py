"""Profiles: documented distributions that degradations are drawn from.

``issue-table`` is the fixed setting that the project's first comparison of methods was made in (x4, Gaussian
optics, Poisson-Gaussian noise, sub-pixel jitter, H.264). ``cctv`` spans what surveillance cameras and
recorders do. docs/simulator.md gives both as tables.

All numbers are drawn in one order whether or not some are fixed afterwards, so that fixing one part
leaves the draws of the others as they are.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from forensic.errors import UsageError
from forensic.simulation.degradation import (
    VERSION,
    Codec,
    Degradation,
    Motion,
    MovingObject,
    Optics,
    Recorder,
    Sampling,
    Sensor,
)

__all__ = [
    "PROFILES", "VERSION", "Codec", "Degradation", "Motion", "MovingObject", "Optics", "Recorder", "Sampling",
    "Sensor", "draw",
]  # fmt: skip

PROFILES = ("cctv", "issue-table")
_PARTS = ("optics", "sampling", "sensor", "recorder", "codec", "motion")

#: Profile "cctv": shares and uniform ranges.
OPTICS_SHARES = (("gaussian", 0.55), ("defocus", 0.2), ("airy", 0.1), ("motion", 0.12), ("rotation", 0.03))
CODEC_SHARES = (("h264", 0.5), ("h265", 0.15), ("mpeg4", 0.1), ("mjpeg", 0.1), ("none", 0.15))
FACTOR_SHARES = ((1, 0.2), (2, 0.3), (3, 0.1), (4, 0.4))
RATES = ("25", "12.5", "15", "30000/1001", "6.25")


def draw(rng: np.random.Generator, profile: str = "cctv", **fixed: Any) -> Degradation:
    """Draw a degradation from ``profile`` (``cctv`` or ``issue-table``).

    ``fixed`` replaces what was drawn: a whole part (``optics``, ``sampling``, ``sensor``, ``recorder``,
    ``codec``, ``motion``), or ``factor`` (1 to 4), ``bayer``, ``jitter``, or ``crf`` (H.264 at that CRF; None is
    no codec). Raises ``UsageError``: ``simulation.profile``, ``simulation.parameter``.
    """
    if profile not in PROFILES:
        raise UsageError("simulation.profile", f"There is no profile {profile!r}.", f"Known: {', '.join(PROFILES)}.")
    drawn = _cctv(rng) if profile == "cctv" else _issue_table()
    unknown = sorted(set(fixed) - {*_PARTS, "factor", "bayer", "jitter", "crf"})
    if unknown:
        raise UsageError("simulation.parameter", f"draw() knows no {', '.join(unknown)}.")
    parts = {name: fixed[name] for name in _PARTS if name in fixed}
    drawn = replace(drawn, **parts)
    if "factor" in fixed or "bayer" in fixed:
        sampling = drawn.sampling
        sampling = Sampling(fixed.get("factor", sampling.factor), fixed.get("bayer", sampling.bayer))
        drawn = replace(drawn, sampling=sampling)
    if "jitter" in fixed:
        drawn = replace(drawn, motion=replace(drawn.motion, jitter=fixed["jitter"]))
    if "crf" in fixed:
        codec = drawn.codec
        name = "none" if fixed["crf"] is None else "h264"
        codec = Codec(name, crf=fixed["crf"], gop=codec.gop, bframes=codec.bframes, fps=codec.fps, preset=codec.preset)
        drawn = replace(drawn, codec=codec)
    return drawn


def _issue_table() -> Degradation:
    return Degradation(
        optics=Optics("gaussian", sigma_x=0.35, sigma_y=0.35),
        sampling=Sampling(4),
        sensor=Sensor(gain=0.02, read_noise=1.0),
        recorder=Recorder(),
        codec=Codec("h264", crf=28.0, gop=50, bframes=0),
        motion=Motion(jitter=0.5),
        profile="issue-table",
    )


def _pick(rng: np.random.Generator, shares: tuple[tuple[Any, float], ...]) -> Any:
    number = int(np.searchsorted(np.cumsum([share for _, share in shares]), rng.random(), side="right"))
    return shares[min(number, len(shares) - 1)][0]


def _some(rng: np.random.Generator, share: float, low: float, high: float) -> float:
    """Uniform from ``low`` to ``high`` in ``share`` of the cases, else zero."""
    present, value = float(rng.random()) < share, float(rng.uniform(low, high))
    return value if present else 0.0


def _cctv(rng: np.random.Generator) -> Degradation:
    return Degradation(
        optics=_cctv_optics(rng),
        sampling=Sampling(int(_pick(rng, FACTOR_SHARES)), bool(rng.random() < 0.3)),
        sensor=_cctv_sensor(rng),
        recorder=_cctv_recorder(rng),
        codec=_cctv_codec(rng),
        motion=_cctv_motion(rng),
        profile="cctv",
    )


def _cctv_optics(rng: np.random.Generator) -> Optics:
    kind = _pick(rng, OPTICS_SHARES)
    sigma = float(rng.uniform(0.2, 1.2))
    stretch = float(rng.uniform(0.6, 1.6)) if rng.random() < 0.3 else 1.0
    angle = float(rng.uniform(-90.0, 90.0))
    radius, dark_ring = float(rng.uniform(0.5, 2.5)), float(rng.uniform(0.5, 1.6))
    length, arc = float(rng.uniform(1.0, 6.0)), float(rng.uniform(0.3, 3.0))
    if kind == "gaussian":
        across = sigma * stretch
        return Optics("gaussian", sigma_x=sigma, sigma_y=across, angle=angle if stretch != 1.0 else 0.0)
    if kind == "defocus":
        return Optics("defocus", radius=radius)
    if kind == "airy":
        return Optics("airy", radius=dark_ring)
    if kind == "motion":
        return Optics("motion", length=length, angle=angle)
    return Optics("rotation", arc=arc)


def _cctv_sensor(rng: np.random.Generator) -> Sensor:
    # Shot and read noise rise together, as gain does at night; one camera in five is almost clean.
    strength = max(0.0, float(rng.uniform(-0.25, 1.0)))
    return Sensor(
        gain=0.15 * strength * float(rng.uniform(0.3, 1.0)),
        read_noise=4.0 * strength * float(rng.uniform(0.3, 1.0)),
        fixed_pattern=_some(rng, 0.3, 0.2, 1.5),
        column_pattern=_some(rng, 0.15, 0.2, 1.0),
    )


def _cctv_recorder(rng: np.random.Generator) -> Recorder:
    sharpen, sharpen_sigma = _some(rng, 0.5, 0.2, 1.5), float(rng.uniform(0.7, 1.8))
    compressed = rng.random() < 0.5  # studio range, taken for full range by what follows
    resized, share_x, share_y = float(rng.random()), float(rng.uniform(0.5, 0.95)), float(rng.uniform(0.5, 0.95))
    interlace = _pick(rng, (("none", 0.9), ("tff", 0.07), ("bff", 0.03)))
    stamp = rng.integers(0, [24, 60, 60, 32])
    text = f"CAM {int(stamp[3]) + 1:02d}  {int(stamp[0]):02d}:{int(stamp[1]):02d}:{int(stamp[2]):02d}"
    shown = rng.random() < 0.15
    corner = _pick(rng, (("top-left", 0.3), ("top-right", 0.2), ("bottom-left", 0.3), ("bottom-right", 0.2)))
    return Recorder(
        sharpen=sharpen,
        sharpen_sigma=sharpen_sigma,
        black=16.0 if compressed else 0.0,
        white=235.0 if compressed else 255.0,
        resize_x=share_x if resized < 0.15 else 1.0,
        resize_y=share_y if resized < 0.08 else 1.0,
        interlace=str(interlace),
        text=text if shown else "",
        text_corner=str(corner),
        chroma_420=True,
    )


def _cctv_codec(rng: np.random.Generator) -> Codec:
    name = str(_pick(rng, CODEC_SHARES))
    crf, qp, quality = float(rng.uniform(18.0, 40.0)), int(rng.integers(20, 41)), int(rng.integers(2, 21))
    constant = rng.random() < 0.2
    gop, bframes = int(rng.choice([12, 25, 50, 100])), int(rng.choice([0, 0, 0, 1, 2]))
    fps = RATES[int(rng.integers(len(RATES)))]
    preset = str(_pick(rng, (("ultrafast", 0.2), ("veryfast", 0.4), ("medium", 0.4))))
    if name == "none":
        return Codec("none", fps=fps)
    if name in ("mpeg4", "mjpeg"):
        return Codec(name, quality=quality, gop=gop, bframes=bframes if name == "mpeg4" else 0, fps=fps)
    if constant:
        return Codec(name, qp=qp, gop=gop, bframes=bframes, fps=fps, preset=preset)
    return Codec(name, crf=crf, gop=gop, bframes=bframes, fps=fps, preset=preset)


def _cctv_motion(rng: np.random.Generator) -> Motion:
    jitter = _some(rng, 0.7, 0.1, 1.0)
    jitter_turn = _some(rng, 0.15, 0.02, 0.2)
    pan_x, pan_y = _some(rng, 0.3, -1.5, 1.5), _some(rng, 0.2, -0.8, 0.8)
    turn, zoom = _some(rng, 0.1, -0.2, 0.2), _some(rng, 0.1, -0.004, 0.004)
    moving = MovingObject(
        centre_x=float(rng.uniform(0.25, 0.75)),
        centre_y=float(rng.uniform(0.25, 0.75)),
        width=float(rng.uniform(10.0, 40.0)),
        height=float(rng.uniform(8.0, 30.0)),
        velocity_x=float(rng.uniform(-3.0, 3.0)),
        velocity_y=float(rng.uniform(-1.0, 1.0)),
        turn=_some(rng, 0.2, -0.5, 0.5),
        zoom=_some(rng, 0.3, -0.01, 0.01),
    )
    present = rng.random() < 0.3
    return Motion(
        jitter=jitter, jitter_turn=jitter_turn, pan_x=pan_x, pan_y=pan_y, turn=turn, zoom=zoom,
        objects=(moving,) if present else (),
    )  # fmt: skip
