"""The stated forward model: what training and evaluation do to a clean luma plane to make a CCTV-like one.

Order: optical Gaussian blur, 2x2 area integration by the photosite, shot and read noise, 8-bit
quantisation, then one intra frame of JPEG or H.264 (or no compression). All draws come from one
seeded generator per picture, so the result does not depend on the order of work.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import av
import cv2
import numpy as np

Codec = Literal["none", "jpeg", "h264"]
SCALE = 2

#: Ranges drawn from, uniformly, in training. Blur is the standard deviation in low-resolution pixels.
BLUR_SIGMA = (0.0, 1.2)
SHOT_GAIN = (0.0, 0.05)  # noise variance per grey level
READ_SIGMA = (0.0, 2.5)  # grey levels
JPEG_QUALITY = (40, 95)
H264_QP = (18, 34)
CODEC_SHARES: tuple[tuple[Codec, float], ...] = (("jpeg", 0.42), ("h264", 0.43), ("none", 0.15))


@dataclass(frozen=True)
class Degradation:
    """One draw: blur in low-resolution pixels, noise in grey levels, codec with its quality or QP."""

    blur_sigma: float
    shot_gain: float
    read_sigma: float
    codec: Codec
    quality: int


def draw(rng: np.random.Generator, codec: Codec | None = None, quality: tuple[int, int] | None = None) -> Degradation:
    """Draw a degradation; ``codec`` and ``quality`` (inclusive range) narrow it for one bucket of an evaluation."""
    names = [name for name, _ in CODEC_SHARES]
    chosen = codec or names[int(rng.choice(len(names), p=[share for _, share in CODEC_SHARES]))]
    # Shot and read noise rise together, as gain does at night; one picture in five has none.
    strength = max(0.0, float(rng.uniform(-0.25, 1.0)))
    low, high = quality or {"jpeg": JPEG_QUALITY, "h264": H264_QP, "none": (0, 0)}[chosen]
    return Degradation(
        blur_sigma=float(rng.uniform(*BLUR_SIGMA)),
        shot_gain=strength * SHOT_GAIN[1],
        read_sigma=strength * READ_SIGMA[1],
        codec=chosen,
        quality=int(rng.integers(low, high + 1)),
    )


def degrade(clean: np.ndarray, how: Degradation, rng: np.random.Generator) -> np.ndarray:
    """Make the low-resolution picture: uint8 [H, W] (both multiples of 4) to uint8 [H/2, W/2]."""
    blurred = clean.astype(np.float32)
    if how.blur_sigma > 0:
        blurred = cv2.GaussianBlur(blurred, (0, 0), SCALE * how.blur_sigma)
    height, width = clean.shape
    small = blurred.reshape(height // SCALE, SCALE, width // SCALE, SCALE).mean(axis=(1, 3))
    deviation = np.sqrt(how.shot_gain * small + how.read_sigma**2)
    noisy = small + deviation * rng.standard_normal(small.shape, dtype=np.float32)
    pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    if how.codec == "jpeg":
        return through_jpeg(pixels, how.quality)
    if how.codec == "h264":
        return through_h264(pixels, how.quality)
    return pixels


def through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    """Baseline JPEG, one component, at libjpeg quality ``quality``."""
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("JPEG encoding failed")
    return cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)


def through_h264(pixels: np.ndarray, qp: int) -> np.ndarray:
    """One H.264 intra frame (x264, constant QP, in-loop deblocking on), luma with neutral 4:2:0 chroma."""
    height, width = pixels.shape
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.options = {"x264-params": f"qp={qp}:ipratio=1:keyint=1:threads=1:log-level=none"}
    planes = np.concatenate([pixels, np.full((height // 2, width), 128, np.uint8)])
    frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    frames = [out for packet in packets for out in decoder.decode(packet)] + list(decoder.decode(None))
    if len(frames) != 1:
        raise RuntimeError(f"{len(frames)} frames decoded where one was encoded")
    return np.ascontiguousarray(frames[0].to_ndarray()[:height])
