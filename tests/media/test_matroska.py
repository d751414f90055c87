"""The EBML patching behind exact times."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.errors import ForensicError
from forensic.media.matroska import (
    CRC32,
    INFO,
    TAGS,
    TRACKS,
    TimeScale,
    _duration,
    _encode,
    _void,
    children,
    finish,
    top_level,
)
from forensic.media.writer import MasterWriter
from tests.media.conftest import MakeFrame, noise_frame


@pytest.mark.parametrize(
    ("time_base", "scale", "exact"),
    [
        ("1/12800", 78_125, True), ("1/1000", 1_000_000, True), ("1/25", 10_000_000, True), ("1/10", 12_500_000, True),
        ("1/90000", 1, False), ("1/30000", 1, False), ("1001/30000", 1, False), ("1/12", 1, False),
        ("1/1", 15_625_000, True), ("1/1000000000", 1, True), ("1/16000", 62_500, True),
    ],
)  # fmt: skip
def test_scale(time_base: str, scale: int, exact: bool) -> None:
    chosen = TimeScale.of(Fraction(time_base))
    assert (chosen.scale, chosen.exact) == (scale, exact)


@given(
    st.fractions(min_value=Fraction(1, 10**6), max_value=1).filter(lambda f: f > 0),
    st.integers(-(10**9), 10**12),
)
def test_times_are_recovered_exactly(time_base: Fraction, pts: int) -> None:
    scale = TimeScale.of(time_base)
    seconds = scale.ticks(pts) * Fraction(scale.scale, 10**9)
    assert abs(seconds - pts * time_base) <= Fraction(1, 2 * 10**9)
    assert round(seconds / time_base) == pts
    if scale.exact:
        assert seconds == pts * time_base


@given(st.integers(1, 0xFFFFFFF), st.binary(max_size=300))
def test_element_round_trip(number: int, payload: bytes) -> None:
    identity = number | (1 << (7 * ((number.bit_length() + 6) // 7)))  # add the length marker
    data = _encode(identity, payload) if identity < 1 << 28 else _encode(0xEC, payload)
    (element,) = children(data, 0, len(data))
    assert data[element.data : element.end] == payload


@given(st.integers(2, 500))
def test_void_has_the_size_that_was_asked_for(size: int) -> None:
    data = _void(size)
    (element,) = children(data, 0, len(data))
    assert len(data) == size and element.id == 0xEC


@given(st.integers(0, 99 * 3600 * 1000), st.sampled_from([1_000_000, 500_000, 10_000_000 // 4]))
def test_duration_text(milliseconds: int, scale: int) -> None:
    text = f"{milliseconds // 3_600_000:02d}:{milliseconds // 60_000 % 60:02d}:{milliseconds % 60_000 / 1000:012.9f}"
    out = _duration(text.encode().ljust(20, b"\0"), scale).rstrip(b"\0").decode()
    hours, minutes, seconds = out.split(":")
    real = milliseconds * scale
    if real < 100 * 3600 * 10**9:
        assert (int(hours) * 60 + int(minutes)) * 60 + Fraction(seconds) == Fraction(real, 10**9)


@given(st.binary(max_size=200))
def test_garbage_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(ForensicError) as caught:
        finish(io.BytesIO(data), 1, title="", texts={}, width=1, height=1, aspect=None)
    assert caught.value.code.startswith("matroska.")


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("master") / "m.mkv"
    frame = noise_frame("gray", 64, 64)
    with MasterWriter(path, frame.geometry, frame.colour, frame.timing.time_base) as writer:
        writer.write(frame)
    return path.read_bytes()


@given(data=st.data())
def test_mangled_headers_are_refused_or_patched_in_place(data: st.DataObject, master: bytes) -> None:
    mangled = bytearray(master)
    for place, value in data.draw(
        st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), min_size=1, max_size=8)
    ):
        mangled[place] = value
    stream = io.BytesIO(bytes(mangled))
    try:
        finish(stream, 1, title="", texts={}, width=64, height=64, aspect=None)
    except ForensicError as error:
        assert error.code.startswith("matroska.")
    assert len(stream.getvalue()) == len(mangled)


def test_checksums_of_patched_elements_are_right(tmp_path: Path, make_frame: MakeFrame) -> None:
    import zlib

    path = tmp_path / "m.mkv"
    frame = make_frame("yuv420p", aspect=Fraction(16, 11), time_base=Fraction(1, 12800))
    with MasterWriter(path, frame.geometry, frame.colour, frame.timing.time_base) as writer:
        writer.write(frame)
    data = path.read_bytes()
    checked = set()
    with path.open("rb") as stream:
        for element in top_level(stream):
            parts = list(children(data, element.data, element.end)) if element.id in (INFO, TRACKS, TAGS) else []
            if parts:
                assert parts[0].id == CRC32
                stored = int.from_bytes(data[parts[0].data : parts[0].end], "little")
                assert stored == zlib.crc32(data[parts[0].end : element.end])
                checked.add(element.id)
    assert checked == {INFO, TRACKS, TAGS}
