"""The invisible mark in generative pixels: put in once, found again after what people do to videos, and only then."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view

from forensic.errors import VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import CodedFrame, FrameTiming, Geometry
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.media.label import EDGES, burn, is_labelled
from forensic.media.reader import ExhibitReader
from forensic.media.stills import write_still
from forensic.media.watermark import _tile, marked, sealed, sealed_once, waves
from forensic.media.watermark_keys import Mark, key_id, mark_of_record, run_key
from forensic.media.watermark_search import FRAMES, MOST, TURNS, Looked, Sample, Spectra, look
from forensic.media.writer import MasterWriter
from tests.media.conftest import MakeFrame, ffmpeg

Pictures = list[np.ndarray]
KEY = run_key("e" * 64, "0" * 64)
OTHER = run_key("f" * 64, "0" * 64)


def _gray(picture: np.ndarray, index: int = 0) -> CodedFrame:
    geometry = Geometry(picture.shape[1], picture.shape[0], layout_named("gray"))
    timing = FrameTiming(index, index, Fraction(1, 25))
    return CodedFrame((picture.copy(),), geometry, ColourSpec(), timing, StageClass.GENERATIVE)


def _look(pictures: Pictures, **keys: bytes) -> Looked:
    sample = Sample()
    for index, picture in enumerate(pictures):
        sample.take(_gray(np.ascontiguousarray(picture), index))
    return look(sample, keys)


@pytest.fixture(scope="module")
def footage_frames(street_clip: Path) -> Pictures:
    """Real street footage at the size that an enlargement of it has."""
    with ExhibitReader(street_clip) as reader:
        planes = [frame.planes[0] for frame, _ in zip(reader.frames(), range(4), strict=False)]
    return [cv2.resize(plane, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for plane in planes]


@pytest.fixture(scope="module")
def output(footage_frames: Pictures) -> Pictures:
    """The same, as written by a generative run."""
    return [sealed(_gray(picture), Mark(KEY)).planes[0] for picture in footage_frames]


def _coded(pictures: Pictures, crf: int, folder: Path) -> Pictures:
    rows, columns = (side // 2 * 2 for side in pictures[0].shape)
    raw, made, back = folder / "in.raw", folder / "coded.mp4", folder / "out.raw"
    raw.write_bytes(b"".join(np.ascontiguousarray(picture[:rows, :columns]).tobytes() for picture in pictures))
    shape = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{columns}x{rows}")
    ffmpeg(*shape, "-i", raw, "-c:v", "libx264", "-threads", 1, "-pix_fmt", "yuv420p", "-crf", crf, made)
    ffmpeg("-i", made, "-f", "rawvideo", "-pix_fmt", "gray", back)
    return list(np.frombuffer(back.read_bytes(), np.uint8).reshape(-1, rows, columns))


def _scaled(pictures: Pictures, by: float) -> Pictures:
    kind = cv2.INTER_AREA if by < 1 else cv2.INTER_CUBIC
    return [cv2.resize(picture, None, fx=by, fy=by, interpolation=kind) for picture in pictures]


def _cropped(pictures: Pictures) -> Pictures:
    """70 % of width and height, off the middle and off the tile."""
    rows, columns = pictures[0].shape
    top, left = round(0.11 * rows), round(0.23 * columns)
    return [picture[top : top + rows * 7 // 10, left : left + columns * 7 // 10] for picture in pictures]


def reencoded_at_crf_28(pictures: Pictures, folder: Path) -> Pictures:
    return _coded(pictures, 28, folder)


def scaled_to_half(pictures: Pictures, folder: Path) -> Pictures:
    return _scaled(pictures, 0.5)


def scaled_to_double_and_reencoded(pictures: Pictures, folder: Path) -> Pictures:
    return _coded(_scaled(pictures[:2], 2), 28, folder)


def cropped_to_70_percent(pictures: Pictures, folder: Path) -> Pictures:
    return _cropped(pictures)


def cropped_and_reencoded(pictures: Pictures, folder: Path) -> Pictures:
    return _coded(_cropped(pictures), 28, folder)


def cropped_scaled_and_reencoded(pictures: Pictures, folder: Path) -> Pictures:
    return _coded(_scaled(_cropped(pictures), 0.75), 28, folder)


def letterboxed_and_reencoded(pictures: Pictures, folder: Path) -> Pictures:
    return _coded([cv2.copyMakeBorder(picture, 90, 90, 0, 0, cv2.BORDER_CONSTANT) for picture in pictures], 28, folder)


Attack = Callable[[Pictures, Path], Pictures]
ATTACKS: list[Attack] = [
    reencoded_at_crf_28, scaled_to_half, scaled_to_double_and_reencoded, cropped_to_70_percent, cropped_and_reencoded,
    cropped_scaled_and_reencoded, letterboxed_and_reencoded,
]  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_mark_is_found_after(attack: Attack, output: Pictures, tmp_path: Path) -> None:
    looked = _look(attack(output, tmp_path))
    assert looked.found and looked.is_public and looked.run_found is None, looked


@pytest.mark.parametrize(("attack", "scale"), [(reencoded_at_crf_28, 1.0), (scaled_to_half, 0.5)])
def test_run_and_scale_are_told(attack: Attack, scale: float, output: Pictures, tmp_path: Path) -> None:
    looked = _look(attack(output, tmp_path), this=KEY, other=OTHER)
    assert looked.run_found == "this"
    assert looked.public is not None and looked.public.scale == pytest.approx(scale, abs=0.01)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
def test_source_of_the_same_run_has_no_mark_after(attack: Attack, footage_frames: Pictures, tmp_path: Path) -> None:
    looked = _look(attack(footage_frames, tmp_path), this=KEY)
    assert not looked.found, looked


def _label_alone(rng: np.random.Generator) -> np.ndarray:
    return burn(_gray(np.full((480, 640), 90, np.uint8))).planes[0]


def _blocks_of_a_codec(rng: np.random.Generator) -> np.ndarray:
    return np.kron(rng.integers(60, 200, (60, 80)), np.ones((8, 8))).astype(np.uint8)


def _pattern_of_the_tile(rng: np.random.Generator) -> np.ndarray:
    return np.tile(rng.integers(0, 256, (128, 128)), (4, 5)).astype(np.uint8)


def _stripes(rng: np.random.Generator) -> np.ndarray:
    down, right = np.mgrid[:480, :640]
    return np.rint(128 + 100 * np.sin(2 * np.pi * (5 * down + 9 * right) / 128)).astype(np.uint8)


def _noise(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(0, 256, (480, 640)).astype(np.uint8)


def _black(rng: np.random.Generator) -> np.ndarray:
    return np.zeros((480, 640), np.uint8)


@pytest.mark.parametrize("picture", [_label_alone, _blocks_of_a_codec, _pattern_of_the_tile, _stripes, _noise, _black])
def test_pictures_that_might_be_mistaken_are_not(picture: Callable[[np.random.Generator], np.ndarray]) -> None:
    looked = _look([picture(np.random.default_rng(5))])
    assert not looked.found, looked


def test_bound_on_false_alarms_holds_over_many_keys(footage_frames: Pictures) -> None:
    """The largest agreement of 300 foreign keys with one picture is far from what counts, and is not 0 either."""
    spectra = Spectra([_scaled(footage_frames[:1], 0.5)[0].astype(np.float32)])
    best = spectra.search({str(number): bytes([number % 256, number // 256]) * 16 for number in range(300)})
    assert best is not None
    assert 1e-4 < best[1].p <= 1.0 and best[1].z > 4.0
    assert best[1].looks == len(spectra.scales) * 64**2 * 300


def test_still_of_a_written_frame_is_not_marked_again(output: Pictures, tmp_path: Path) -> None:
    frame = _gray(output[0])
    written, _ = write_still(tmp_path / "still.png", frame)
    assert written.sha256 == frame.sha256 == sealed_once(frame).sha256


def test_label_of_an_exhibit_does_not_keep_the_mark_out(footage_frames: Pictures, tmp_path: Path) -> None:
    """Only frames that the same run wrote before are left as they are, and somebody says so."""
    labelled = burn(_gray(footage_frames[0]))
    assert _look([sealed(labelled, Mark(KEY)).planes[0]], this=KEY).run_found == "this"
    base = labelled.timing.time_base
    with MasterWriter(tmp_path / "m.mkv", labelled.geometry, labelled.colour, base, mark=Mark(KEY)) as writer:
        written = writer.write(labelled)
    assert _look([written.planes[0]], this=KEY).run_found == "this"
    with MasterWriter(tmp_path / "n.mkv", labelled.geometry, labelled.colour, base, mark=Mark(KEY)) as writer:
        assert writer.write(written, again=True).sha256 == written.sha256


TURNED: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mirrored left to right": np.fliplr,
    "mirrored top to bottom": np.flipud,
    "turned by 180 degrees": lambda picture: np.rot90(picture, 2),
    "turned by 90 degrees clockwise": lambda picture: np.rot90(picture, -1),
    "turned by 90 degrees anticlockwise": np.rot90,
    "mirrored at the falling diagonal": np.transpose,
    "mirrored at the rising diagonal": lambda picture: np.rot90(picture, 2).T,
}


@pytest.mark.parametrize("turn", TURNS)
def test_mark_is_found_in_a_mirrored_or_turned_picture(turn: str, output: Pictures) -> None:
    looked = _look([TURNED[turn](output[0])], this=KEY, other=OTHER)
    assert looked.found and looked.turned is not None and looked.turned.turned == turn
    assert looked.run_found == "this" and looked.to_record()["turned"]["how"] == turn


def test_turned_pictures_without_the_mark_are_not_mistaken(footage_frames: Pictures) -> None:
    looked = _look([np.fliplr(picture) for picture in footage_frames])
    assert not looked.found and looked.turned is not None
    assert looked.turned.looks == 7 * len(Spectra([footage_frames[0].astype(np.float32)]).scales) * 64**2


@pytest.mark.parametrize("size", [(64, 64), (97, 301), (133, 67), (261, 129), (385, 200)])
@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "rgb24", "gray16le"])
def test_strips_give_what_the_whole_picture_gives(make_frame: MakeFrame, layout: str, size: tuple[int, int]) -> None:
    """Against the definition, all at once: deviation of 11x11 samples, mirrored at the border."""
    frame = make_frame(layout, *size, stage_class=StageClass.GENERATIVE)
    described = frame.geometry.layout
    luma = frame.planes[1 if described.family == "rgb" else 0]
    windows = sliding_window_view(np.pad(luma.astype(np.int64), 5, mode="reflect"), (11, 11))
    total, squares = windows.sum((2, 3)), (windows**2).sum((2, 3))
    deviation = np.sqrt((121 * squares - total**2).astype(np.float64)) / 121
    rows, columns = luma.shape
    tile = np.tile(_tile(Mark(KEY)), (rows // 128 + 1, columns // 128 + 1))[:rows, :columns]
    strength = np.clip(1.2 + 0.16 * deviation / described.grey_scale, 1.2, 3.0)
    added = np.rint(tile * strength * (described.grey_scale / 256)).astype(np.int64)
    for number, (before, after) in enumerate(zip(frame.planes, marked(frame, Mark(KEY)).planes, strict=True)):
        wanted = before if described.family == "yuv" and number else np.clip(before + added, 0, described.maximum)
        assert after.dtype == before.dtype and np.array_equal(after, wanted)


def test_no_writer_of_stills_leaves_generative_pixels_unmarked(footage_frames: Pictures, tmp_path: Path) -> None:
    written, _ = write_still(tmp_path / "still.png", _gray(footage_frames[0]))
    assert is_labelled(written) and _look([written.planes[0]]).is_public


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p10le", "rgb24", "rgb48le", "gray", "gray16le"])
def test_mark_is_the_same_each_time_small_and_in_brightness_alone(make_frame: MakeFrame, layout: str) -> None:
    frame = make_frame(layout, 200, 150, stage_class=StageClass.GENERATIVE)
    first, again = marked(frame, Mark(KEY)), marked(frame, Mark(KEY))
    assert first.sha256 == again.sha256 != marked(frame, Mark(OTHER)).sha256
    assert first.stage_class is StageClass.GENERATIVE and first.timing == frame.timing
    for number, (before, after) in enumerate(zip(frame.planes, first.planes, strict=True)):
        change = (after.astype(np.float64) - before) / frame.geometry.layout.grey_scale
        if frame.geometry.layout.family == "yuv" and number:
            assert not change.any()
        else:
            assert 0.5 < change.std() < 3.2 and np.abs(change).max() <= 16.0
    assert len({tuple(wave) for wave in waves()} | {tuple(-wave) for wave in waves()}) == 2 * len(waves())


def test_strength_in_an_even_picture_is_what_is_stated() -> None:
    even = _gray(np.full((256, 256), 120, np.uint8))
    assert (marked(even, Mark(KEY)).planes[0].astype(float) - 120).std() == pytest.approx(1.2, abs=0.1)


def test_run_of_a_version_without_mark_is_repeated_without_it() -> None:
    frame = _gray(np.full((128, 128), 99, np.uint8))
    assert mark_of_record(None, "e" * 64, "0" * 64) is None
    assert sealed(frame, None, EDGES).sha256 == burn(frame, EDGES).sha256
    told = Mark(KEY).to_record()
    assert mark_of_record(told, "e" * 64, "0" * 64) == Mark(KEY)
    assert told["run_key_id"] == key_id(KEY)
    for other in ({**told, "scheme": "spread/9"}, {**told, "run_key_id": key_id(OTHER)}, {}, 7):
        with pytest.raises(VerificationFailed, match=r"run\.watermark"):
            mark_of_record(other, "e" * 64, "0" * 64)


@pytest.mark.parametrize("count", [1, 5, 6, 7, 12, 13, 100])
def test_sample_is_spread_over_the_file(count: int) -> None:
    sample = Sample()
    for index in range(count):
        sample.take(_gray(np.full((8, 8), index, np.uint8), index))
    taken = [int(picture[0, 0]) for picture in sample.pictures()]
    assert len(taken) == min(count, FRAMES) and taken == sorted(set(taken))
    assert taken[0] == 0 and taken[-1] >= count // 2


def test_small_pictures_are_not_looked_at_and_that_is_said() -> None:
    looked = _look([np.zeros((95, 400), np.uint8)])
    assert looked == Looked(0) and not looked.found
    assert looked.to_record() == {
        "scheme": "spread/1", "frames": 0, "most": MOST, "public": None, "turned": None, "run_keys": 0, "run": None,
        "found": False,
    }  # fmt: skip
