"""Noise that belongs to a place: a part of a picture has the whole picture's noise, and nothing else decides it."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.registry.counternoise import normal_noise

SHAPE = (48, 12, 15)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10), st.integers(0, 13), st.integers(1, 6), st.integers(1, 6), st.sampled_from([1, 16, 17, 48]))
def test_a_part_is_that_part_of_the_whole(top: int, left: int, height: int, width: int, channels: int) -> None:
    whole = normal_noise(7, 3, 1, (channels, 17, 20))
    part = normal_noise(7, 3, 1, (channels, height, width), (top, left))
    assert part.tobytes() == np.ascontiguousarray(whole[:, top : top + height, left : left + width]).tobytes()


def test_seed_frame_and_step_each_give_other_noise() -> None:
    drawn = [normal_noise(*key, SHAPE) for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2**53 - 1, 0, 0))]
    for number, one in enumerate(drawn):
        for other in drawn[:number]:
            assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_it_is_normal_and_without_pattern() -> None:
    noise = normal_noise(11, 0, 0, (16, 128, 128)).astype(np.float64)
    count = noise.size
    assert abs(noise.mean()) < 4 / np.sqrt(count) and abs(noise.var() - 1) < 4 * np.sqrt(2 / count)
    assert abs((noise**3).mean()) < 4 * np.sqrt(15 / count) and abs((noise**4).mean() - 3) < 4 * np.sqrt(96 / count)
    for axis in range(3):
        before, after = (np.take(noise, range(start, noise.shape[axis] - 1 + start), axis) for start in (0, 1))
        assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 5 / np.sqrt(count)


def test_the_numbers_are_those_of_every_machine() -> None:
    digest = hashlib.sha256(normal_noise(42, 5, 2, SHAPE).astype("<f4").tobytes()).hexdigest()
    assert digest == "b70ea3bca58c2bf41d896a3577e9b438b0c8d5e16319a43344d40ff3b7fd8721"
