"""Behind a rectangle that moves, what goes by places of the recording goes by them, frame by frame, or is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forensic.case.reproduce import bind_recorded
from forensic.errors import BadInput, UsageError
from forensic.fusion.motion import project
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import parse_recipe
from forensic.stages.replaced import replaced_places
from tests.stages.conftest import scene

PATH = [[0, 41.0, 30.0], [4, 62.0, 43.0]]  # the middle: by 5.25 and 3.25 pixels a frame
STRONG = {"luma_strength": 44, "chroma_strength": 44}
RIM = 8  # luma pixels, times the colour pitch: what a filter at the rim of the rectangle cannot see


def blocky(working, layout: str, index: int):
    """A frame with steps at multiples of 8 samples of every plane, weak enough to be taken for compression."""
    geometry = working(128, 96, layout).geometry
    planes = []
    for number, (rows, columns) in enumerate(geometry.plane_shapes):
        y, x = np.mgrid[:rows, :columns]
        steps = 9.0 * ((x // 8 + y // 8 + index) % 2)
        planes.append((scene(rows, columns, 10 * index + number) * 0.4 + 60 + steps).astype(np.float32))
    return working(128, 96, layout, planes=tuple(planes), index=index)


def cut(frame, corner, size):
    layout = frame.geometry.layout
    left, top = (int(value) for value in corner)
    made = []
    for number, plane in enumerate(frame.planes):
        chroma = layout.family == "yuv" and number > 0
        right, down = (layout.chroma_shift_x, layout.chroma_shift_y) if chroma else (0, 0)
        made.append(plane[top >> down : (top + size[1]) >> down, left >> right : (left + size[0]) >> right])
    return made


@pytest.mark.parametrize("layout", ["yuv420p", "yuv411p", "yuv444p", "gray", "rgb24"])
def test_blocks_are_looked_for_where_they_were_recorded_in_every_frame(layout, working):
    follow = catalogue.build("follow", {"points": PATH, "width": 64, "height": 48})
    deblock = catalogue.build("deblock", STRONG)
    corners = set()
    for index in range(5):
        frame = blocky(working, layout, index)
        corner = follow.corner(index, frame.geometry.layout)
        corners.add((corner[0] % 8, corner[1] % 8))
        wanted = cut(deblock.process([frame], 0), corner, (64, 48))
        made = deblock.process([follow.process([frame], 0)], 0)
        for number, (own, other) in enumerate(zip(made.planes, wanted, strict=True)):
            rim = RIM
            assert np.array_equal(own[rim:-rim, rim:-rim], other[rim:-rim, rim:-rim]), (index, number)
            assert not np.array_equal(other, cut(frame, corner, (64, 48))[number])
    assert len(corners) > 2, "or the grid would not have moved"


def test_what_is_not_recorded_is_not_mixed_into_what_is(working):
    """A rectangle that sticks out shows grey there; the border of the recording lies on the grid of blocks."""
    flat = working(64, 48, "gray", planes=(np.full((48, 64), 118.0, np.float32),), index=0)
    follow = catalogue.build("follow", {"points": [[0, 3.5, 39.5]], "width": 40, "height": 32})
    made = follow.process([flat], 0)
    assert made.planes[0][:24, :16].min() == 127.5 and made.planes[0][0, 16] == 118.0
    assert np.array_equal(catalogue.build("deblock", STRONG).process([made], 0).planes[0], made.planes[0])


@pytest.mark.parametrize("index", [0, 3])
def test_a_rectangle_that_moves_within_one_and_a_crop_of_it_keep_the_grid(index, working):
    frame = blocky(working, "yuv420p", index)
    outer = catalogue.build("follow", {"points": PATH, "width": 64, "height": 48})
    inner = catalogue.build("follow", {"points": [[0, 27.0, 25.0], [4, 30.5, 21.0]], "width": 48, "height": 32})
    crop = catalogue.build("crop", {"x": 6, "y": 2, "width": 40, "height": 28})
    first = outer.process([frame], 0)
    cropped = crop.process([inner.process([first], 0)], 0)
    corner = [sum(part) for part in zip(outer.corner(index, frame.geometry.layout),
                                        inner.corner(index, frame.geometry.layout), (6, 2), strict=True)]  # fmt: skip
    deblock = catalogue.build("deblock", STRONG)
    made, note = deblock.process_noted([cropped], 0)
    wanted = cut(deblock.process([frame], 0), corner, (40, 28))
    assert np.array_equal(made.planes[0][8:-8, 8:-8], wanted[0][8:-8, 8:-8])
    assert note["grid"] == [-corner[0] % 32, -corner[1] % 32]


def test_what_the_outer_rectangle_did_not_show_is_not_recorded_in_the_inner_one(working):
    flat = working(64, 48, "gray", planes=(np.full((48, 64), 118.0, np.float32),), index=0)
    outer = catalogue.build("follow", {"points": [[0, 39.5, 23.5]], "width": 16, "height": 16})  # 32 to 48, 16 to 32
    inner = catalogue.build("follow", {"points": [[0, 3.5, 7.5]], "width": 32, "height": 32})
    made = inner.process([outer.process([flat], 0)], 0)
    assert {float(value) for value in np.unique(made.planes[0])} == {118.0, 127.5}
    assert np.array_equal(catalogue.build("deblock", STRONG).process([made], 0).planes[0], made.planes[0])


def test_a_frame_without_a_position_is_left_alone_and_said_to_have_no_grid(working):
    follow = catalogue.build("follow", {"points": PATH, "width": 64, "height": 48})
    nothing = follow.process([blocky(working, "yuv420p", 9)], 0)
    made, note = catalogue.build("deblock", STRONG).process_noted([nothing], 0)
    assert note == {"grid": None}
    assert all(np.array_equal(own, other) for own, other in zip(made.planes, nothing.planes, strict=True))


def test_the_grid_of_every_frame_is_on_the_record_whatever_stands_between(clip):
    stages = [
        ("follow", {"points": [[0, 30.0, 20.0], [4, 41.0, 26.0]], "width": 40, "height": 32}),
        ("temporal-average", {"frames": 1}),
        ("deblock", {"grid_x": 4}),
    ]
    pipeline = Pipeline(catalogue.build(*stage) for stage in stages)
    for output in pipeline.run(iter(clip(5)), workers=2):
        notes = {note["stage"]: note for note in output.notes}
        left, top = (int(place) for place in notes["follow"]["corner"])
        assert notes["deblock"]["grid"] == [(4 - left) % 32, -top % 32]


IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
GIVEN = {"motions": [[0, *IDENTITY]], "scale": 1}
FOLLOW = ("follow", {"points": PATH, "width": 64, "height": 48})
BETWEEN = ("follow", {"points": PATH, "width": 64, "height": 48, "placing": "lanczos"})
TURN = ("rotate-flip", {"rotate": 180})
STEADY = ("stabilise", {"radius": 1, "smoothing": 1.0})
LENS = ("undistort", {"centre": [60.0, 40.0], "focal": [100.0, 100.0], "k1": -0.1})
PLANE = ("perspective", {"corners": [[10, 10], [90, 12], [88, 60], [12, 58]], "width": 80, "height": 48})
HELD = ("stabilise", {"reference": 0, "path": [[0, 0.0, 0.0, 0.0, 0.0], [1, 2.0, 1.0, 0.0, 0.0]]})
CORNER = {"x": 2, "y": 2, "width": 20, "height": 20}
MASK = ("fill-from-neighbours", {"areas": [{"rectangle": [4, 4, 3, 3]}]})
IN_THE_RECORDING = ("fusion", GIVEN | {"motions_in": "before-follow"})


@pytest.mark.parametrize(
    ("before", "stage"),
    [
        (BETWEEN, ("deblock", {})),
        (STEADY, ("deblock", {})),
        (LENS, ("deblock", {})),
        (PLANE, ("deblock", {})),
        (("aspect", {"sample_aspect": "16:11"}), ("deblock", {})),
        (FOLLOW, LENS),
        (STEADY, LENS),
        (FOLLOW, HELD),
        (FOLLOW, MASK),
        (STEADY, ("fusion", GIVEN)),
        (HELD, ("fusion", GIVEN)),
        (STEADY, IN_THE_RECORDING),
        (TURN, IN_THE_RECORDING),
    ],
    ids=lambda stage: stage[0],
)
def test_what_is_said_of_the_recording_is_refused_where_it_no_longer_holds(before, stage):
    stages = [catalogue.build(*before), catalogue.build(*stage)]
    with pytest.raises(BadInput) as refusal:
        Pipeline(stages)
    assert refusal.value.code == "recipe.order"
    assert before[0] in refusal.value.message and stage[0] in refusal.value.message and refusal.value.remedy
    with pytest.raises(BadInput):  # nor behind something harmless in between
        Pipeline([stages[0], catalogue.build("levels", {"gamma": 1.2}), stages[1]])
    Pipeline([stages[1], catalogue.build("levels", {"gamma": 1.2})])


@pytest.mark.parametrize(
    ("before", "stage"),
    [
        (FOLLOW, ("deblock", {})),
        (FOLLOW, ("crop", {"x": 2, "y": 2, "width": 20, "height": 20})),
        (FOLLOW, FOLLOW),
        (FOLLOW, PLANE),
        (FOLLOW, ("white-balance", {"method": "neutral-region", "region": [0, 0, 4, 4]})),
        (FOLLOW, ("annotate", {"marks": [{"kind": "arrow", "at": [2, 2], "to": [12, 9]}]})),
        (FOLLOW, ("fill-from-neighbours", {"detector": "both"})),
        (FOLLOW, STEADY),
        (FOLLOW, ("fusion", GIVEN)),
        (FOLLOW, IN_THE_RECORDING),
        (BETWEEN, IN_THE_RECORDING),
        (TURN, LENS),
        (TURN, ("fusion", GIVEN)),
        (("fusion", {"scale": 1}), ("deblock", {})),
    ],
    ids=lambda stage: stage[0],
)
def test_what_is_said_of_the_picture_at_hand_is_taken_at_its_word(before, stage):
    Pipeline([catalogue.build(*before), catalogue.build(*stage)])


@pytest.mark.parametrize(
    ("corner", "layout", "given", "stated"),
    [
        ((10, 6), "yuv420p", {}, {"grid_x = 22", "grid_y = 26"}),
        ((8, 0), "yuv420p", {}, {"grid_x = 24"}),
        ((8, 0), "gray", {}, None),
        ((16, 32), "yuv420p", {}, None),
        ((10, 6), "yuv420p", {"grid_x": 6}, {"grid_y = 26"}),
        ((10, 6), "yuv420p", {"grid_x": 6, "grid_y": 2}, None),
    ],
)
def test_nobody_s_grid_is_not_taken_for_that_of_a_cropped_picture(corner, layout, given, stated, working):
    crop = {"x": corner[0] - 2, "y": corner[1], "width": 64, "height": 48}
    again = {"x": 2, "y": 0, "width": 48, "height": 40}
    stages = [("crop", crop), ("levels", {"gamma": 1.2}), ("crop", again), ("deblock", given)]
    pipeline = Pipeline(catalogue.build(*stage) for stage in stages)
    if stated is None:
        pipeline.plan(working(128, 96, layout).geometry)
        return
    with pytest.raises(BadInput) as refusal:
        pipeline.plan(working(128, 96, layout).geometry)
    assert refusal.value.code == "stage.grid"
    found = refusal.value.remedy.split(", or state ")[1].split(" (")[0]
    assert set(found.split(" and ")) == stated


@pytest.mark.parametrize(
    "turn", [{"rotate": 180}, {"flip": "horizontal"}, {"flip": "vertical"}, {"rotate": 90}, {"rotate": 270}], ids=str
)
@pytest.mark.parametrize(("layout", "size"), [("gray", (124, 90)), ("yuv444p", (124, 90)), ("rgb24", (121, 90))])
def test_blocks_of_a_picture_turned_by_right_angles_are_filtered_where_they_are_stated(turn, layout, size, working):
    """Turning and deblocking come to the same in either order."""
    shapes = working(*size, layout).geometry.plane_shapes
    planes = tuple(plane[: rows, : columns] for plane, (rows, columns) in zip(
        blocky(working, layout, 0).planes, shapes, strict=True))  # fmt: skip
    frame = working(*size, layout, planes=tuple(np.ascontiguousarray(plane) for plane in planes), index=0)
    turning = catalogue.build("rotate-flip", turn)
    mirrored_x = turn in ({"rotate": 180}, {"flip": "horizontal"})
    mirrored_y = turn in ({"rotate": 180}, {"flip": "vertical"})
    left, top = size[0] % 8 if mirrored_x else 0, size[1] % 8 if mirrored_y else 0
    if turn == {"rotate": 90}:
        left = size[1] % 8
    if turn == {"rotate": 270}:
        top = size[0] % 8
    wanted = turning.process([catalogue.build("deblock", STRONG).process([frame], 0)], 0)
    stated = Pipeline([turning, catalogue.build("deblock", STRONG | {"grid_x": left, "grid_y": top})])
    stated.plan(frame.geometry)
    made = stated.process_window([frame], 0)
    untouched = turning.process([frame], 0)
    for own, other, before in zip(made.planes, wanted.planes, untouched.planes, strict=True):
        # Where a column and a row of edges cross, which is filtered first is seen after a quarter turn.
        same = np.isclose(own, other, atol=1e-4)
        assert same.mean() > (0.9 if turn.get("rotate") in (90, 270) else 0.9999)
        assert not np.isclose(own, before, atol=1e-4).mean() > 0.9


@pytest.mark.parametrize(
    ("given", "missing"),
    [({}, ["grid_x", "grid_y"]), ({"grid_x": 4}, ["grid_y"]), ({"grid_y": 4}, ["grid_x"]), (STRONG, ["grid_x"])],
)
def test_nobody_s_grid_is_not_taken_for_that_of_a_turned_picture(given, missing):
    between = catalogue.build("levels", {"gamma": 1.2})
    with pytest.raises(BadInput) as refusal:
        Pipeline([catalogue.build(*TURN), between, catalogue.build("deblock", given)])
    assert refusal.value.code == "stage.grid" and all(name in refusal.value.remedy for name in missing)
    Pipeline([catalogue.build("deblock", given), catalogue.build(*TURN)])
    Pipeline([catalogue.build(*TURN), between, catalogue.build("deblock", given | {"grid_x": 0, "grid_y": 0})])


def test_a_moving_rectangle_that_is_turned_afterwards_no_longer_says_where_blocks_lie():
    stated = catalogue.build("deblock", {"grid_x": 0, "grid_y": 0})
    turn, follow = catalogue.build(*TURN), catalogue.build(*FOLLOW)
    with pytest.raises(BadInput) as refusal:
        Pipeline([follow, turn, stated])
    assert refusal.value.code == "recipe.order"
    Pipeline([turn, follow, stated])


def _record(*stages):
    """As the record of a run has it: every parameter, defaults included."""
    listed = [
        {"position": at, "why": "Test.", **catalogue.build(*stage).record()} for at, stage in enumerate(stages, 1)
    ]
    return {"name": "x", "title": "X", "why": "Test.", "sha256": "0" * 64, "source": "x.toml", "stages": listed}


@pytest.mark.parametrize(
    "stages",
    [
        (TURN, ("deblock", {})),
        (STEADY, ("deblock", {})),
        (BETWEEN, ("deblock", {})),
        (("aspect", {"sample_aspect": "16:11"}), ("deblock", {})),
        (("crop", {"x": 10, "y": 6, "width": 40, "height": 30}), ("deblock", {})),
        (STEADY, LENS),
        (FOLLOW, TURN, ("deblock", {})),
        (STEADY, ("fusion", GIVEN)),
    ],
    ids=lambda stages: " ".join(stage[0] for stage in stages),
)
def test_a_run_made_before_there_was_a_rule_can_still_be_bound_to_be_repeated(stages, working):
    bound = bind_recorded(_record(*stages))
    assert [stage.name for stage in bound.stages] == [stage[0] for stage in stages]
    bound.pipeline.plan(working(128, 96).geometry)
    bound.pipeline.reference()


def test_rules_as_old_as_the_records_hold_for_them_too():
    for stages in ((TURN, MASK), (FOLLOW, MASK), (("resize", {"scale": 2.0}), ("crop", CORNER))):
        with pytest.raises(BadInput) as refusal:
            bind_recorded(_record(*stages)).pipeline  # noqa: B018
        assert refusal.value.code == "recipe.order"


def _recipe(*stages):
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n'
    for name, parameters in stages:
        values = ", ".join(f"{key} = {json.dumps(value)}" for key, value in parameters.items())
        text += f'[[stage]]\nname = "{name}"\nwhy = "Test."\nparameters = {{ {values} }}\n'
    return parse_recipe(text.encode(), "x.toml")


def test_a_region_of_interest_moves_what_is_said_of_the_uncut_picture_behind_a_rectangle_too(working):
    """The rectangle shows the same with a region and without it, and so must what comes after it."""
    recipe = _recipe(FOLLOW, ("crop", {"x": 8, "y": 4, "width": 48, "height": 40}), ("deblock", STRONG))
    frame = blocky(working, "yuv420p", 3)
    plain, region = recipe.bind().pipeline, recipe.bind(roi=(10, 6, 110, 88)).pipeline
    assert [stage.name for stage in region.stages] == ["crop", "follow", "crop", "deblock"]
    one, other = (each.process_window([frame], 0) for each in (plain, region))
    assert all(np.array_equal(own, same) for own, same in zip(one.planes, other.planes, strict=True))
    own = _recipe(("crop", {"x": 10, "y": 6, "width": 110, "height": 88}), FOLLOW, ("deblock", {"grid_x": 6}))
    assert own.bind(roi=(4, 4, 120, 92)).stages[3].parameters.grid_x == 6, "the crop is anchored in the scene"


@pytest.mark.parametrize("placing", ["whole", "bicubic"])
def test_a_region_of_interest_moves_given_motions_behind_a_rectangle_too(placing, working):
    turned = [1.0, 0.02, 3.0, -0.02, 1.0, 1.5, 1e-5, 0.0, 1.0]
    given = {"motions": [[2, *IDENTITY], [3, *turned]], "motions_in": "before-follow"}
    recipe = _recipe((FOLLOW[0], FOLLOW[1] | {"placing": placing}), ("fusion", given))
    frames = [blocky(working, "yuv420p", index) for index in (2, 3)]
    follow = recipe.bind().stages[0]
    corners = [follow.corner(frame.timing.index, frame.geometry.layout) for frame in frames]
    point = np.array([[20.0, 15.0]])
    wanted = project(np.reshape(turned, (3, 3)), point + corners[0]) - corners[1]
    for roi in (None, (10, 6, 110, 88)):
        stages = recipe.bind(roi=roi).stages
        window = [Pipeline(stages[:-1]).process_window([frame], 0) for frame in frames]
        motion = stages[-1]._motions(window, 0)[1]
        assert np.abs(motion.of(point) - wanted).max() < 1e-9


def test_a_path_that_turns_the_whole_picture_is_not_taken_for_that_of_a_region():
    turning = ("stabilise", HELD[1] | {"model": "similarity"})
    with pytest.raises(UsageError) as refusal:
        _recipe(turning).bind(roi=(10, 6, 64, 48))
    assert refusal.value.code == "recipe.roi" and "about its middle" in refusal.value.message
    assert (
        _recipe(HELD).bind(roi=(10, 6, 64, 48)).stages[1].parameters.path
        == _recipe(HELD).bind().stages[0].parameters.path
    )


@pytest.mark.parametrize("before", [[], [("channel", {"channel": "R"})]], ids=["colour", "one channel"])
def test_what_is_said_to_be_recorded_or_filled_lies_where_the_rectangle_put_it(before, clip):
    """The rectangle keeps to the grid of colour, also where only the places of pixels go through it."""
    corner = {"points": [[0, 8.4, 9.4], [4, 16.4, 14.4]], "width": 24, "height": 20}  # off an even pixel, outside first
    areas = {"areas": [{"rectangle": [12, 14, 3, 3]}], "frames": 1, "least_frames": 2}
    stages = [("fill-from-neighbours", areas), *before, ("follow", corner)]
    pipeline = Pipeline(catalogue.build(*stage) for stage in stages)
    for output in pipeline.run(iter(clip(5, noise=0.5)), workers=1):
        source, made = output.source.to_working(), output.frame.to_working()
        shown = pipeline.shows_recording(source, output.notes)
        left, top = (int(value) for value in output.notes[-1]["corner"])
        y, x = np.mgrid[:20, :24]
        assert np.array_equal(shown, (x + left >= 0) & (y + top >= 0))
        found = replaced_places(pipeline.stages, source, output.notes, shown)
        masked = (np.isin(x + left, range(12, 16)) & np.isin(y + top, range(14, 18))) & shown
        union = np.any(list(found.values()), axis=0)
        assert masked.any() and not (masked & ~union).any()
        assert before or np.array_equal(union, masked), "a channel is made of colour too, which reaches further"
        assert made.planes[0].shape == shown.shape
