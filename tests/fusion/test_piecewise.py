"""Motion that differs over the picture is found where there is some, and nothing is bent where there is none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.fusion.fuse import fuse
from forensic.fusion.motion import Motion
from forensic.fusion.noise import noise_between
from forensic.fusion.options import FusionOptions
from forensic.fusion.piecewise import piecewise
from forensic.fusion.registration import register
from forensic.fusion.sampling import Canvas
from forensic.fusion.scattered import ScatteredSampling
from tests.fusion.recordings import bicubic, drawn, luma, psnr, recording

FACTOR, EDGE, AT = 4, 16, 2
Pictures = tuple[list[np.ndarray], np.ndarray, list[tuple[np.ndarray, np.ndarray]]]


def rolling(amplitude: float = 0.6, frames: int = 5, noise: float = 1.0) -> Pictures:
    """Frames of a scene whose rows sway differently (rolling shutter), the middle one, and displacements."""
    scene = drawn(320 + 2 * EDGE, 384 + 2 * EDGE, seed=5)
    generator = np.random.default_rng(2)
    height, width = scene.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    low, moves = [], []
    for number in range(frames):
        phase, (jitter_x, jitter_y) = generator.uniform(0, 6.28), generator.uniform(-0.6, 0.6, 2)
        still = 0.0 if number == AT else 1.0
        dx = still * (amplitude * np.sin(2 * np.pi * y / height + phase) + jitter_x) + 0 * x
        dy = still * (0.4 * amplitude * np.cos(2 * np.pi * y / height + phase) + jitter_y) + 0 * x
        seen = cv2.remap(
            scene, (x - FACTOR * dx).astype(np.float32), (y - FACTOR * dy).astype(np.float32), cv2.INTER_LANCZOS4
        )[EDGE:-EDGE, EDGE:-EDGE]
        size = (seen.shape[1] // FACTOR, seen.shape[0] // FACTOR)
        small = cv2.resize(cv2.GaussianBlur(seen, (0, 0), 0.35 * FACTOR), size, interpolation=cv2.INTER_AREA)
        low.append((small + noise * generator.standard_normal(small.shape)).astype(np.float32))
        cut = [cv2.resize(d[EDGE:-EDGE, EDGE:-EDGE].astype(np.float32), size) for d in (dx, dy)]
        moves.append((cut[0], cut[1]))
    return low, scene[EDGE:-EDGE, EDGE:-EDGE], moves


@pytest.fixture(scope="module")
def swaying() -> Pictures:
    return rolling()


def error(motion: Motion, move: tuple[np.ndarray, np.ndarray]) -> float:
    """Median distance (px) between where the motion says that pixels lie and where they do."""
    shape = (move[0].shape[0], move[0].shape[1])
    y, x = np.mgrid[: shape[0], : shape[1]]
    columns, rows = motion.places_in_reference(shape)
    return float(np.median(np.hypot(columns - (x - move[0]), rows - (y - move[1]))[6:-6, 6:-6]))


def test_the_grid_follows_what_a_homography_cannot(swaying: Pictures) -> None:
    low, _, moves = swaying
    plain, bent = [], []
    for number in (0, 1, 3, 4):
        found = register(low[AT], low[number], "homography")
        assert found is not None
        motion = piecewise(low[AT], low[number], found.motion)
        assert motion.places is not None and motion.trust is not None and motion.trust.mean() > 0.9
        plain.append(error(found.motion, moves[number]))
        bent.append(error(motion, moves[number]))
    assert np.mean(bent) < 0.08 and np.mean(bent) < 0.4 * np.mean(plain)


def test_fusion_gains_by_it(swaying: Pictures) -> None:
    low, truth, _ = swaying
    gains = {
        name: psnr(fuse(low, AT, FusionOptions(registration=name, detail=False)).luma, truth)
        for name in ("homography", "mesh")
    }
    assert gains["mesh"] > gains["homography"] + 0.5
    assert gains["mesh"] > psnr(bicubic(low[AT], FACTOR), truth) + 1.0


def test_where_the_whole_picture_moves_alike_nothing_is_bent() -> None:
    frames = luma(recording(drawn(256, 288), frames=5, noise=1.5))
    for number in (0, 1, 3, 4):
        found = register(frames[AT], frames[number], "translation")
        assert found is not None
        assert piecewise(frames[AT], frames[number], found.motion) is found.motion
    options = {name: FusionOptions(registration=name, detail=False) for name in ("homography", "mesh")}
    assert np.array_equal(fuse(frames, AT, options["mesh"]).luma, fuse(frames, AT, options["homography"]).luma)


def test_small_pictures_keep_their_motion() -> None:
    picture = drawn(40, 60)
    start = Motion.shift(0.2, 0.1)
    assert piecewise(picture, picture, start) is start


def test_noise_is_measured_between_bent_frames_too(swaying: Pictures) -> None:
    low, _, _ = swaying
    report = fuse(low, AT, FusionOptions(registration="mesh", detail=False)).report
    assert report["noise"] == pytest.approx(1.0, abs=0.35)
    assert sum(row["dense"] for row in report["frames"] if "dense" in row) >= 3
    assert noise_between([], lambda some, sigma: low[0], 0.35) is None


@pytest.mark.parametrize("scale", [1, 4])
def test_footprints_that_begin_at_one_place_are_added_up(scale: int) -> None:
    """At scale 1 two pixels of a shrunk frame can begin at the same place; the adjoint stays exact."""
    generator = np.random.default_rng(scale)
    canvas = Canvas(24, 30, scale, 4)
    y, x = np.mgrid[:24, :30].astype(np.float32)
    placed = ScatteredSampling(canvas, 0.4 * scale, 0.7 * x + 3.2, 0.8 * y + 1.1)
    picture = generator.standard_normal(canvas.shape).astype(np.float32)
    frame = generator.standard_normal((24, 30)).astype(np.float32) * placed.covered
    one = float(np.sum(placed.apply(picture) * frame, dtype=np.float64))
    other = float(np.sum(picture * placed.adjoint(frame), dtype=np.float64))
    assert one == pytest.approx(other, rel=2e-4, abs=1e-3)
