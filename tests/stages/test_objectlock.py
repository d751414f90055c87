"""A recipe behind a tracked region: fused in the region's own frame of reference, every motion among its parameters."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from forensic.errors import BadInput, UsageError
from forensic.fusion.motion import placed, project
from forensic.fusion.tracking import Region, Sight, Track, joined, track_region
from forensic.simulation.degradation import MovingObject
from forensic.stages import catalogue
from forensic.stages.objectlock import locked
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import Recipe, load_recipe, parse_recipe
from tests.fidelity.methods import coded
from tests.fusion.recordings import bicubic, drawn, luma, psnr, with_object

AT = 4


@pytest.fixture(scope="module")
def passing():
    """A low plate (13 recorded pixels) that passes in front of a scene, coming nearer and turning a little."""
    plate = np.full((60, 176), 215, np.uint8)
    cv2.putText(plate, "KX 37 QD", (10, 44), 0, 1.1, 25.0, 3, cv2.LINE_AA)
    cv2.rectangle(plate, (3, 3), (172, 56), 40.0, 3)
    thing = MovingObject(
        sprite=0, width=44, height=15, centre_x=0.5, centre_y=0.5, velocity_x=2.7, velocity_y=-0.8, zoom=0.01, turn=0.3
    )
    return with_object(drawn(224, 352), thing, plate.astype(np.float32), frames=9)


@pytest.fixture(scope="module")
def track(passing) -> Track:
    corners = passing.object_corners[0][AT] / 4
    left, top = (int(value) for value in np.ceil(corners.min(axis=0)) + 1)
    right, bottom = (int(value) for value in np.floor(corners.max(axis=0)) - 1)
    region = Region(left, top, right - left, bottom - top)
    numbered = list(enumerate(luma(passing)))
    return joined(track_region(reversed(numbered[: AT + 1]), region), track_region(iter(numbered[AT:]), region))


def test_the_region_is_fused_as_if_it_stood_still(passing, track) -> None:
    """Nothing is registered within the small crop, where a turn cannot be seen: what was tracked is taken."""
    region = track.region
    assert region.height < 16
    bound = locked(load_recipe("fuse"), track, "test").bind(scale=4)
    bound = [stage if stage.name == "follow" else stage.varied(self_similarity=False) for stage in bound.stages]
    (output,) = Pipeline(bound).run(iter(coded(passing.frames)), workers=1, keep=(AT, AT + 1))
    box = (slice(4 * region.y, 4 * (region.y + region.height)), slice(4 * region.x, 4 * (region.x + region.width)))
    truth = passing.truth[AT][box]
    made = output.frame.planes[0].astype(np.float32)
    assert made.shape == truth.shape
    assert psnr(made, truth) > psnr(bicubic(luma(passing)[AT], 4)[box], truth) + 4.0
    (note,) = (note["fusion"] for note in output.notes if "fusion" in note)
    assert note["motion_source"] == "given" and note["frames_used"] == 9


@pytest.mark.parametrize("layout", ["gray", "yuv420p", "yuv411p"])
def test_motions_in_the_crop_are_those_that_were_tracked(track, layout, working) -> None:
    """Whatever grid of colour the crop keeps to in a frame, and however it was moved by hand since."""
    recipe = locked(load_recipe("fuse"), track, "test")
    points = [[frame, x + (7 if frame == 3 else 0), y] for frame, x, y in recipe.steps[0].parameters["points"]]
    follow, fusion = (catalogue.build(step.name, step.parameters) for step in recipe.steps)
    follow = follow.varied(points=tuple(map(tuple, points)))
    point = track.region.middle
    whole = [working(88, 56, layout, index=sight.frame) for sight in track.sights]
    window = [follow.process([frame], 0) for frame in whole]
    corners = [np.array(follow.corner(frame.timing.index, frame.geometry.layout)) for frame in whole]
    own = project(track.sights[AT].matrix, point) - corners[AT]
    for sight, corner, motion in zip(track.sights, corners, fusion._motions(window, AT), strict=True):
        there = motion.of(own) + corner
        assert np.abs(there - project(sight.matrix, point)).max() < 1e-6


def _fused(passing, recipe: Recipe, at: int) -> dict[str, Any]:
    """The note of a quick fusion of frame ``at``."""
    quick = {"scale": 1, "self_similarity": False}
    stages = [stage if stage.name == "follow" else stage.varied(**quick) for stage in recipe.bind().stages]
    (output,) = Pipeline(stages).run(iter(coded(passing.frames)), workers=1, keep=(at, at + 1))
    return next(note["fusion"] for note in output.notes if "fusion" in note)


def test_frames_without_a_fit_are_not_used_and_said_to_be_so(passing, track) -> None:
    sights = tuple(replace(one, registered=one.frame != 6) for one in track.sights if one.frame != 2)
    without = replace(track, sights=sights, lost=(2,))
    recipe = locked(load_recipe("fuse"), without, "test")
    assert [motion[0] for motion in recipe.steps[1].parameters["motions"]] == [0, 1, 3, 4, 5, 7, 8]
    note = _fused(passing, recipe, AT)
    assert {row["frame"]: row["rejected"] for row in note["frames"] if row["rejected"]} == {
        2: "no motion given", 6: "no motion given",
    }  # fmt: skip


def test_another_frame_of_the_track_is_fused_with_the_same_motions(passing, track) -> None:
    recipe = locked(load_recipe("fuse"), track, "test")
    note = _fused(passing, recipe, 6)
    assert note["frames_used"] == len(note["frames"]) == 7
    # Every crop is placed to within half a pixel.
    assert all(max(map(abs, row["shift"])) < 1.1 for row in note["frames"])


def _sights(count: int) -> Track:
    sights = tuple(Sight(frame, placed(3 * frame, 0), 1.0, "first") for frame in range(count))
    return Track(Region(10, 10, 24, 16), 0, sights, ())


def test_where_a_stage_between_turns_pixels_fusion_registers_by_itself() -> None:
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n'
    for name, parameters in (("rotate-flip", "{ rotate = 90 }"), ("fusion", "{ scale = 2 }")):
        text += f'[[stage]]\nname = "{name}"\nwhy = "Test."\nparameters = {parameters}\n'
    recipe = locked(parse_recipe(text.encode(), "x.toml"), _sights(3), "test")
    assert [step.name for step in recipe.steps] == ["follow", "rotate-flip", "fusion"]
    assert recipe.steps[2].parameters == {"scale": 2, "registration": "homography", "strength": 0.4}


def test_a_fusion_that_a_model_refines_is_given_the_motions_and_smooths_as_it_was_trained() -> None:
    recipe = locked(load_recipe("multi"), _sights(3), "test")
    (step,) = (step for step in recipe.steps if step.name == "refined-fusion")
    assert [motion[0] for motion in step.parameters["motions"]] == [0, 1, 2]
    assert "strength" not in step.parameters


def test_a_recipe_that_says_how_much_to_smooth_is_believed() -> None:
    text = 'name = "x"\ntitle = "X"\nwhy = "Test."\n[[stage]]\nname = "fusion"\nwhy = "Test."\n'
    text += "parameters = { strength = 2.0 }\n"
    recipe = locked(parse_recipe(text.encode(), "x.toml"), _sights(3), "test")
    assert recipe.steps[1].parameters["strength"] == 2.0
    assert [motion[0] for motion in recipe.steps[1].parameters["motions"]] == [0, 1, 2]


def _with_motions(*before: str, motions: list[list[float]]) -> Recipe:
    """Stages with no parameters but those of a turn, then a fusion that is given ``motions``."""
    text = 'name = "own"\ntitle = "X"\nwhy = "Test."\n'
    for name in before:
        values = "rotate = 180" if name == "rotate-flip" else ""
        text += f'[[stage]]\nname = "{name}"\nwhy = "Test."\nparameters = {{ {values} }}\n'
    text += f'[[stage]]\nname = "fusion"\nwhy = "Test."\nparameters = {{ scale = 1, motions = {motions} }}\n'
    return parse_recipe(text.encode(), "x.toml")


@pytest.mark.parametrize("between", [(), ("nlmeans",), ("deblock", "levels")])
def test_motions_that_a_recipe_states_hold_behind_the_region_and_go_before_the_tracked_ones(between, working) -> None:
    """They are of the recorded picture; the region lies elsewhere in every frame."""
    motions = [[frame, 1.0, 0.01 * frame, 0.4 * frame, -0.01 * frame, 1.0, -0.3, 0.0, 0.0, 1.0] for frame in (0, 1, 3)]
    base = _with_motions(*between, motions=motions)
    recipe = locked(base, _sights(4), "test")
    assert recipe.steps[-1].parameters["motions"] == motions, "not those of the track"
    whole = [working(96, 64, "yuv420p", index=index) for index in range(4)]
    *_, alone = base.bind().stages
    follow, *_, fusion = recipe.bind().stages
    corners = [np.array(follow.corner(index, whole[0].geometry.layout)) for index in range(4)]
    assert len({tuple(corner) for corner in corners}) == 4
    window = [follow.process([frame], 0) for frame in whole]
    points = np.array([[0.0, 0.0], [20.0, 11.0]])
    for stated, made, corner in zip(alone._motions(whole, 1), fusion._motions(window, 1), corners, strict=True):
        assert (stated is None) == (made is None)
        if stated is not None:
            assert np.abs(made.of(points) + corner - stated.of(points + corners[1])).max() < 1e-9


@pytest.mark.parametrize("between", ["rotate-flip", "stabilise"])
def test_motions_of_pictures_that_a_stage_moves_are_refused_with_a_region_that_moves(between) -> None:
    identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    recipe = _with_motions(between, motions=[[0, *identity], [1, *identity]])
    with pytest.raises(UsageError) as refusal:
        locked(recipe, _sights(3), "test")
    assert refusal.value.code == "recipe.roi" and "motions" in refusal.value.message


def test_where_the_region_shows_nothing_given_motions_are_not_used(working) -> None:
    identity = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
    recipe = locked(_with_motions(motions=[[frame, *identity] for frame in range(6)]), _sights(3), "test")
    follow, fusion = recipe.bind().stages
    window = [follow.process([working(96, 64, "gray", index=index)], 0) for index in range(1, 5)]
    assert [motion is None for motion in fusion._motions(window, 0)] == [False, False, True, True]


def test_a_recipe_that_deblocks_finds_the_blocks_behind_a_region_that_moves(working) -> None:
    recipe = locked(load_recipe("classic"), _sights(4), "test")
    follow, deblock, *_ = recipe.bind().stages
    assert (follow.name, deblock.name) == ("follow", "deblock")
    blocks = np.tile(110 + 4.0 * (np.arange(96) // 8 % 2), (64, 1)).astype(np.float32)
    for index in range(4):
        frame = follow.process([working(96, 64, "gray", planes=(blocks,), index=index)], 0)
        changed = np.abs(deblock.process([frame], 0).planes[0] - frame.planes[0])[:, 4:-4].max(axis=0) > 0
        left = int(follow.corner(index, frame.geometry.layout)[0])
        found = {(column + left) % 8 for column in np.flatnonzero(changed) + 4}
        assert found and found <= {5, 6, 7, 0, 1, 2}, "within three samples of an edge on either side"


def test_given_motions_move_with_a_crop_and_are_places() -> None:
    turn = [[1.0, -0.02, 3.0], [0.02, 1.0, -1.0], [1e-5, 0.0, 1.0]]
    stage = catalogue.build("fusion", {"motions": [[0, 1, 0, 0, 0, 1, 0, 0, 0, 1], [1, *np.ravel(turn).tolist()]]})
    assert stage.positional and not catalogue.build("fusion", {}).positional
    moved = np.reshape(stage.after_crop(20, 10).parameters.motions[1][1:], (3, 3))
    point = np.array([[33.0, 21.0]])
    corner = np.array([20.0, 10.0])
    assert np.abs(project(moved, point - corner) + corner - project(np.array(turn), point)).max() < 1e-9


@pytest.mark.parametrize(
    "motions",
    [
        [[1, *np.eye(3).ravel().tolist()], [1, *np.eye(3).ravel().tolist()]],
        [[0, 1, 0, 0, 0, 1, 0, 0, 0, 0]],
        [[0, 0, 0, 1, 0, 1, 0, 1, 0, 0]],
        [[0, 1, 0, 0, 0, 1, 0, 0, 0]],
        [[0, *[float("nan")] * 9]],
    ],
    ids=["twice", "singular", "nothing to divide by", "eight numbers", "no numbers"],
)
def test_motions_that_cannot_be_are_refused(motions) -> None:
    with pytest.raises(BadInput):
        catalogue.build("fusion", {"motions": motions})


@pytest.mark.parametrize(
    ("name", "parameters", "refused"),
    [
        ("fill-from-neighbours", "{ areas = [{ rectangle = [5, 5, 4, 4] }] }", True),
        ("fill-from-neighbours", '{ detector = "both" }', False),
        ("inpaint", '{ model = "mae-inpaint", areas = [{ rectangle = [5, 5, 4, 4] }] }', True),
        ("white-balance", '{ method = "neutral-region", region = [4, 4, 8, 8] }', True),
        ("white-balance", "{ gains = [1.1, 1.0, 1.0] }", False),
        ("crop", "{ x = 4, y = 4, width = 8, height = 8 }", True),
    ],
)
def test_a_recipe_that_names_places_is_not_put_behind_a_region_that_moves(track, name, parameters, refused) -> None:
    text = f'name = "own"\ntitle = "t"\nwhy = "w"\n[[stage]]\nname = "{name}"\nwhy = "w"\nparameters = {parameters}'
    recipe = parse_recipe(text.encode(), "test")
    if not refused:
        assert locked(recipe, track, "test").steps[0].name == "follow"
        return
    with pytest.raises(UsageError) as refusal:
        locked(recipe, track, "test")
    assert refusal.value.code == "recipe.roi" and name in refusal.value.message
