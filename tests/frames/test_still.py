"""Stills: a picture anyone can open, planes anyone can hash, and no way to slip another picture in."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import subprocess
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec, to_rgb
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.frames.still import CHUNK, read_still, still_png


def frame_of(layout: str, width: int = 37, height: int = 23, seed: int = 1) -> CodedFrame:
    shape = LAYOUTS[layout]
    rng = np.random.default_rng(seed)
    planes = tuple(
        rng.integers(0, shape.maximum + 1, size, dtype=shape.dtype) for size in shape.plane_shapes(width, height)
    )
    return CodedFrame(
        planes,
        Geometry(width, height, shape, Fraction(16, 11)),
        ColourSpec(1, 1, 1, False, "left"),
        FrameTiming(12, -345, Fraction(1001, 30000), True),
        StageClass.FIDELITY,
    )


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_round_trip(layout: str) -> None:
    frame = frame_of(layout)
    png = still_png(frame)
    assert png == still_png(frame)
    still = read_still(png)
    assert still.rgb_matches
    assert still.planes_sha256 == frame.sha256
    assert (still.geometry, still.colour, still.timing, still.stage_class) == (
        frame.geometry, frame.colour, frame.timing, frame.stage_class,
    )  # fmt: skip
    for back, plane in zip(still.planes, frame.planes, strict=True):
        np.testing.assert_array_equal(back, plane)


def test_other_tools_see_the_same_picture(tmp_path: Path) -> None:
    frame = frame_of("yuv420p", 98, 66)
    path = tmp_path / "still.png"
    path.write_bytes(still_png(frame))
    expected = to_rgb(frame.planes, frame.geometry.layout, frame.colour)
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), expected)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    assert raw == expected.tobytes()


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at < len(png):
        (length,) = struct.unpack_from(">I", png, at)
        found.append((png[at + 4 : at + 8], png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def assemble(parts: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )


def test_planes_can_be_taken_out_with_zlib_and_hashed() -> None:
    frame = frame_of("yuv422p10le")
    private = dict(chunks(still_png(frame)))[CHUNK]
    (length,) = struct.unpack_from(">I", private)
    assert hashlib.sha256(zlib.decompress(private[4 + length :])).hexdigest() == frame.sha256


def test_another_picture_with_the_old_planes_does_not_match() -> None:
    one, other = still_png(frame_of("yuv420p")), still_png(frame_of("yuv420p", seed=2))
    picture = dict(chunks(other))[b"IDAT"]
    swapped = assemble([(kind, picture if kind == b"IDAT" else data) for kind, data in chunks(one)])
    still = read_still(swapped)
    assert not still.rgb_matches
    assert still.planes_sha256 == frame_of("yuv420p").sha256


def test_other_planes_with_the_old_header_are_refused() -> None:
    one, other = (dict(chunks(still_png(frame_of("yuv420p", seed=seed)))) for seed in (1, 2))
    (length,) = struct.unpack_from(">I", one[CHUNK])
    (other_length,) = struct.unpack_from(">I", other[CHUNK])
    forged = one[CHUNK][: 4 + length] + other[CHUNK][4 + other_length :]
    refused(assemble([(kind, forged if kind == CHUNK else data) for kind, data in one.items()]))


def refused(png: bytes) -> None:
    with pytest.raises(BadInput) as caught:
        read_still(png)
    assert caught.value.code == "still.invalid"


def with_header(**changes: object) -> bytes:
    parts = chunks(still_png(frame_of("gray")))
    private = dict(parts)[CHUNK]
    (length,) = struct.unpack_from(">I", private)
    header = {**json.loads(private[4 : 4 + length]), **changes}
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    data = struct.pack(">I", len(text)) + text + private[4 + length :]
    return assemble([(kind, data if kind == CHUNK else old) for kind, old in parts])


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 10**6}, {"width": 38}, {"height": -1}, {"width": 16384, "height": 16384}, {"width": True},
        {"pixel_format": "nv12"}, {"pixel_format": ["gray"]}, {"pts": 1.5}, {"pts": 10**30}, {"frame": -1},
        {"time_base": "1/0"}, {"time_base": "1"}, {"time_base": "2/50"}, {"time_base": "1e9/2"}, {"time_base": None},
        {"class": "evidence"}, {"class": 3}, {"sha256": "0" * 64}, {"sha256": None}, {"colour": {}},
        {"colour": {"matrix": "1"}}, {"sample_aspect": "0:1"}, {"sample_aspect": 1}, {"pts_synthesised": 0},
        {"format": 2}, {"extra": 1},
    ],
)  # fmt: skip
def test_forged_headers_are_refused(changes: dict[str, object]) -> None:
    refused(with_header(**changes))


def test_zip_bombs_are_refused_without_unpacking_them() -> None:
    parts = chunks(still_png(frame_of("gray")))
    bomb = zlib.compress(bytes(200_000_000), 9)
    refused(assemble([(kind, bomb if kind == b"IDAT" else data) for kind, data in parts]))
    private = dict(parts)[CHUNK]
    (length,) = struct.unpack_from(">I", private)
    swollen = private[: 4 + length] + bomb
    refused(assemble([(kind, swollen if kind == CHUNK else data) for kind, data in parts]))


def test_foreign_pictures_are_refused() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    for data in (b"", b"\x89PNG\r\n\x1a\n", buffer.getvalue(), still_png(frame_of("gray")) + b"x", b"GIF89a"):
        refused(data)


@given(data=st.data())
def test_any_change_to_the_bytes_is_noticed(data: st.DataObject) -> None:
    png = bytearray(still_png(frame_of("yuv420p", 16, 12)))
    place = data.draw(st.integers(0, len(png) - 1))
    png[place] ^= data.draw(st.integers(1, 255))
    refused(bytes(png))


@given(st.binary(max_size=400))
def test_garbage_after_the_signature(data: bytes) -> None:
    refused(b"\x89PNG\r\n\x1a\n" + data)


def test_the_matrix_for_display_survives_and_older_stills_without_it_are_read() -> None:
    frame = frame_of("yuv420p")
    colour = ColourSpec().for_display(1080)
    still = read_still(still_png(CodedFrame(frame.planes, frame.geometry, colour, frame.timing, frame.stage_class)))
    assert still.rgb_matches and still.colour == colour and colour.display_matrix == 1
    old = {key: value for key, value in frame.colour.to_record().items() if key != "display_matrix"}
    assert read_still(with_header(colour=old)).colour == frame.colour
    for wrong in (0, 2, "1", True):
        refused(with_header(colour={**old, "display_matrix": wrong}))
