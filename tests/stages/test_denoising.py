"""Denoising and deblocking: less noise, no ghosts, no colour bleed, edges where they were."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import cv2
import numpy as np
import pytest

from forensic.stages import catalogue
from forensic.stages.deblock import thresholds
from forensic.stages.kernels import KERNELS
from forensic.stages.registration import translation
from forensic.stages.resampling import AxisMap, resample


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255.0**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def test_nlmeans_reduces_noise_and_keeps_edges(picture, working):
    clean = picture(96, 128)
    noisy = clean + np.random.default_rng(1).normal(0, 5, clean.shape)
    frame = working(128, 96, "gray", planes=(noisy,))
    made = catalogue.build("nlmeans", {"luma_noise": 5.0}).process([frame], 0).planes[0]
    assert psnr(made, clean) > psnr(noisy, clean) + 3.0


def test_nlmeans_has_no_strips_and_no_border(working):
    """Moving the picture by rows moves the result by rows: nothing depends on where a strip of work begins."""
    generator = np.random.default_rng(3)
    tall = generator.normal(120, 4, (230, 40)).astype(np.float32)
    stage = catalogue.build("nlmeans", {"search_radius": 3})
    whole = stage.process([working(40, 230, "gray", planes=(tall,))], 0).planes[0]
    lower = stage.process([working(40, 193, "gray", planes=(tall[37:],))], 0).planes[0]
    assert np.array_equal(whole[37 + 4 :], lower[4:])


def test_nlmeans_leaves_a_noise_free_flat_picture_alone(working):
    frame = working(40, 30, "gray", planes=(np.full((30, 40), 99.5),))
    made = catalogue.build("nlmeans", {}).process([frame], 0).planes[0]
    assert np.abs(made - 99.5).max() < 1e-4


def blocky(clean: np.ndarray, quality: int) -> np.ndarray:
    done, data = cv2.imencode(".jpg", np.rint(clean).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE).astype(np.float32)


def blockiness(plane: np.ndarray) -> float:
    steps = np.abs(np.diff(plane, axis=1)).mean(axis=0)
    at_edge = np.arange(1, plane.shape[1]) % 8 == 0
    return float(steps[at_edge].mean() / steps[~at_edge].mean())


def test_deblocking_takes_block_steps_away_and_brings_the_picture_nearer(picture, working):
    clean = cv2.GaussianBlur(picture(128, 160), (0, 0), 2.0)
    coded = blocky(clean, 15)
    frame = working(160, 128, "gray", planes=(coded,))
    made = catalogue.build("deblock", {"luma_strength": 36}).process([frame], 0).planes[0]
    assert blockiness(made) < 0.6 * blockiness(coded)
    assert psnr(made, clean) > psnr(coded, clean) + 0.3


def test_deblocking_leaves_a_real_edge_on_the_grid_alone(working):
    step = np.where(np.arange(64) < 32, 60.0, 160.0) * np.ones((48, 1))
    frame = working(64, 48, "gray", planes=(step,))
    made = catalogue.build("deblock", {"luma_strength": 30}).process([frame], 0).planes[0]
    assert np.array_equal(made, frame.planes[0])


def test_deblocking_touches_nothing_but_block_edges(working):
    ramp = np.tile(np.arange(64.0) * 0.7, (64, 1)) + np.random.default_rng(0).normal(0, 1, (64, 64))
    frame = working(64, 64, "gray", planes=(ramp,))
    made = catalogue.build("deblock", {"luma_strength": 34, "grid_x": 4, "grid_y": 4}).process([frame], 0).planes[0]
    middle = (np.arange(64) - 4) % 8
    inside = (middle >= 3) & (middle < 5)
    assert np.array_equal(made[np.ix_(inside, inside)], frame.planes[0][np.ix_(inside, inside)])
    assert not np.array_equal(made, frame.planes[0])


def test_deblocking_after_a_crop_works_on_the_same_blocks(picture, working):
    frame = working(96, 64, planes=(blocky(picture(64, 96), 20), picture(32, 48, 1), picture(32, 48, 2)))
    stage = catalogue.build("deblock", {"luma_strength": 40, "chroma_strength": 40})
    crop = catalogue.build("crop", {"x": 22, "y": 10, "width": 60, "height": 40})
    first = crop.process([stage.process([frame], 0)], 0)
    second = stage.after_crop(22, 10).process([crop.process([frame], 0)], 0)
    for number, (a, b) in enumerate(zip(first.planes, second.planes, strict=True)):
        margin = 8 if number == 0 else 4  # near the cut, an edge lacks the samples beyond it
        assert np.array_equal(a[margin:-margin, margin:-margin], b[margin:-margin, margin:-margin])


def test_thresholds_are_those_of_the_paper():
    assert thresholds(15) == (0.0, 0.0)
    alpha, beta = thresholds(36)
    assert round(alpha) == 50 and beta == 11.0  # H.264 table 8-16 has 50 and 11 at index 36


def still_and_moving(working, count: int, shift: float = 0.0):
    """Noisy frames of a still scene in which a disc moves; ``shift`` pixels of camera motion per frame."""
    from tests.stages.conftest import scene

    generator = np.random.default_rng(11)
    wide = cv2.GaussianBlur(scene(160, 200), (0, 0), 1.0)
    frames, truths = [], []
    y, x = np.mgrid[:120, :160]
    for index in range(count):
        axis_x = AxisMap(160, offset=Fraction(20) + Fraction(round(64 * shift * index), 64))
        truth = resample(wide, AxisMap(120, offset=Fraction(20)), axis_x, KERNELS["lanczos"]).copy()
        truth[(x - 40 - 14 * index) ** 2 + (y - 60) ** 2 < 100] = 235
        truths.append(truth)
        noisy = truth + generator.normal(0, 3, truth.shape)
        frames.append(working(160, 120, "gray", planes=(noisy,), index=index))
    return frames, truths


def test_temporal_averaging_reduces_noise_and_leaves_no_ghost(working):
    frames, truths = still_and_moving(working, 5)
    made, note = catalogue.build("temporal-average", {"frames": 2}).process_noted(frames, 2)
    before, after = frames[2].planes[0] - truths[2], made.planes[0] - truths[2]
    assert after.std() < 0.55 * before.std(), "five frames: towards 1/sqrt(5)"
    y, x = np.mgrid[:120, :160]
    for index in (0, 1, 3, 4):  # where the disc was or will be, nothing of it may show
        ghost = (x - 40 - 14 * index) ** 2 + (y - 60) ** 2 < 64
        assert abs(after[ghost].mean()) < 1.5
    disc = (x - 68) ** 2 + (y - 60) ** 2 < 64
    assert abs(after[disc].mean()) < 1.5
    assert [row["frame"] for row in note["averaged"]] == [0, 1, 3, 4]
    assert all(
        row["rejected"] is None and row["shift"] == [0.0, 0.0] and 0.6 < row["weight"] < 1 for row in note["averaged"]
    )


@pytest.mark.parametrize(("noise", "kept"), [(0.0, 11.9), (3.0, 10.5)])
def test_temporal_averaging_keeps_a_thin_moving_line_and_averages_the_noise_beside_it(noise, kept, working):
    generator = np.random.default_rng(3)
    frames = []
    for index in range(5):
        plane = np.full((120, 160), 100.0)
        plane[:, 60 + 4 * index] += 12
        frames.append(working(160, 120, "gray", planes=(plane + generator.normal(0, noise, plane.shape),), index=index))
    made = catalogue.build("temporal-average", {"frames": 2, "registration": "none"}).process(frames, 2).planes[0]
    beside = made[:, 100:]
    assert made[:, 68].mean() - beside.mean() >= kept
    for ghost in (60, 64, 72, 76):
        assert abs(made[:, ghost].mean() - beside.mean()) < 1.0
    assert beside.std() <= 0.52 * noise, "five frames: towards 0.45"


def test_temporal_averaging_keeps_a_single_moving_pixel(working):
    frames = []
    for index in range(5):
        plane = np.full((60, 80), 100.0)
        plane[10:50:16, 20 + 4 * index] += 28
        frames.append(working(80, 60, "gray", planes=(plane,), index=index))
    made = catalogue.build("temporal-average", {"frames": 2, "registration": "none"}).process(frames, 2).planes[0]
    assert np.array_equal(made, frames[2].planes[0])


def test_temporal_averaging_follows_a_moving_camera_in_fractions_of_a_pixel(working):
    frames, truths = still_and_moving(working, 3, shift=2.6)
    made, note = catalogue.build("temporal-average", {"frames": 1}).process_noted(frames, 1)
    shifts = [row["shift"][0] for row in note["averaged"]]
    assert abs(shifts[0] - 2.6) < 0.1 and abs(shifts[1] + 2.6) < 0.1
    inner = slice(8, -8), slice(8, -8)
    before, after = (frames[1].planes[0] - truths[1])[inner], (made.planes[0] - truths[1])[inner]
    assert after.std() < 0.75 * before.std()


def test_a_cut_or_a_change_of_light_is_not_averaged_and_the_record_says_so(working):
    frames, _ = still_and_moving(working, 3)
    other = working(160, 120, "gray", seed=99, index=2)
    brighter = working(160, 120, "gray", planes=(frames[0].planes[0] + 40,), index=0)
    made, note = catalogue.build("temporal-average", {"frames": 1}).process_noted([brighter, frames[1], other], 1)
    assert np.array_equal(made.planes[0], frames[1].planes[0])
    assert all(row["rejected"] for row in note["averaged"])


def test_registration_finds_shifts_both_ways_and_does_not_write_into_its_arguments(picture):
    """OpenCV's phaseCorrelate multiplies its window into pictures of a suitable size, read-only or not."""
    wide = cv2.GaussianBlur(picture(160, 200), (0, 0), 1.0)
    here = np.ascontiguousarray(wide[20:148, 20:180])
    for dx, dy in ((0, 0), (7, -5), (-12, 9)):
        there = np.ascontiguousarray(wide[20 + dy : 148 + dy, 20 + dx : 180 + dx])
        copies = here.copy(), there.copy()
        shift = translation(here, there)
        assert np.array_equal(here, copies[0]) and np.array_equal(there, copies[1])
        assert abs(shift.dx + dx) < 0.05 and abs(shift.dy + dy) < 0.05


