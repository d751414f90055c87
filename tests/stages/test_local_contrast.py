"""Local contrast: detail up, large differences down, halos within what the card states, never a reversal."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.frames.colour import ColourSpec
from forensic.stages import catalogue

FULL = ColourSpec(full_range=True)


def made_of(working, luma, **values):
    height, width = luma.shape
    frame = working(width, height, "gray", planes=(luma,), colour=FULL)
    return catalogue.build("local-contrast", values).process([frame], 0).planes[0]


def test_a_step_has_the_halo_that_the_card_states_and_an_unsharp_mask_a_far_larger_one(working):
    step = np.full((80, 200), 50.0)
    step[:, 100:] = 200.0
    made = made_of(working, step)[40]
    assert made[0] == pytest.approx(73.25, abs=0.1) and made[-1] == pytest.approx(178.25, abs=0.1)
    assert made.max() - made[-1] == pytest.approx(2.8, abs=0.1)
    frame = working(200, 80, "gray", planes=(step,), colour=FULL)
    unsharp = catalogue.build("unsharp", {"sigma": 16.0, "amount": 0.8}).process([frame], 0).planes[0]
    assert unsharp.max() - 200 > 50


def test_detail_is_raised_by_the_stated_gain_and_within_the_limit(working):
    x = np.tile(np.arange(300.0), (120, 1))
    faint = 120 + 2 * np.sin(x / 2)
    made = made_of(working, faint, large=1.0, small=1.8)[60, 60:240]
    assert made.std() / faint[60, 60:240].std() == pytest.approx(1.8, rel=0.04)
    strong = 120 + 60 * np.sign(np.sin(x / 2))
    made = made_of(working, strong, large=1.0, small=8.0, edge=128.0, limit=5.0)
    assert np.abs(made - strong).max() <= 5.001


def test_no_pixel_becomes_darker_than_a_darker_one_with_the_same_surroundings(working):
    base = 60 + 80 * np.random.default_rng(4).random((60, 60))
    values = []
    for level in (40.0, 80.0, 120.0, 160.0, 200.0):
        base[30, 30] = level
        values.append(made_of(working, base, large=0.3, small=4.0)[30, 30])
    assert np.all(np.diff(values) > 0)


def test_luma_only_and_identity(working):
    frame = working(96, 64)
    made = catalogue.build("local-contrast", {}).process([frame], 0)
    assert not np.array_equal(made.planes[0], frame.planes[0])
    assert all(np.array_equal(a, b) for a, b in zip(made.planes[1:], frame.planes[1:], strict=True))
    same = catalogue.build("local-contrast", {"large": 1.0, "small": 1.0}).process([frame], 0)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(same.planes, frame.planes, strict=True))
