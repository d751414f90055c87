"""Lens estimates: the truth is found, and is off by as much as is stated."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.hashes import canonical_json
from forensic.stages import catalogue
from forensic.stages.lens import Lens
from forensic.stages.lens_estimation import find_checkerboard, from_checkerboards, from_straight_lines

WIDTH, HEIGHT = 1280, 720
MIDDLE, HALF = ((WIDTH - 1) / 2, (HEIGHT - 1) / 2), float(np.hypot(WIDTH, HEIGHT)) / 2
BARREL = Lens(MIDDLE, (HALF, HALF), k1=-0.25)


def marked_lines(lens: Lens, seed: int, noise: float) -> list[np.ndarray]:
    """Eight straight things, twelve marks on each, as ``lens`` shows them and a hand marks them."""
    generator, lines = np.random.default_rng(seed), []
    for number in range(8):
        slant = generator.uniform(-40, 40)
        if number % 2:
            y = 60 + (HEIGHT - 120) * number / 7
            line = np.stack([np.linspace(60, WIDTH - 60, 12), np.linspace(y, y + slant, 12)], axis=1)
        else:
            x = 60 + (WIDTH - 120) * number / 7
            line = np.stack([np.linspace(x, x + slant, 12), np.linspace(40, HEIGHT - 40, 12)], axis=1)
        seen = np.stack(lens.recorded(line[:, 0], line[:, 1]), axis=1)
        lines.append(seen + generator.normal(0, noise, seen.shape))
    return lines


def test_exact_marks_give_the_exact_lens():
    lens = Lens((MIDDLE[0] + 12.0, MIDDLE[1] - 7.0), (HALF, HALF), k1=-0.22, k2=0.04)
    found = from_straight_lines(marked_lines(lens, 1, 0.0), WIDTH, HEIGHT, terms=2, centre=True)
    assert found.lens.k1 == pytest.approx(-0.22, abs=1e-6) and found.lens.k2 == pytest.approx(0.04, abs=1e-6)
    assert np.abs(np.array(found.lens.centre) - lens.centre).max() < 1e-3
    assert found.rms < 1e-6 < 3 < found.rms_before


def test_straight_lines_find_the_lens_with_the_stated_uncertainty():
    errors, stated = [], []
    for seed in range(25):
        found = from_straight_lines(marked_lines(BARREL, seed, 0.3), WIDTH, HEIGHT)
        errors.append(found.lens.k1 - BARREL.k1)
        stated.append(found.uncertainty["k1"])
    assert np.std(errors) < 7e-4, "as the card of undistort states"
    assert np.mean(np.abs(errors) < 2 * np.array(stated)) >= 0.84, "95 % minus what 25 trials scatter"
    assert 0.65 < np.std(errors) / np.mean(stated) < 1.4
    assert found.freedom == 8 * 12 - 1 - 16 and 0.2 < found.rms < 0.35


def test_an_estimate_is_a_recipe_and_can_be_recorded(working):
    found = from_straight_lines(marked_lines(BARREL, 5, 0.3), WIDTH, HEIGHT)
    canonical_json(found.to_record())
    stage = catalogue.build("undistort", found.lens.to_parameters())
    assert stage.lens == found.lens
    line = np.stack([np.linspace(100, 1180, 30), np.full(30, 80.0)], axis=1)
    bent = np.stack(BARREL.recorded(line[:, 0], line[:, 1]), axis=1)
    straight = found.lens.straightened(bent)
    assert np.ptp(bent[:, 1]) > 25 and np.ptp(straight[:, 1]) < 0.5


def test_marks_that_do_not_fix_a_lens_are_refused():
    through = [np.stack([np.linspace(100, 1100, 9), np.full(9, MIDDLE[1])], axis=1)]
    short = [np.array([[0.0, 0.0], [9.0, 9.0]])]
    for lines, code in ((through, "lens.undetermined"), (short, "lens.marks"), ([], "lens.marks")):
        with pytest.raises(BadInput) as refusal:
            from_straight_lines(lines, WIDTH, HEIGHT)
        assert refusal.value.code == code


def turned(vector: np.ndarray) -> np.ndarray:
    angle = float(np.linalg.norm(vector))
    x, y, z = vector / angle
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def board_views(lens: Lens, seed: int, noise: float, count: int = 6) -> list[np.ndarray]:
    """A board of 9 x 6 inner corners in several positions."""
    generator, views = np.random.default_rng(seed), []
    board = np.stack([np.tile(np.arange(9.0), 6), np.repeat(np.arange(6.0), 9), np.zeros(54)], axis=1)
    for _ in range(count):
        turn = turned(generator.uniform(-0.5, 0.5, 3))
        place = (board - [4, 2.5, 0]) @ turn.T + [*generator.uniform([-2, -1], [2, 1]), generator.uniform(9, 12)]
        u = place[:, 0] / place[:, 2] * lens.focal[0] + lens.centre[0]
        v = place[:, 1] / place[:, 2] * lens.focal[1] + lens.centre[1]
        views.append(np.stack(lens.recorded(u, v), axis=1) + generator.normal(0, noise, (54, 2)))
    return views


def test_a_checkerboard_finds_the_lens_with_the_stated_uncertainty():
    lens = Lens((630.0, 355.0), (900.0, 905.0), k1=-0.3, k2=0.12)
    scores = []
    for seed in range(20):
        found = from_checkerboards(board_views(lens, seed, 0.2), 9, 6, WIDTH, HEIGHT)
        scores.append((found.lens.k1 - lens.k1) / found.uncertainty["k1"])
        assert abs(found.lens.focal[0] - 900) < 5 and found.rms < 0.35 < found.rms_before
    assert np.mean(np.abs(scores) < 2) >= 0.8 and 0.6 < np.std(scores) < 1.5
    assert set(found.uncertainty) == {"focal_x", "focal_y", "centre_x", "centre_y", "k1", "k2"}
    canonical_json(found.to_record())


def test_too_few_views_are_refused():
    with pytest.raises(BadInput) as refusal:
        from_checkerboards(board_views(BARREL, 1, 0.1, 2), 9, 6, WIDTH, HEIGHT)
    assert refusal.value.code == "lens.marks"


def test_the_corners_of_a_drawn_checkerboard_are_found():
    fine = np.kron(np.indices((7, 10)).sum(axis=0) % 2, np.ones((40, 40))) * 180 + 40
    luma = np.pad(fine, 60, constant_values=220).astype(np.float32)
    corners = find_checkerboard(luma, 9, 6)
    assert corners is not None and corners.shape == (54, 2)
    expected = np.stack([np.tile(99.5 + 40 * np.arange(9), 6), np.repeat(99.5 + 40 * np.arange(6), 9)], axis=1)
    order = np.lexsort((corners[:, 0].round(), corners[:, 1].round()))
    assert np.abs(corners[order] - expected).max() < 0.1
    assert find_checkerboard(np.full((200, 200), 90, np.float32), 9, 6) is None