def test_a_repetitive_scene_does_not_mislead_the_registration():
    y, x = np.mgrid[:128, :160]
    pattern = 100 + 60 * np.sin(x / 17 + y / 31)
    generator = np.random.default_rng(5)
    a, b = (np.rint(pattern + generator.normal(0, 3, pattern.shape)).astype(np.float32) for _ in range(2))
    shift = translation(a, b)
    assert abs(shift.dx) < 0.2 and abs(shift.dy) < 0.2


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "rgb24"])
def test_temporal_averaging_does_not_smear_colour_where_only_colour_moves(layout, working):
    frames = []
    for index in range(3):
        shapes = working(64, 48, layout).geometry.plane_shapes
        planes = [np.full(shape, 128.0) for shape in shapes]
        planes[2][10:20, 8 + 8 * index : 16 + 8 * index] = 170
        frames.append(working(64, 48, layout, planes=tuple(planes), index=index))
    made = catalogue.build("temporal-average", {"frames": 1, "registration": "none"}).process(frames, 1)
    assert np.abs(made.planes[2] - frames[1].planes[2]).max() < 0.01
    assert np.abs(made.planes[0] - frames[1].planes[0]).max() < 0.01


@pytest.mark.parametrize(
    ("order", "keep", "kept"),
    [("top", "first", 0), ("top", "second", 1), ("bottom", "first", 1), ("bottom", "second", 0)],
)
def test_deinterlacing_keeps_the_lines_of_one_field(order, keep, kept, working):
    frames = []
    for index in range(3):
        plane = np.zeros((48, 64))
        for field in (0, 1):  # a bright bar that moves between fields
            time = 2 * index + (field if order == "top" else 1 - field)
            plane[field::2, :] = 60
            plane[field::2, 4 + 6 * time : 14 + 6 * time] = 200
        frames.append(working(64, 48, "gray", planes=(plane,), index=index))
    stage = catalogue.build("deinterlace", {"field_order": order, "keep": keep})
    made = stage.process(frames, 1).planes[0]
    assert np.array_equal(made[kept::2], frames[1].planes[0][kept::2])
    other = made[1 - kept :: 2][2:-2]
    assert np.abs(other - made[kept::2][2:-2]).mean() < 8, "the other lines follow the kept instant: no comb"
    assert stage.process(frames[:2], 0).geometry == frames[0].geometry
    assert stage.process(frames[1:], 1).geometry == frames[0].geometry


