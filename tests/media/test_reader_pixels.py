"""Every pixel format that is accepted gives the planes that ffmpeg gives, sample for sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.frame import CodedFrame
from forensic.hashes import canonical_json
from forensic.media.pixels import _CONVERSIONS, picture_of, planes_of
from forensic.media.reader import ExhibitReader
from tests.media.conftest import MakeFrame, ffmpeg, framehash

_RAW = (
    *("yuv420p", "yuv422p", "yuv444p", "yuv411p", "yuv410p", "yuv440p", "yuva420p", "yuv420p10le", "yuv422p10be"),
    *("yuv444p12le", "yuv420p16be", "nv12", "nv21", "yuyv422", "uyvy422", "yvyu422", "rgb24", "bgr24", "rgba", "bgra"),
    *("argb", "abgr", "rgb0", "bgr0", "rgb48le", "rgb48be", "bgr48le", "gray", "gray10le", "gray12be", "gray16le"),
    *("gray16be", "ya8", "gbrp"),
)


def _hashes(path: Path) -> tuple[list[str], ExhibitReader]:
    with ExhibitReader(path) as reader:
        return [frame.sha256 for frame in reader.frames()], reader


@pytest.mark.parametrize("pixel_format", _RAW)
def test_raw_footage_decodes_as_ffmpeg_does(pixel_format: str, tmp_path: Path) -> None:
    path = tmp_path / "clip.nut"
    # Odd sizes: chroma planes round up.
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=61x43:rate=5:duration=0.4", "-vf", f"format={pixel_format}",
           "-c:v", "rawvideo", path)  # fmt: skip
    ours, reader = _hashes(path)
    assert reader.facts.conversion.source == pixel_format
    assert len(ours) == 2
    assert ours == framehash(path, reader.geometry.layout.name)
    assert reader.anomaly_counts == {}


@pytest.mark.parametrize("source", sorted(set(_CONVERSIONS) - {"pal8", "gbrap16le", "gbrap16be"}))
def test_conversion_undoes_what_swscale_did(source: str, make_frame: MakeFrame) -> None:
    """libswscale shuffles noise into ``source``; ours must bring back every sample."""
    conversion = _CONVERSIONS[source]
    frame = make_frame(conversion.layout.name, 62, 44)
    if source.startswith("mono"):
        planes = (frame.planes[0] // 128 * np.uint8(255),)
        frame = CodedFrame(planes, frame.geometry, frame.colour, frame.timing, frame.stage_class)
    both_full = {"src_color_range": "JPEG", "dst_color_range": "JPEG"} if conversion.full_range else {}
    shuffled = picture_of(frame).reformat(format=source, **both_full)
    assert shuffled.format.name == source
    for back, plane in zip(planes_of(shuffled, conversion), frame.planes, strict=True):
        np.testing.assert_array_equal(back, plane)
        assert back.dtype == conversion.layout.dtype
        assert back.flags.owndata or back.base.flags.owndata


@pytest.mark.parametrize(
    ("name", "pixel_format", "canonical"),
    [
        ("a.png", "pal8", "rgb24"), ("a.png", "monob", "gray"), ("a.png", "gray16be", "gray16le"),
        ("a.png", "rgb48be", "rgb48le"), ("a.png", "rgba", "rgb24"), ("a.png", "ya8", "gray"),
        ("a.tif", "rgb24", "rgb24"), ("a.tif", "rgb48le", "rgb48le"), ("a.tif", "monow", "gray"),
        ("a.tif", "pal8", "rgb24"), ("a.bmp", "bgr24", "rgb24"), ("a.jpg", "yuvj420p", "yuv420p"),
        ("a.jpg", "yuvj444p", "yuv444p"),
    ],
)  # fmt: skip
def test_image_file_is_one_frame(name: str, pixel_format: str, canonical: str, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=61x43", "-frames:v", 1, "-pix_fmt", pixel_format, path)
    ours, reader = _hashes(path)
    assert reader.facts.is_image
    assert reader.geometry.layout.name == canonical
    assert len(ours) == 1
    # A full-range picture is compared in the "j" format: asked for yuv420p, ffmpeg would compress its range.
    assert ours == framehash(path, pixel_format if pixel_format.startswith("yuvj") else canonical)
    assert (reader.facts.conversion.dropped is not None) == (pixel_format in ("rgba", "ya8", "pal8"))


def test_bottom_up_picture_is_turned_right_way_up(tmp_path: Path) -> None:
    # Uncompressed RGB in AVI is stored bottom-up: FFmpeg hands it over with a negative stride.
    path = tmp_path / "clip.avi"
    ffmpeg(
        "-f", "lavfi", "-i", "testsrc2=size=62x42:rate=5:duration=0.4", "-pix_fmt", "bgr24", "-c:v", "rawvideo", path
    )
    ours, _ = _hashes(path)
    assert ours == framehash(path, "rgb24")


def test_format_that_would_need_rounding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.nut"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=64x48:duration=0.2", "-pix_fmt", "rgb565le", "-c:v", "rawvideo", path)
    with pytest.raises(BadInput) as caught, ExhibitReader(path):
        pass
    assert caught.value.code == "media.pixel-format"


def test_second_page_of_a_tiff_and_exif_orientation_are_on_the_record(tmp_path: Path) -> None:
    from PIL import Image

    pages = [Image.new("RGB", (80, 60), colour) for colour in ("red", "blue")]
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    exif = Image.Exif()
    exif[274] = 6
    pages[0].save(tmp_path / "turned.jpg", exif=exif)
    hashes, reader = _hashes(tmp_path / "two.tif")
    assert len(hashes) == 1
    assert reader.facts.image["pages"] == 2
    assert any("2 pages" in remark for remark in reader.facts.remarks)
    _, reader = _hashes(tmp_path / "turned.jpg")
    assert reader.facts.image["exif_orientation"] == 6
    assert (reader.geometry.width, reader.geometry.height) == (80, 60)


def test_malformed_exif_is_a_remark_and_fits_the_record(tmp_path: Path) -> None:
    from PIL import Image

    exif = Image.Exif()
    exif[274] = 6
    picture = tmp_path / "odd.jpg"
    Image.new("RGB", (80, 60)).save(picture, exif=exif)
    data = picture.read_bytes()
    # The tag's count becomes 126: 274 is no longer a single number.
    place = data.index(b"\x01\x12\x00\x03") + 4 if b"\x01\x12\x00\x03" in data else data.index(b"\x12\x01\x03\x00") + 4
    picture.write_bytes(data[:place] + b"\x7e\x00\x00\x7e" + data[place + 4 :])
    with ExhibitReader(picture) as reader:
        record = reader.facts.to_record()
    canonical_json(record)
    assert record["image"]["exif_orientation"] in ("malformed", None)
    assert any("metadata is damaged" in remark for remark in reader.facts.remarks)
