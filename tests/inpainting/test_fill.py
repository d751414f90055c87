"""Filling from neighbouring frames: only what is masked changes, by what other frames show, and all is on record."""

from __future__ import annotations

import base64
from dataclasses import replace
from fractions import Fraction

import cv2
import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json
from forensic.risk.assessment import assess
from forensic.risk.tiles import Level, to_pixels
from forensic.stages.catalogue import build
from forensic.stages.fill_from_neighbours import FILLED, LEFT
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe
from forensic.stages.replaced import replaced_places
from tests.inpainting.planted import judge, plant

AT = 4


def png(mask: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", mask.astype(np.uint8) * 255)[1].tobytes()).decode("ascii")


def marked(mask: np.ndarray, frame: int = AT, **more: object):
    return build("fill-from-neighbours", {"picture": png(mask), "picture_frames": [frame, frame], **more})


@pytest.fixture
def dusty(recorded, as_frames):
    """The clip with dust in its middle frame, luma and colour; and where it lies, in whole colour samples."""
    spots = plant([planes[0] for planes in recorded], "blotches", 0.04, 5)
    colour = spots.masks[AT].reshape(72, 2, 88, 2).any(axis=(1, 3))
    mask = np.kron(colour, np.ones((2, 2), bool))
    blue, red = (plane.copy() for plane in recorded[AT][1:])
    blue[colour] = red[colour] = 128
    clip = list(recorded)
    clip[AT] = (spots.frames[AT], blue, red)
    return as_frames(clip), mask, colour


def test_the_filling_is_near_the_truth_and_nothing_else_changes(dusty, recorded):
    frames, mask, colour = dusty
    window = [frame.to_working() for frame in frames]
    stage = marked(mask)
    made, note = stage.process_noted(window[AT - 3 : AT + 4], 3)
    for plane, before, outside in zip(made.planes, window[AT].planes, (~mask, ~colour, ~colour), strict=True):
        assert np.array_equal(plane[outside], before[outside])
    truth = recorded[AT][0]
    ours = judge(truth, np.clip(np.rint(made.planes[0]), 0, 255), mask)
    spatial = judge(truth, cv2.inpaint(frames[AT].planes[0], mask.astype(np.uint8), 3, cv2.INPAINT_TELEA), mask)
    assert note["left"] < 0.1 * mask.sum() and ours.psnr > spatial.psnr + 3.0
    for plane, true, before in zip(made.planes[1:], recorded[AT][1:], window[AT].planes[1:], strict=True):
        off, was = (np.abs(part[colour] - true[colour].astype(np.float32)).mean() for part in (plane, before))
        assert off < 0.5 * was
    assert made.stage_class.label == "fidelity"


def test_red_green_blue_are_filled_together(recorded):
    spots = plant([planes[0] for planes in recorded], "blotches", 0.04, 5)
    mask, geometry = spots.masks[AT], Geometry(176, 144, layout_named("rgb24"))

    def rgb(luma: np.ndarray, number: int) -> WorkingFrame:
        planes = tuple(np.clip(luma.astype(np.float32) * gain, 0, 255) for gain in (1.1, 1.0, 0.8))
        timing = FrameTiming(number, number, Fraction(1, 30))
        return WorkingFrame(planes, geometry, ColourSpec(), timing, StageClass.PRESENTATION)

    lumas = [planes[0] for planes in recorded]
    lumas[AT] = spots.frames[AT]
    window = [rgb(luma, number) for number, luma in enumerate(lumas)][AT - 3 : AT + 4]
    stage = marked(mask)
    made, note = stage.process_noted(window, 3)
    filled = stage.replaced(note)[FILLED]
    truth = rgb(recorded[AT][0], AT)
    for plane, before, true in zip(made.planes, window[3].planes, truth.planes, strict=True):
        assert np.array_equal(plane[~filled], before[~filled])
        assert np.abs(plane - true)[filled].mean() < 0.2 * np.abs(before - true)[filled].mean()


def test_the_note_has_every_pixel_and_every_frame(dusty):
    frames, mask, _ = dusty
    window = [frame.to_working() for frame in frames]
    stage = marked(mask)
    made, note = stage.process_noted(window[AT - 3 : AT + 4], 3)
    canonical_json(note)
    assert note["filled"] + note["left"] == note["mask"]["pixels"] == int(mask.sum())
    assert [row["frame"] for row in note["looked_into"]] == [1, 2, 3, 5, 6, 7]
    codes = cv2.imdecode(np.frombuffer(base64.b64decode(note["picture"]), np.uint8), cv2.IMREAD_UNCHANGED)
    values = {0: 255} | {number: 60 + 6 * number for number in range(1, 7)}
    counts = {number: int(np.count_nonzero(codes == value)) for number, value in values.items()}
    assert {str(number): count for number, count in counts.items() if count} == note["pixels_by_frames"]
    assert np.array_equal(codes > 0, mask) and counts[1] == 0
    untouched = codes == 255
    assert np.array_equal(made.planes[0][untouched], window[AT].planes[0][untouched])
    places = stage.replaced(note)
    assert np.array_equal(places[FILLED] | places[LEFT], mask) and not (places[FILLED] & places[LEFT]).any()


def test_what_no_frame_shows_stays_as_recorded(recorded, as_frames):
    """A mark at one place of a picture that does not move: all frames hide the same."""
    still = [recorded[0]] * 7
    window = [frame.to_working() for frame in as_frames(still)]
    made, note = build("fill-from-neighbours", {"areas": [{"rectangle": [30, 40, 40, 12]}]}).process_noted(window, 3)
    assert (note["filled"], note["left"]) == (0, 480)
    assert all(np.array_equal(one, other) for one, other in zip(made.planes, window[3].planes, strict=True))


def test_an_undamaged_frame_is_handed_on_and_a_lone_one_too(recorded, as_frames):
    window = [frame.to_working() for frame in as_frames(recorded)]
    mask = np.zeros((144, 176), bool)
    mask[10:20, 10:20] = True
    made, note = marked(mask).process_noted(window[2:9], 3)
    assert note == {"mask": {"pixels": 0, "share": 0.0, "marked_by_user": 0}}
    assert all(one is other for one, other in zip(made.planes, window[5].planes, strict=True))
    alone, note = marked(mask).process_noted(window[AT : AT + 1], 0)
    assert (note["filled"], note["left"], note["looked_into"]) == (0, 100, [])
    assert np.array_equal(alone.planes[0], window[AT].planes[0])


def test_frames_beyond_a_cut_are_not_looked_into(dusty, as_frames):
    frames, mask, _ = dusty
    clip = [frame.planes for frame in frames]
    other = [tuple(np.ascontiguousarray(plane[::-1, ::-1]) for plane in planes) for planes in clip[AT + 1 :]]
    window = [frame.to_working() for frame in as_frames(clip[: AT + 1] + other)]
    _, note = marked(mask).process_noted(window[AT - 3 : AT + 4], 3)
    assert [row["frame"] for row in note["looked_into"]] == [1, 2, 3]


def test_bytes_do_not_depend_on_workers_nor_on_the_range(recorded, as_frames):
    spots = plant([planes[0] for planes in recorded], "blotches", 0.03, 9)
    # The middle of the picture: every frame is made four times.
    clip = [
        (y[32:112, 40:136], *(p[16:56, 20:68] for p in planes[1:]))
        for y, planes in zip(spots.frames, recorded, strict=True)
    ]
    frames = as_frames([tuple(map(np.ascontiguousarray, planes)) for planes in clip])
    pipeline = load_recipe("fill").bind().pipeline
    whole = list(pipeline.run(iter(frames), workers=1))
    assert sum(output.notes[0].get("filled", 0) for output in whole) > 300
    many = pipeline.run(iter(frames), workers=3)
    for one, other in zip(whole, many, strict=True):
        assert one.frame.sha256 == other.frame.sha256 and one.notes == other.notes
    (part,) = pipeline.run(iter(frames), workers=1, keep=(AT, AT + 1), tap=(AT,))
    assert (part.frame.sha256, part.notes) == (whole[AT].frame.sha256, whole[AT].notes)
    window = [frame.to_working() for frame in part.window]
    assert pipeline.process_window(window, part.at).quantise().sha256 == part.frame.sha256


def _forced(stages: list[tuple[str, dict]], dusty):
    frames, mask, _ = dusty
    first = marked(mask)
    pipeline = Pipeline([first, *(build(name, values) for name, values in stages)])
    (output,) = pipeline.run(iter(frames), workers=1, keep=(AT, AT + 1))
    source = output.source.to_working()
    shown = pipeline.shows_recording(source, output.notes)
    return replaced_places(pipeline.stages, source, output.notes, shown), mask


def test_filled_places_go_with_the_picture_to_the_risk_map(dusty):
    found, mask = _forced([], dusty)
    assert set(found) <= {FILLED, LEFT} and np.array_equal(found[FILLED] | found.get(LEFT, False), mask)
    found, mask = _forced([("crop", {"x": 20, "y": 10, "width": 120, "height": 100})], dusty)
    assert np.array_equal(found[FILLED] | found.get(LEFT, False), mask[10:110, 20:140])
    found, _ = _forced([("resize", {"scale": 2})], dusty)
    forced = found[FILLED] | found.get(LEFT, False)
    assert forced.shape == mask.shape and np.array_equal(forced, cv2.dilate(mask.astype(np.uint8), np.ones((17, 17))))


def test_where_it_cannot_be_traced_every_pixel_counts(dusty):
    found, mask = _forced([("temporal-average", {})], dusty)
    assert found[FILLED].all()
    found, _ = _forced([("unsharp", {})], dusty)
    assert not found[FILLED].all() and (found[FILLED] >= mask).sum() > 0
    assert np.count_nonzero(found[FILLED]) > np.count_nonzero(mask)


@pytest.mark.parametrize(
    "later",
    [
        [("resize", {"scale": 2})],
        [("resize", {"scale": 0.25})],
        [("resize", {"width": 400, "height": 150})],
        [("learned-upscale", {"model": "light-x4", "overlap": 24})],
        [("unsharp", {"sigma": 4.0, "amount": 5.0})],
        [("resize", {"scale": 2}), ("unsharp", {"sigma": 12.0, "amount": 5.0})],
        [("local-contrast", {"radius": 12})],
        [("clahe", {})],
        [("white-balance", {"gains": [1.5, 1.0, 0.7]})],
    ],
)
def test_no_pixel_outside_the_high_tiles_depends_on_what_was_filled(later, recorded, as_frames):
    """Two recordings that differ in the replaced pixels only give the same picture in every tile that is not HIGH."""
    at, mask = np.s_[68:72, 32:34], np.zeros((144, 176), bool)
    mask[at] = True
    clip = [recorded[AT]] * 9
    filling, pipeline = marked(mask), Pipeline([marked(mask), *(build(name, values) for name, values in later)])
    (output,) = pipeline.run(iter(as_frames(clip)), workers=1, keep=(AT, AT + 1))
    source = output.source.to_working()
    filled = filling.process([frame.to_working() for frame in as_frames(clip)][AT - 3 : AT + 4], 3)
    pictures = []
    for off in (0.0, 90.0):
        planes = tuple(plane.copy() for plane in filled.planes)
        planes[0][at] -= off
        planes[1][34:36, 16] -= off / 2
        picture = filled.touched(filled.stage_class, planes)
        for stage in pipeline.stages[1:]:
            picture = stage.process([picture], 0)
        pictures.append(picture.planes)
    shown = pipeline.shows_recording(source, output.notes)
    places = replaced_places(pipeline.stages, source, output.notes, shown)
    reference = pipeline.reference_picture(source, output.notes)
    levels = assess(reference, output.frame, shown=shown, replaced=places).levels
    shape = pictures[0][0].shape
    apart = [np.abs(one - other) for one, other in zip(*pictures, strict=True)]
    moved = np.max([cv2.resize(plane, shape[::-1], interpolation=cv2.INTER_NEAREST) for plane in apart], axis=0) > 0.01
    assert moved.any() and (to_pixels(levels, shape)[moved] == Level.HIGH).all()
    assert later[0][0] == "clahe" or not all(found.all() for found in places.values())


BLUR = {"psf": "gaussian", "sigma": 1.5}


@pytest.mark.parametrize("later", [("wiener", BLUR), ("richardson-lucy", BLUR)])
def test_behind_a_stage_that_looks_at_the_whole_picture_every_pixel_counts(later, dusty):
    found, _ = _forced([later], dusty)
    assert found[FILLED].all()


def test_a_colour_sample_and_its_pixels_are_filled_whole_or_left_whole(recorded, as_frames):
    """One pixel drawn makes the block of 2x2 damaged; where it is left, luma and colour are those recorded."""
    drawn = np.zeros((144, 176), bool)
    drawn[20:60:6, 21] = drawn[31:33, 60:120:3] = True
    clip = [tuple(plane.copy() for plane in planes) for planes in recorded]
    for planes in clip[AT + 1 :]:  # frames after it disagree in luma, here and there
        planes[0][20:70:4] ^= 64
    stage = marked(drawn)
    window = [frame.to_working() for frame in as_frames(clip)][AT - 3 : AT + 4]
    made, note = stage.process_noted(window, 3)
    blocks = drawn.reshape(72, 2, 88, 2).any(axis=(1, 3))
    places = stage.replaced(note)
    filled, left = places[FILLED], places[LEFT]
    assert np.array_equal(filled | left, np.kron(blocks, np.ones((2, 2), bool)))
    whole, partly = (filled.reshape(72, 2, 88, 2).all(axis=(1, 3)), filled.reshape(72, 2, 88, 2).any(axis=(1, 3)))
    assert np.array_equal(whole, partly) and whole.any() and left.any()
    assert note["colour_samples_left"] * 4 == note["left"] == np.count_nonzero(left)
    for plane, before, changed in zip(made.planes, window[3].planes, (filled, whole, whole), strict=True):
        assert np.array_equal(plane[~changed], before[~changed])
    added = np.count_nonzero(filled | left) - np.count_nonzero(drawn)
    assert note["mask"]["whole_colour_samples"] == {"pixels_each": [2, 2], "pixels_added": added}
    assert note["mask"]["marked_by_user"] == np.count_nonzero(drawn)


@pytest.mark.parametrize(
    "before",
    [
        ("follow", {"points": [[0, 80.0, 60.0]], "width": 176, "height": 144}),
        ("rotate-flip", {"flip": "horizontal"}),
        ("stabilise", {}),
        ("undistort", {"centre": [88.0, 72.0], "focal": [110.0, 110.0], "k1": -0.1}),
        ("aspect", {"sample_aspect": "16:11"}),
    ],
)
def test_marked_places_behind_a_stage_that_moves_the_picture_are_refused(before):
    moving = build(*before)
    areas = {"areas": [{"rectangle": [30, 40, 12, 12]}]}
    for values in (areas, {"picture": png(np.ones((144, 176), bool))}):
        with pytest.raises(BadInput) as refusal:
            Pipeline([moving, build("fill-from-neighbours", values)])
        assert refusal.value.code == "recipe.order" and moving.name in refusal.value.message
    Pipeline([moving, build("fill-from-neighbours", {"detector": "both"})])
    Pipeline([build("crop", {"x": 0, "y": 0, "width": 90, "height": 90}), build("fill-from-neighbours", areas)])


def test_a_change_of_size_before_it_is_refused():
    with pytest.raises(BadInput) as refusal:
        Pipeline([build("resize", {"scale": 2}), build("fill-from-neighbours", {"detector": "both"})])
    assert refusal.value.code == "recipe.order"


def test_generative_neighbours_make_the_filling_generative(dusty):
    frames, mask, _ = dusty
    window = [frame.to_working() for frame in frames[AT - 3 : AT + 4]]
    tainted = window[0].touched(StageClass.GENERATIVE, window[0].planes)
    made = marked(mask).process([tainted, *window[1:]], 3)
    assert made.stage_class is StageClass.GENERATIVE and replace(made.timing) == window[3].timing