def boiling(working, count: int, fine: float) -> tuple[list, np.ndarray]:
    """A still scene in which every frame draws fine detail differently, as a net that sees one frame does."""
    generator = np.random.default_rng(2)
    _, truths = still_and_moving(working, 1)
    ground = truths[0]
    frames = []
    for index in range(count):
        noise = generator.normal(0, fine, ground.shape)
        noise -= sum(np.roll(noise, by, axis) for by in (-1, 1) for axis in (0, 1)) / 4  # nothing coarse in it
        height, width = ground.shape
        frames.append(working(width, height, "gray", planes=(ground + noise,), index=index))
    return frames, ground


def test_steadying_takes_out_what_boils_and_comes_closer_to_the_scene(working):
    frames, truth = boiling(working, 9, 12.0)
    stage = catalogue.build("steady", {})
    made = [stage.process(frames[at - 2 : at + 3], 2).planes[0] for at in range(2, 7)]
    before = np.mean([np.abs(a.planes[0] - b.planes[0]).mean() for a, b in pairwise(frames[2:7])])
    after = np.mean([np.abs(a - b).mean() for a, b in pairwise(made)])
    assert after < 0.35 * before
    assert np.abs(made[2] - truth).mean() < 0.6 * np.abs(frames[4].planes[0] - truth).mean()


