"""A marked object is followed and fused in its own frame of reference."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.errors import UsageError
from forensic.fusion.fuse import fuse
from forensic.fusion.motion import Motion
from forensic.fusion.objectlock import Region, follow, fuse_region
from forensic.fusion.options import FusionOptions
from forensic.simulation.degradation import MovingObject
from forensic.simulation.trajectory import on_low_resolution
from tests.fusion.recordings import bicubic, drawn, luma, psnr, with_object


@pytest.fixture(scope="module")
def passing():
    """A plate of lettering that passes in front of a scene, coming nearer and turning a little."""
    plate = np.full((80, 176), 215, np.uint8)
    cv2.putText(plate, "KX 37 QD", (10, 54), 0, 1.1, 25.0, 3, cv2.LINE_AA)
    cv2.rectangle(plate, (3, 3), (172, 76), 40.0, 3)
    thing = MovingObject(
        sprite=0, width=44, height=20, centre_x=0.5, centre_y=0.5, velocity_x=2.7, velocity_y=-0.8, zoom=0.01, turn=0.3
    )
    return with_object(drawn(224, 352), thing, plate.astype(np.float32), frames=9)


def region_of(made, inset: int = 1) -> Region:
    corners = made.object_corners[0][made.reference] / 4
    left, top = (int(v) for v in np.ceil(corners.min(axis=0)) + inset)
    right, bottom = (int(v) for v in np.floor(corners.max(axis=0)) - inset)
    return Region(left, top, right - left, bottom - top)


def test_the_region_is_followed_to_a_fifth_of_a_pixel(passing):
    frames, region = luma(passing), region_of(passing)
    tracks = follow(frames, passing.reference, region)
    points = np.array([[region.x, region.y], [region.x + region.width - 1, region.y + region.height - 1]], np.float64)
    for track in tracks:
        truth = Motion(on_low_resolution(passing.object_homographies[0][track.place], 4))
        assert track.lost is None and track.motion is not None
        assert np.abs(track.motion.of(points) - truth.of(points)).max() < 0.2
    assert tracks[0].corners(region) is not None


def test_locked_fusion_reads_better_than_interpolation_and_than_fusion_of_the_whole(passing):
    frames, region = luma(passing), region_of(passing)
    fused, _ = fuse_region(frames, 4, region, FusionOptions(registration="homography", largest_shift=100.0))
    box = (slice(4 * region.y, 4 * (region.y + region.height)), slice(4 * region.x, 4 * (region.x + region.width)))
    truth = passing.truth[4][box]
    assert fused.luma.shape == truth.shape
    locked = psnr(fused.luma, truth)
    assert locked > psnr(bicubic(frames[4], 4)[box], truth) + 3.0
    whole = fuse(frames, 4, FusionOptions(detail=False)).luma[box]
    assert locked > psnr(whole, truth) + 1.0
    assert fused.report["region"] == [region.x, region.y, region.width, region.height]
    assert len(fused.report["track"]) == 9 and fused.report["frames_used"] >= 7


def test_an_object_that_is_hidden_is_lost_there_and_not_invented(passing):
    frames, region = luma(passing), region_of(passing)
    frames[6] = drawn(*frames[0].shape, seed=5)
    tracks = follow(frames, 4, region)
    fused, _ = fuse_region(frames, 4, region)
    assert tracks[6].lost is not None or fused.frames[6].weight < 0.2
    assert tracks[5].lost is None


def test_an_object_that_leaves_the_picture_is_lost(passing):
    frames, region = luma(passing), region_of(passing)
    tracks = follow([np.roll(frame, 25 * (place - 4), 1) for place, frame in enumerate(frames)], 4, region)
    assert all(track.motion is None for track in tracks if track.lost)
    assert tracks[8].lost is not None


@pytest.mark.parametrize("region", [Region(-1, 0, 20, 20), Region(0, 0, 11, 20), Region(70, 30, 30, 20)])
def test_a_region_outside_or_too_small_is_refused(passing, region):
    with pytest.raises(UsageError) as refusal:
        follow(luma(passing), 4, region)
    assert refusal.value.code == "fusion.region"
