"""Pictures of single frames, laid onto the reference by fusion's motion and averaged with its weights."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from forensic.errors import InternalError
from forensic.fusion.aligned import averaged, moved
from forensic.fusion.fuse import fuse
from forensic.fusion.motion import Motion
from forensic.fusion.options import FusionOptions
from tests.fusion.recordings import bicubic, drawn, psnr, recording

OPTIONS = FusionOptions(scale=4, detail=False)


def smooth(shape: tuple[int, int], seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (shape[0] // 8, shape[1] // 8)).astype(np.float32)
    return cv2.resize(noise, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("angle", [0.0, 0.02])
def test_a_picture_comes_back_to_where_it_was_moved_from(angle: float) -> None:
    large, (dx, dy) = smooth((192, 256)), (1.25, -0.5)  # recorded px, of a picture a quarter as large
    turn = np.array([[np.cos(angle), -np.sin(angle), dx], [np.sin(angle), np.cos(angle), dy], [0.0, 0.0, 1.0]])
    motion = Motion(turn)
    assert (motion.as_shift((48, 64)) is None) == bool(angle)
    # The recorded pixel x covers the large pixels 4x to 4x + 3; each large place is looked up where it came from.
    rows, columns = np.mgrid[:192, :256]
    there = np.stack([(columns - 1.5) / 4, (rows - 1.5) / 4, np.ones((192, 256))])
    here = np.tensordot(np.linalg.inv(turn), there, 1).astype(np.float32)
    seen = cv2.remap(large, 4 * here[0] + 1.5, 4 * here[1] + 1.5, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    back = moved(seen, motion, (48, 64), 4)
    inside = (slice(24, -24), slice(24, -24))
    assert np.abs(back - large)[inside].max() < 4.0 < np.abs(seen - large)[inside].max()


def test_the_average_is_nearer_to_the_truth_than_one_frame() -> None:
    made = recording(drawn(256, 320), frames=5, noise=5.0)
    frames = [np.ascontiguousarray(one, np.float32) for one in made.frames]
    fused = fuse(frames, made.reference, OPTIONS)
    enlarged = [bicubic(one, 4) for one in frames]
    mean, spread = averaged(enlarged, fused, made.reference)
    truth = made.truth[made.reference]
    assert psnr(mean, truth) > psnr(enlarged[made.reference], truth) + 0.2
    assert spread.min() >= 0 and 0.2 < spread.mean() < 10


def test_what_fusion_gave_no_weight_does_not_count() -> None:
    made = recording(drawn(256, 320), frames=5, noise=5.0)
    frames = [np.ascontiguousarray(one, np.float32) for one in made.frames]
    at = made.reference
    frames[at + 1] = 255 - frames[at + 1][::-1].copy()
    fused = fuse(frames, at, OPTIONS)
    assert fused.frames[at + 1].rejected is not None
    enlarged: list[np.ndarray | None] = [bicubic(one, 4) for one in frames]
    expected = averaged([None if place == at + 1 else one for place, one in enumerate(enlarged)], fused, at)
    for found, wanted in zip(averaged(enlarged, fused, at), expected, strict=True):
        assert np.array_equal(found, wanted)


def test_frames_count_in_the_light_of_the_reference() -> None:
    frame = smooth((64, 64))
    fused = fuse([frame, frame], 0, FusionOptions(scale=2, detail=False))
    reports = (fused.frames[0], replace(fused.frames[1], gain=2.0, offset=-10.0))
    picture = bicubic(frame, 2)
    mean, spread = averaged([picture, (picture + 10) / 2], replace(fused, frames=reports), 0)
    assert np.abs(mean - picture).max() < 1e-3 and spread.max() < 0.05


def test_without_the_reference_there_is_nothing_to_lay_frames_onto() -> None:
    frame = smooth((64, 64))
    fused = fuse([frame, frame], 0, FusionOptions(scale=2, detail=False))
    with pytest.raises(InternalError) as caught:
        averaged([None, bicubic(frame, 2)], fused, 0)
    assert caught.value.code == "fusion.reference"