def test_steadying_leaves_what_moves_and_a_change_of_light_to_the_present_frame(working):
    frames, _ = boiling(working, 5, 2.0)
    moved = []
    for index, frame in enumerate(frames):
        plane = frame.planes[0].copy()
        plane[30:60, 10 + 24 * index : 30 + 24 * index] += 60
        height, width = plane.shape
        moved.append(working(width, height, "gray", planes=(plane,), index=index))
    made = catalogue.build("steady", {"registration": "none"}).process(moved, 2).planes[0]
    thing = slice(32, 58), slice(60, 76)
    assert np.abs(made[thing] - moved[2].planes[0][thing]).max() < 1.0, "the thing is made from this frame alone"
    for ghost in (12, 36, 84, 108):
        beside = slice(34, 56), slice(ghost, ghost + 14)
        assert abs(float((made[beside] - frames[2].planes[0][beside]).mean())) < 1.0
    lit = (moved[0].planes[0] + 30,)
    other = working(moved[0].geometry.width, moved[0].geometry.height, "gray", planes=lit, index=1)
    alone, note = catalogue.build("steady", {"frames": 1}).process_noted([moved[0], other], 0)
    assert np.array_equal(alone.planes[0], moved[0].planes[0]) and note["averaged"][0]["rejected"]
