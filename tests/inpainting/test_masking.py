"""What is damaged: as marked, as drawn, as found; never more than may be, and always on record."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensic.errors import BadInput
from forensic.frames.frame import Geometry
from forensic.frames.layout import layout_named
from forensic.hashes import canonical_json, sha256_bytes
from forensic.stages.catalogue import build
from forensic.stages.masking import MaskParameters, mask_of, masks_for, require_masks
from forensic.stages.parameters import read_parameters
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import parse_recipe
from tests.inpainting.planted import plant

GEOMETRY = Geometry(176, 144, layout_named("yuv420p"))


def parameters(**values: object) -> MaskParameters:
    return read_parameters(MaskParameters, "fill-from-neighbours", values)


def png(pixels: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", pixels)[1].tobytes()).decode("ascii")


def test_marks_hold_for_their_frames_only(recorded, as_frames):
    window = [frame.to_working() for frame in as_frames(recorded)]
    asked = parameters(
        areas=[
            {"rectangle": [10, 20, 5, 3], "first_frame": 2, "last_frame": 3},
            {"polygon": [[100, 100], [120, 100], [120, 110], [100, 110]]},
        ]
    )
    require_masks(asked, GEOMETRY)
    masks = [masks_for(window, at, asked) for at in range(len(window))]
    always = np.zeros((144, 176), bool)
    always[100:110, 100:120] = True
    marked = always.copy()
    marked[20:24, 10:16] = True  # 5x3 pixels, in whole colour samples
    for number, mask in enumerate(masks):
        assert np.array_equal(mask, marked if number in (2, 3) else always), number
    record = mask_of(window, 2, asked).to_record()
    assert record == {
        "pixels": 224, "share": round(224 / 25344, 6), "marked_by_user": 215, "areas": [1, 2],
        "whole_colour_samples": {"pixels_each": [2, 2], "pixels_added": 9},
    }  # fmt: skip
    canonical_json(record)


def test_a_mask_picture_is_known_by_its_digest(recorded, as_frames):
    window = [as_frames(recorded)[0].to_working()]
    drawn = np.zeros((144, 176, 3), np.uint8)
    drawn[50:60, 70:90, 2] = 255
    asked = parameters(picture=png(drawn))
    found = mask_of(window, 0, asked)
    assert found.damaged[50:60, 70:90].all() and np.count_nonzero(found.damaged) == 200
    assert found.to_record()["picture_sha256"] == sha256_bytes(base64.b64decode(asked.picture))
    later = parameters(picture=png(drawn), picture_frames=[3, 5])
    assert not masks_for(window, 0, later).any()


@settings(max_examples=25)
@given(x=st.integers(0, 90), y=st.integers(0, 70))
def test_marks_stay_in_place_in_a_region(x, y):
    """A crop moves the marks with the picture: what is masked in it is what the crop cuts out of the whole mask."""
    drawn = np.zeros((144, 176), np.uint8)
    drawn[60:70, 80:90] = 255
    asked = parameters(
        areas=[{"rectangle": [85, 65, 30, 10]}, {"polygon": [[70.5, 30.2], [140.0, 50.0], [90.3, 68.9]]}],
        picture=png(drawn),
    )
    moved = MaskParameters.model_validate(asked.model_dump(exclude_unset=True) | asked.moved(x, y))
    assert moved.names_places
    part = Geometry(80, 70, layout_named("gray"))
    from forensic.stages.masking import _marked

    assert np.array_equal(_marked(moved, part, 0)[0], _marked(asked, GEOMETRY, 0)[0][y : y + 70, x : x + 80])


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"areas": [{"rectangle": [0, 0, 176, 20]}]}, "mask.too-large"),
        ({"areas": [{"rectangle": [0, 0, 60, 40], "first_frame": 7}] * 2}, ""),
        (
            {"areas": [{"rectangle": [0, 0, 60, 40]}, {"rectangle": [60, 0, 60, 40], "first_frame": 7}]},
            "mask.too-large",
        ),
        ({"areas": [{"rectangle": [176, 0, 5, 5]}]}, "mask.outside"),
        ({"picture": png(np.zeros((144, 170), np.uint8))}, "mask.picture"),
        ({"picture": png(np.zeros((288, 352), np.uint8))}, "mask.picture"),
        ({"picture": png(np.zeros((145, 176), np.uint8))}, "mask.picture"),
        ({"picture": png(np.zeros((288, 352), np.uint8)), "picture_at": [-9, -9]}, "mask.picture"),
        ({"areas": [{"rectangle": [x, 5, 1, 134]} for x in range(1, 174, 12)], "largest_share": 0.1}, "mask.too-large"),
        ({"picture": png(np.zeros((144, 176, 4), np.uint8))}, "mask.picture"),
        ({"picture": png(np.zeros((144, 176), np.uint16))}, "mask.picture"),
        ({"picture": base64.b64encode(b"GIF89a").decode()}, "mask.picture"),
        ({"picture": "no base64!"}, "stage.parameters"),
        ({}, "stage.parameters"),
        ({"detector": "both", "largest_share": 0.2}, "stage.parameters"),
        ({"areas": [{"rectangle": [0, 0, 5, 5], "polygon": [[0, 0], [1, 1], [0, 1]]}]}, "stage.parameters"),
        ({"areas": [{"rectangle": [0, 0, 5, 5], "first_frame": 5, "last_frame": 4}]}, "stage.parameters"),
    ],
)
def test_marks_that_cannot_be_used_are_refused_before_any_pixel(values, code):
    if not code:
        require_masks(parameters(**values), GEOMETRY)
        return
    with pytest.raises(BadInput) as refusal:
        require_masks(parameters(**values), GEOMETRY)
    assert refusal.value.code == code


def test_dust_on_real_frames_is_found_and_little_else(recorded, as_frames):
    luma = [planes[0] for planes in recorded]
    damaged = plant(luma, "blotches", 0.03, 3)
    asked = parameters(detector="both")
    alone, found, right, wrong = 0, 0, 0, 0
    window = [
        frame.to_working()
        for frame in as_frames([(y, *planes[1:]) for y, planes in zip(damaged.frames, recorded, strict=True)])
    ]
    clean = [frame.to_working() for frame in as_frames(recorded)]
    for at in range(1, len(window) - 1):
        mask = masks_for(window, at, asked)
        only = damaged.masks[at] & ~damaged.masks[at - 1] & ~damaged.masks[at + 1]
        near = cv2.dilate(damaged.masks[at].astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
        alone, found = alone + int(only.sum()), found + int((mask & only).sum())
        right, wrong = right + int((mask & near).sum()), wrong + int((mask & ~near).sum())
        assert np.mean(mask_of(clean, at, asked).found.pixels) < 0.002  # before rounding to colour samples
    assert found > 0.7 * alone and right > 9 * wrong


def test_without_neighbours_in_the_same_shot_nothing_is_found_and_the_record_says_why(recorded, as_frames):
    turned = [tuple(np.ascontiguousarray(plane[::-1, ::-1]) for plane in planes) for planes in recorded[4:]]
    window = [frame.to_working() for frame in as_frames(recorded[:4] + turned)]
    asked = parameters(detector="both")
    for at, why in ((0, "missing"), (8, "missing"), (3, "another shot"), (4, "another shot")):
        found = mask_of(window, at, asked)
        assert not found.damaged.any() and why in found.to_record()["detector"]["why_none"], at


def test_finds_above_the_cap_are_not_used_and_marks_still_are(recorded, as_frames):
    clip = [tuple(plane.copy() for plane in planes) for planes in recorded[:3]]
    clip[1][0][20:60, 20:120] = 5
    window = [frame.to_working() for frame in as_frames(clip)]
    asked = parameters(detector="blotches", areas=[{"rectangle": [0, 0, 4, 4]}])
    found = mask_of(window, 1, asked)
    assert np.count_nonzero(found.damaged) == 16 and found.found is not None and found.found.pixels.any()
    assert "more than 0.1" in found.to_record()["detector"]["not_used"]


def test_a_mask_of_another_size_than_the_whole_picture_is_refused_in_a_region_too():
    """A region moves the mask picture with it; of which picture it was drawn is held against the exhibit's size."""
    for shape, sound in (((144, 176), True), ((200, 200), False), ((288, 352), False)):
        values = {"picture": png(np.zeros(shape, np.uint8)), "detector": "both"}
        recipe = parse_recipe(
            f"""name = "own"\ntitle = "t"\nwhy = "w"\n[[stage]]\nname = "fill-from-neighbours"\nwhy = "w"
parameters = {{ picture = "{values["picture"]}", detector = "both" }}""".encode(),
            "test",
        )
        for roi in (None, (32, 16, 96, 80)):
            pipeline = recipe.bind(roi=roi).pipeline
            if sound:
                pipeline.plan(GEOMETRY)
                continue
            with pytest.raises(BadInput) as refusal:
                pipeline.plan(GEOMETRY)
            assert refusal.value.code == "mask.picture" and "drawn on another" in refusal.value.message
    # Said by hand to be a cropped one where nothing was cropped.
    claimed = {**values, "picture_at": [-9, -9], "picture_of": [352, 288]}
    with pytest.raises(BadInput) as refusal:
        Pipeline([build("fill-from-neighbours", claimed)]).plan(GEOMETRY)
    assert refusal.value.code == "mask.picture"
