"""Self-ensemble dispersion: zero where it must be, seen where a process prefers a direction."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.errors import InternalError
from forensic.frames.frame import Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass
from forensic.risk.dihedral import DIHEDRAL, dispersion, transforms_for


def _with_luma(frame, luma):
    return frame.touched(StageClass.FIDELITY, (np.ascontiguousarray(luma), *frame.planes[1:]))


def _scene(rows=48, columns=64, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (rows, columns))


def test_the_eight_transforms_differ_and_are_undone():
    plane = np.arange(12, dtype=np.float32).reshape(3, 4)
    seen = {transform.apply(plane).tobytes() + bytes(transform.apply(plane).shape) for transform in DIHEDRAL}
    assert len(seen) == 8
    for transform in DIHEDRAL:
        np.testing.assert_array_equal(transform.undo(transform.apply(plane)), plane)


def test_a_place_is_where_its_pixel_went():
    plane = np.arange(35, dtype=np.float32).reshape(5, 7)
    for transform in DIHEDRAL:
        made, matrix = transform.apply(plane), transform.matrix(7, 5)
        for y, x in np.ndindex(5, 7):
            column, row, _ = matrix @ (x, y, 1)
            assert made[int(row), int(column)] == plane[y, x], transform.label


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "gray", "rgb24", "yuv422p", "yuv411p", "yuv440p"])
def test_an_equivariant_process_has_no_dispersion(coded, layout):
    frame = coded(_scene(), layout).to_working()
    result = dispersion(lambda window, at: window[at], [frame], 0)
    assert result.deviation.shape == (48, 64)
    assert result.deviation.max() == 0.0
    assert len(result.transforms) == (4 if layout in ("yuv422p", "yuv411p", "yuv440p") else 8)
    assert (result.note is None) == (len(result.transforms) == 8)


def test_an_isotropic_filter_is_equivariant_to_rounding(coded):
    frame = coded(_scene()).to_working()

    def blur(window, at):
        return _with_luma(window[at], cv2.GaussianBlur(window[at].luma, (0, 0), 1.3, borderType=cv2.BORDER_REFLECT))

    assert dispersion(blur, [frame], 0).deviation.max() < 1e-3


def test_a_process_with_a_preferred_direction_is_seen_where_it_acts(coded):
    luma = np.full((48, 64), 100)
    luma[20:28, 30:40] = 200
    frame = coded(luma).to_working()
    result = dispersion(lambda window, at: _with_luma(window[at], np.roll(window[at].luma, 1, axis=1)), [frame], 0)
    assert result.deviation.max() > 30
    assert result.deviation[:15].max() == 0.0


def test_deviation_is_the_sample_standard_deviation(coded):
    frame = coded(np.full((16, 16), 100), "gray").to_working()
    values = iter(range(8))
    result = dispersion(
        lambda window, at: _with_luma(window[at], window[at].luma + np.float32(next(values))), [frame], 0
    )
    np.testing.assert_allclose(result.deviation, np.std(np.arange(8), ddof=1), rtol=1e-5)


def test_all_planes_and_the_whole_window_are_transformed_alike(coded):
    window = [coded(_scene(seed=seed), index=seed).to_working() for seed in range(3)]
    seen = []

    def watch(frames, at):
        assert [frame.timing.index for frame in frames] == [0, 1, 2]
        assert at == 1
        for frame in frames:
            assert tuple(plane.shape for plane in frame.planes) == frame.geometry.plane_shapes
        seen.append((frames[0].geometry.width, frames[0].geometry.height))
        mean = sum(frame.luma for frame in frames) * np.float32(1 / 3)
        return _with_luma(frames[at], mean)

    assert dispersion(watch, window, 1).deviation.max() < 1e-3
    assert sorted(set(seen)) == [(48, 64), (64, 48)]
    assert len(seen) == 8


def test_sample_aspect_turns_with_the_picture(coded):
    from fractions import Fraction

    from forensic.frames.frame import WorkingFrame

    base = coded(_scene()).to_working()
    geometry = Geometry(64, 48, base.geometry.layout, Fraction(4, 3))
    frame = WorkingFrame(base.planes, geometry, base.colour, base.timing, base.stage_class)
    aspects = set()

    def watch(window, at):
        aspects.add((window[at].geometry.width, window[at].geometry.sample_aspect))
        return window[at]

    dispersion(watch, [frame], 0)
    assert aspects == {(64, Fraction(4, 3)), (48, Fraction(3, 4))}


def test_a_process_that_crops_by_position_is_refused(coded):
    frame = coded(_scene()).to_working()

    def crop(window, at):
        source = window[at]
        geometry = Geometry(32, 16, LAYOUTS["gray"])
        return source.touched(StageClass.GEOMETRIC, (np.ascontiguousarray(source.luma[:16, :32]),), geometry=geometry)

    with pytest.raises(InternalError) as caught:
        dispersion(crop, [frame], 0)
    assert caught.value.code == "risk.dispersion-shape"


def test_layouts_with_square_subsampling_take_all_transforms():
    for layout in LAYOUTS.values():
        square = layout.chroma_shift_x == layout.chroma_shift_y
        assert len(transforms_for(layout)) == (8 if square else 4)
