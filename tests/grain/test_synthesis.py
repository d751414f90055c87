"""Grain is made exactly as a decoder makes it."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import ForensicError, UsageError
from forensic.grain.parameters import GrainParameters, neighbours
from forensic.grain.synthesis import (
    LARGEST_SEED,
    bounds,
    frame_seed,
    noise,
    random_numbers,
    scaling_table,
    templates,
)
from forensic.grain.table import format_table, parse_table
from tests.grain.planting import FINE, scene

PEER = Path(__file__).parent / "peer"
LIBAOM_STEP = 3381  # by which libaom moves the seed from frame to frame


def _decoded(path: Path, grain: bool) -> list[tuple[np.ndarray, ...]]:
    """Planes of every frame as dav1d gives them, with or without its grain."""
    frames = []
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert context.codec.name == "libdav1d"
        if not grain:
            context.options = {"export_side_data": "film_grain"}
        for frame in container.decode(video=0):
            kind = np.uint8 if frame.format.name == "yuv420p" else np.uint16
            planes = []
            for number, plane in enumerate(frame.planes):
                samples = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size).view(kind)
                size = (frame.height, frame.width) if not number else ((frame.height + 1) // 2, (frame.width + 1) // 2)
                planes.append(samples[: size[0], : size[1]].astype(np.int32))
            frames.append(tuple(planes))
    return frames


@pytest.mark.parametrize("bits", [8, 10])
def test_the_same_bits_as_dav1d(bits: int) -> None:
    """Files of libaom with given parameters: lag 3 in all planes, colour with luma's grain, odd sizes, overlap."""
    parameters, seed = parse_table((PEER / "grain.tbl").read_bytes())
    path = PEER / f"grain-{bits}bit.mkv"
    clean, made = _decoded(path, False), _decoded(path, True)
    assert len(clean) == len(made) == 2
    for index, (before, after) in enumerate(zip(clean, made, strict=True)):
        added = noise(before, parameters, (seed + LIBAOM_STEP * index) & 65535, bits, (1, 1))
        for number, (plane, own, theirs) in enumerate(zip(before, added, after, strict=True)):
            assert own is not None and np.count_nonzero(own) > own.size // 2
            np.testing.assert_array_equal(np.clip(plane + own, *bounds(parameters, number, bits)), theirs)


def test_the_register_runs_through_every_number_and_chance_is_a_function_of_seed_and_frame() -> None:
    drawn = random_numbers(1, LARGEST_SEED, 16)
    assert len(np.unique(drawn)) == LARGEST_SEED and not np.any(drawn == 0)
    state, expected = 4711, []
    for _ in range(50):  # as the specification writes it
        bit = (state ^ (state >> 1) ^ (state >> 3) ^ (state >> 12)) & 1
        state = (state >> 1) | (bit << 15)
        expected.append((state >> 5) & 2047)
    assert random_numbers(4711, 50, 11).tolist() == expected
    assert len({frame_seed(0, index) for index in range(LARGEST_SEED)}) == LARGEST_SEED
    assert frame_seed(3, 0) == 4 and frame_seed(0, LARGEST_SEED) == frame_seed(0, 0)


def test_seeds_give_other_grain_with_the_same_statistics() -> None:
    flat = (np.full((256, 256), 128, np.int32),)
    made = [noise(flat, FINE, seed, 8, None)[0] for seed in (5, 6)]
    assert made[0] is not None and made[1] is not None
    assert abs(np.corrcoef(made[0].ravel(), made[1].ravel())[0, 1]) < 0.05
    assert made[0].std() == pytest.approx(made[1].std(), rel=0.1)


def test_grain_follows_its_curve() -> None:
    levels = np.repeat(np.arange(0, 256, dtype=np.int32), 2)[None].repeat(512, axis=0)
    made = noise((levels,), FINE, 9, 8, None)[0]
    assert made is not None
    table = scaling_table(FINE.luma_points, 8)
    assert table[[0, 64, 128, 255]].tolist() == [30, 110, 150, 40] and table[32] == 70
    assert made[:, 240:270].std() > 2.5 * made[:, :8].std()


