"""A marked region is found again in every frame, turned and grown as it is, or reported as lost."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.fusion.motion import Motion, project
from forensic.fusion.tracking import Region, Track, joined, track_region
from forensic.hashes import canonical_json
from forensic.simulation.degradation import MovingObject
from forensic.simulation.trajectory import on_low_resolution
from tests.fusion.recordings import drawn, luma, with_object


def pattern(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Something of 42 x 32 pixels with structure: how much of each pixel it covers, and its brightness."""
    inside = np.clip(21 - np.abs(x), 0, 1) * np.clip(16 - np.abs(y), 0, 1)
    return inside, 140 + 35 * np.sin(x / 2.1) + 30 * np.cos((x + 2 * y) / 3.7)


def path(index: int) -> tuple[float, float]:
    return 70 + 3.4 * index + 6 * np.sin(index / 5), 60 + 0.9 * index + 9 * np.cos(index / 6) - 9


def moving(count: int, noise: float = 3.0, hidden=()):
    generator = np.random.default_rng(11)
    y, x = np.mgrid[:160, :280].astype(float)
    still = 80 + 10 * np.sin(x / 17) + 8 * np.cos(y / 11)
    for index in range(count):
        px, py = path(index)
        share, there = pattern(x - px, y - py)
        share = share * (index not in hidden)
        yield index, (still + share * (there - still) + generator.normal(0, noise, x.shape)).astype(np.float32)


BOX = Region(50, 45, 40, 30)  # its middle is (69.5, 59.5); path(0) is (70, 60)


def middles(track: Track) -> dict[int, np.ndarray]:
    """The region's middle in every frame in which it was found."""
    return {sight.frame: project(sight.matrix, track.region.middle)[0] for sight in track.sights}


def test_a_moving_region_is_found_to_a_twentieth_of_a_pixel_without_drift():
    track = track_region(moving(40), BOX)
    assert len(track.sights) == 40 and track.lost == ()
    errors = np.array([middle + 0.5 - path(frame) for frame, middle in middles(track).items()])
    assert np.sqrt((errors[1:] ** 2).mean()) < 0.055, "as the card of follow states"
    assert np.abs(errors[-5:]).max() < 0.25, "errors do not add up"
    assert all(one.like == "first" for one in track.sights) and min(one.score for one in track.sights) > 0.9
    canonical_json(track.to_record())


def test_a_hidden_region_is_reported_as_lost_and_found_again():
    track = track_region(moving(24, hidden=(9, 10, 11)), BOX)
    assert track.lost == (9, 10, 11)
    found = middles(track)
    assert set(found) == set(range(24)) - {9, 10, 11}
    assert abs(found[12][0] + 0.5 - path(12)[0]) < 0.3


def test_a_region_that_never_comes_back_ends_the_search():
    track = track_region(moving(40, hidden=range(8, 40)), BOX)
    assert track.sights[-1].frame == 7 and track.lost == tuple(range(8, 19))


def test_it_follows_backwards_too():
    frames = list(moving(12))[::-1]
    px, py = path(11)
    box = Region(round(px) - 20, round(py) - 15, 40, 30)
    track = track_region(frames, box)
    off = box.middle[0] - (px, py)
    assert track.sights[0].frame == 0 and np.abs(middles(track)[0] - off - path(0)).max() < 0.3


@pytest.mark.parametrize("box", [Region(0, 0, 4, 30), Region(270, 10, 40, 30), Region(-2, 0, 40, 30)])
def test_a_region_that_cannot_be_followed_is_refused(box):
    with pytest.raises(BadInput) as refusal:
        track_region(moving(3), box)
    assert refusal.value.code == "track.region"
    for frames in ([], [(0, np.full((90, 90), 80, np.float32))]):
        with pytest.raises(BadInput):
            track_region(frames, Region(2, 2, 20, 20))


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


def followed(frames: list[np.ndarray], at: int, region: Region) -> Track:
    numbered = list(enumerate(frames))
    return joined(track_region(reversed(numbered[: at + 1]), region), track_region(iter(numbered[at:]), region))


def test_a_region_that_turns_and_grows_is_followed_to_an_eighth_of_a_pixel_at_its_corners(passing):
    region = region_of(passing)
    track = followed(luma(passing), passing.reference, region)
    assert [sight.frame for sight in track.sights] == list(range(9)) and track.lost == () and track.marked == 4
    corners = np.array([[region.x, region.y], [region.x + region.width - 1, region.y + region.height - 1]], np.float64)
    back = np.linalg.inv(on_low_resolution(passing.object_homographies[0][4], 4))
    for sight in track.sights:
        truth = Motion(on_low_resolution(passing.object_homographies[0][sight.frame], 4) @ back)
        assert sight.registered
        assert np.abs(project(sight.matrix, corners) - truth.of(corners)).max() < 0.125
    assert np.array_equal(track.sights[4].matrix, np.eye(3)), "the marked frame is what all others are told by"


def test_one_bad_fit_does_not_turn_the_region(passing):
    frames, region = luma(passing), region_of(passing)
    good = followed(frames, 4, region)
    rng = np.random.default_rng(5)
    frames[7] = np.clip(frames[7] + rng.normal(0, 12, frames[7].shape), 0, 255).astype(np.float32)
    bad = followed(frames, 4, region)
    corner = np.array([[region.x, region.y]], np.float64)
    for one, other in zip(good.sights, bad.sights, strict=True):
        if one.frame != 7:
            assert np.abs(project(one.matrix, corner) - project(other.matrix, corner)).max() < 0.1


def test_an_object_that_leaves_the_picture_is_lost(passing):
    frames, region = luma(passing), region_of(passing)
    track = followed([np.roll(frame, 25 * (place - 4), 1) for place, frame in enumerate(frames)], 4, region)
    assert 8 in track.lost
    assert not {sight.frame for sight in track.sights} & set(track.lost)
