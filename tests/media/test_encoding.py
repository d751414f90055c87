"""Coding in memory: real encoders, a real decoder, the same bytes every time, checked by ffmpeg and ffprobe."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.errors import UsageError
from forensic.media.encoding import Encoded, contained, transcode
from tests.media.conftest import framehash, probe_field

_CASES: list[dict[str, Any]] = [
    {"codec": "h264", "crf": 26},
    {"codec": "h264", "qp": 30, "gop": 4, "bframes": 2, "preset": "veryfast"},
    {"codec": "h264", "crf": 26, "interlaced": "tff"},
    {"codec": "h265", "crf": 28, "bframes": 2},
    {"codec": "h265", "qp": 30, "gop": 3},
    {"codec": "mpeg4", "quality": 5, "gop": 4, "bframes": 1},
    {"codec": "mpeg4", "quality": 16},
    {"codec": "mjpeg", "quality": 6},
]
_IDS = ["-".join(str(value) for value in case.values()) for case in _CASES]


def moving_pictures(count: int = 9, height: int = 80, width: int = 112, seed: int = 0) -> list[tuple[np.ndarray, ...]]:
    """A drifting pattern with noise: 4:2:0 planes."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    pictures = []
    for number in range(count):
        luma = 128 + 60 * np.sin((x + number) / 7.0) + 40 * np.cos((y - number / 2) / 5.0 + x / 19.0)
        luma = np.clip(luma + rng.normal(0, 2, luma.shape), 0, 255).astype(np.uint8)
        chroma = (128 + 30 * np.sin(x[: height // 2, : width // 2] / 9.0 + number / 3.0)).astype(np.uint8)
        pictures.append((luma, chroma, 255 - chroma))
    return pictures


def psnr(encoded: Encoded, pictures: list[tuple[np.ndarray, ...]]) -> float:
    error = [np.mean((a[0].astype(float) - b[0]) ** 2) for a, b in zip(encoded.frames, pictures, strict=True)]
    return float(10 * np.log10(255**2 / np.mean(error)))


@pytest.mark.parametrize("case", _CASES, ids=_IDS)
def test_another_decoder_makes_the_same_pictures(case: dict[str, Any], tmp_path: Path) -> None:
    encoded = transcode(moving_pictures(), **case)
    path = tmp_path / "clip"
    path.write_bytes(contained(encoded, "avi" if case["codec"] == "mjpeg" else "matroska"))
    layout = "yuv420p" if case["codec"] == "mpeg4" else "yuvj420p"  # the others note the full range
    ours = [hashlib.sha256(b"".join(plane.tobytes() for plane in planes)).hexdigest() for planes in encoded.frames]
    assert framehash(path, layout) == ours


@pytest.mark.parametrize("case", _CASES, ids=_IDS)
def test_repeated_runs_give_the_same_bytes_whatever_lies_in_memory(case: dict[str, Any]) -> None:
    # Padding that is not zeroed and tables that are read before they are written show up as differences here.
    pictures, rng, seen = moving_pictures(7, 68, 92), np.random.default_rng(1), set()
    for _ in range(8):
        litter = [rng.integers(0, 256, int(rng.integers(1, 200_000)), dtype=np.uint8) for _ in range(3)]
        encoded = transcode(pictures, **case)
        digest = hashlib.sha256(encoded.data)
        for planes in encoded.frames:
            for plane in planes:
                digest.update(plane.tobytes())
        seen.add(digest.hexdigest())
        del litter
    assert len(seen) == 1


@pytest.mark.parametrize("case", _CASES, ids=_IDS)
def test_pictures_come_back_in_order_at_their_times(case: dict[str, Any]) -> None:
    pictures = moving_pictures()
    encoded = transcode(pictures, fps=Fraction(30000, 1001), **case)
    assert encoded.pts == tuple(range(9)) and encoded.time_base == Fraction(1001, 30000)
    assert sorted(encoded.packet_pts) == list(range(9))
    assert list(encoded.packet_dts) == sorted(encoded.packet_dts)
    assert all(dts <= pts for dts, pts in zip(encoded.packet_dts, encoded.packet_pts, strict=True))
    for number in range(9):
        errors = [np.abs(encoded.frames[number][0].astype(int) - planes[0]).mean() for planes in pictures]
        assert int(np.argmin(errors)) == number


@pytest.mark.parametrize(
    ("case", "container"), list(zip(_CASES[:4], ["mp4", "matroska", "mpegts", "mp4"], strict=True))
)
def test_types_sizes_and_times_are_those_that_ffprobe_sees(
    case: dict[str, Any], container: Any, tmp_path: Path
) -> None:
    encoded = transcode(moving_pictures(), fps=25, **case)
    path = tmp_path / "clip"
    path.write_bytes(contained(encoded, container))
    assert probe_field(path, "frame=pict_type") == list(encoded.frame_types)
    times = [float(text) for text in probe_field(path, "frame=pts_time")]
    assert np.allclose(np.diff(times), 1 / 25, atol=0.0011)
    if container != "mpegts":
        sizes = [int(text) for text in probe_field(path, "frame=pkt_size")]
        assert sum(encoded.packet_sizes) == len(encoded.data)
        assert len(sizes) == 9


def test_gop_and_b_frames_are_as_asked() -> None:
    encoded = transcode(moving_pictures(), codec="h264", qp=30, gop=4, bframes=0)
    assert encoded.frame_types == ("I", "P", "P", "P", "I", "P", "P", "P", "I")
    assert "B" in transcode(moving_pictures(), codec="h264", qp=30, bframes=2).frame_types
    assert set(transcode(moving_pictures(), codec="mjpeg", quality=4, bframes=2).frame_types) == {"I"}


def test_a_constant_quantiser_is_the_one_that_was_asked_for() -> None:
    encoded = transcode(moving_pictures(height=96, width=96), codec="h264", qp=30)
    assert encoded.frame_types[1] == "P"
    maps = [each for each in encoded.qp_maps if each is not None]
    assert len(maps) == 9 and maps[1].shape == (6, 6)
    assert encoded.qps[1] == pytest.approx(30, abs=0.01)
    assert encoded.qps[0] == pytest.approx(27, abs=0.01)  # x264's ipratio of 1.4: 6 log2(1.4) = 2.9
    mpeg = transcode(moving_pictures(), codec="mpeg4", quality=7, bframes=1)
    # The last picture leaves FFmpeg's decoder in the flush, without its quantisers.
    assert [coding.scale for coding in mpeg.codings[:-1]] == ["mpeg"] * 8
    assert all(qp == pytest.approx(14) for qp in mpeg.qps[:-1])  # the scale counts in steps of two
    assert transcode(moving_pictures(), codec="h265", qp=30).qps == (None,) * 9


@pytest.mark.parametrize(
    ("codec", "control", "values"),
    [("h264", "crf", (12, 20, 28, 35, 45)), ("h265", "crf", (12, 20, 28, 35, 45)), ("mpeg4", "quality", (2, 6, 14, 28)),
     ("mjpeg", "quality", (2, 6, 14, 28))],
)  # fmt: skip
def test_coarser_settings_cost_fidelity_and_save_bytes(codec: Any, control: str, values: tuple[int, ...]) -> None:
    pictures = moving_pictures()
    encoded = [transcode(pictures, codec=codec, **{control: value}) for value in values]  # type: ignore[arg-type]
    fidelity = [psnr(each, pictures) for each in encoded]
    assert fidelity == sorted(fidelity, reverse=True)
    sizes = [len(each.data) for each in encoded]
    assert sizes == sorted(sizes, reverse=True)
    assert fidelity[0] - fidelity[-1] > 5


def test_lossless_settings_lose_nothing() -> None:
    pictures = [(luma, luma[::-1].copy(), luma[:, ::-1].copy()) for luma, _, _ in moving_pictures(4)]
    encoded = transcode(pictures, codec="h264", qp=0, pixel_format="yuv444p")
    for before, after in zip(pictures, encoded.frames, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_settings_name_everything_that_was_set() -> None:
    settings = transcode(moving_pictures(3), codec="h264", crf=23.5, gop=12).settings
    assert settings["encoder"] == "libx264" and settings["threads"] == 1
    for word in ("crf=23.5", "keyint=12", "threads=1"):
        assert word in settings["options"]["x264-params"]
    assert settings["libraries"]["libavcodec"].count(".") == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"codec": "vp9", "crf": 20},
        {"codec": "h264"},
        {"codec": "h264", "crf": 20, "qp": 20},
        {"codec": "h264", "quality": 3},
        {"codec": "mjpeg", "crf": 20},
        {"codec": "mjpeg", "quality": 0},
        {"codec": "h264", "crf": 99},
        {"codec": "h264", "crf": float("nan")},
        {"codec": "h264", "qp": 20, "gop": 0},
        {"codec": "h264", "qp": 20, "bframes": 9},
        {"codec": "h264", "qp": 20, "fps": 0},
        {"codec": "h264", "qp": 20, "fps": Fraction(100001, 10000)},
        {"codec": "h264", "qp": 20, "preset": "fast:keyint=1"},
        {"codec": "h264", "qp": 20, "pixel_format": "rgb24"},
        {"codec": "mpeg4", "quality": 4, "pixel_format": "yuv444p"},
        {"codec": "h265", "qp": 20, "interlaced": "tff"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        transcode(moving_pictures(1), **wrong)
    assert caught.value.code == "media.encode-parameter"


@pytest.mark.parametrize(
    "pictures",
    [
        [],
        [(np.zeros((64, 64), np.uint8),)],
        [(np.zeros((64, 63), np.uint8), np.zeros((32, 31), np.uint8), np.zeros((32, 31), np.uint8))],
        [(np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8), np.zeros((64, 64), np.uint8))],
        [(np.zeros((64, 64), np.float32), np.zeros((32, 32), np.uint8), np.zeros((32, 32), np.uint8))],
        [(np.zeros((8, 8), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8))],
    ],
)
def test_pictures_that_cannot_be_coded_are_refused(pictures: list[tuple[np.ndarray, ...]]) -> None:
    with pytest.raises(UsageError) as caught:
        transcode(pictures, codec="h264", crf=20)
    assert caught.value.code == "media.encode-picture"