def test_an_unstable_filter_stays_within_the_limits_of_the_template() -> None:
    count = len(neighbours(3))
    wild = GrainParameters(((0, 255),), lag=3, luma_coefficients=(127,) * count, cb_coefficients=(0,) * (count + 1),
                           cr_coefficients=(0,) * (count + 1), ar_shift=6)  # fmt: skip
    grain = templates(wild, 1, 8, None)[0]
    assert grain is not None and grain.min() >= -128 and grain.max() <= 127


bytes_ = st.integers(0, 255)
coefficient = st.integers(-128, 127)


@st.composite
def _parameters(draw: st.DrawFn) -> GrainParameters:
    def points(most: int) -> tuple[tuple[int, int], ...]:
        levels = draw(st.lists(bytes_, max_size=most, unique=True))
        return tuple((level, draw(bytes_)) for level in sorted(levels))

    lag = draw(st.integers(0, 3))
    count = len(neighbours(lag))
    from_luma = draw(st.booleans())
    cb, cr = ((), ()) if from_luma else (points(10), points(10))
    luma_row, cb_row, cr_row = (
        tuple(draw(st.lists(coefficient, min_size=size, max_size=size))) for size in (count, count + 1, count + 1)
    )
    return GrainParameters(
        points(14), cb, cr, draw(st.integers(8, 11)), lag, luma_row, cb_row, cr_row, draw(st.integers(6, 9)),
        draw(st.integers(0, 3)), from_luma, draw(bytes_), draw(bytes_), draw(st.integers(0, 511)), draw(bytes_),
        draw(bytes_), draw(st.integers(0, 511)), draw(st.booleans()),
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(_parameters(), st.integers(0, 65535))
def test_a_table_says_what_it_was_written_from(parameters: GrainParameters, seed: int) -> None:
    assert parse_table(format_table(parameters, seed).encode()) == (parameters, seed)


@settings(max_examples=15, deadline=None)
@given(_parameters(), st.integers(0, 65535), st.sampled_from([(1, 1), (1, 0), (0, 0), None]), st.sampled_from([8, 12]))
def test_any_parameters_make_grain_of_the_size_of_the_picture(
    parameters: GrainParameters, seed: int, sub: tuple[int, int] | None, bits: int
) -> None:
    rows, columns = 45, 71
    planes = [np.full((rows, columns), 90 << (bits - 8), np.int32)]
    if sub is not None:
        planes += [np.full(((rows + sub[1]) >> sub[1], (columns + sub[0]) >> sub[0]), 99, np.int32)] * 2
    made = noise(tuple(planes), parameters, seed, bits, sub)
    assert len(made) == len(planes)
    for number, (plane, added) in enumerate(zip(planes, made, strict=True)):
        assert (added is None) is not bool(parameters.points_of(number))
        if added is not None:
            assert added.shape == plane.shape and np.abs(added).max() <= (255 * (128 << (bits - 8))) >> 8


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_a_damaged_table_is_refused_or_read_and_nothing_else(data: st.DataObject) -> None:
    text = bytearray(format_table(FINE, 1).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        parameters, seed = parse_table(bytes(text))
    except ForensicError as error:
        assert error.code in ("grain.table", "grain.parameters")
    else:
        assert isinstance(parameters, GrainParameters) and 0 <= seed <= 65535


@pytest.mark.parametrize(
    "wrong",
    [
        {"luma_points": ((5, 1), (5, 2))},
        {"luma_points": tuple((level, 1) for level in range(15))},
        {"cb_points": ((0, 256),)},
        {"scaling_shift": 12},
        {"lag": 4},
        {"lag": 1},
        {"ar_shift": 5},
        {"cb_coefficients": (128,)},
        {"chroma_from_luma": True, "cb_points": ((0, 1),)},
        {"cr_offset": 512},
    ],
)
def test_what_the_bitstream_cannot_hold_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"grain\.parameters"):
        GrainParameters(**wrong)  # type: ignore[arg-type]


def test_colour_follows_the_luma_grain_by_its_last_coefficient() -> None:
    clean = scene()
    made = noise(clean, FINE, 21, 8, (1, 1))
    assert all(one is not None for one in made)
    luma, cb, cr = (np.asarray(one, np.float64) for one in made)
    mean = luma.reshape(128, 2, 160, 2).mean(axis=(1, 3))
    alike = [np.corrcoef(mean.ravel(), plane.ravel())[0, 1] for plane in (cb, cr)]
    assert alike[0] > 0.05 and alike[1] < -0.05, "coefficients 9 and -9"
