"""The fusion stage: colour, geometry, record, window ends, and the same bytes for any number of workers."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.frame import BlockQuantisers, Coding, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages import catalogue
from forensic.stages.coding import coding_of_window
from forensic.stages.kernels import KERNELS
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe
from forensic.stages.resampling import resample, scaled_axes

QUICK = {"frames": 1, "scale": 2, "self_similarity": False}


def test_it_is_of_fidelity_class_and_takes_the_scale():
    stage = catalogue.build("fusion", {})
    assert stage.effective_class is StageClass.FIDELITY and not stage.learned
    assert stage.radius == 4 and stage.scale == 2.0
    assert stage.with_scale(4).scale == 4.0
    with pytest.raises(BadInput):
        stage.with_scale(5)


def test_colour_is_interpolated_and_keeps_its_place(working):
    frame = working(64, 48)
    stage = catalogue.build("fusion", QUICK)
    made = stage.process([frame], 0)
    axes = scaled_axes(frame.geometry, made.geometry, frame.colour)
    for number in (1, 2):
        expected = resample(frame.planes[number], *axes[number], KERNELS["lanczos"])
        assert np.array_equal(made.planes[number], expected)
    assert (made.geometry.width, made.geometry.height) == (128, 96)


@pytest.mark.parametrize("layout", ["gray", "yuv444p", "rgb24"])
def test_other_layouts_are_taken(working, layout):
    frames = [working(40, 32, layout, index=index) for index in range(3)]
    made = catalogue.build("fusion", QUICK).process(frames, 1)
    assert made.planes[0].shape == (64, 80)
    assert np.abs(made.luma.reshape(32, 2, 40, 2).mean(axis=(1, 3)) - frames[1].luma).mean() < 5.0


def test_the_note_says_what_became_of_every_frame(working):
    frames = [working(64, 48, "gray", index=index) for index in range(10, 13)]
    frames[2] = working(64, 48, "gray", planes=(255 - frames[1].planes[0][::-1],), index=12)
    _, note = catalogue.build("fusion", QUICK).process_noted(frames, 1)
    rows = note["fusion"]["frames"]
    assert [row["frame"] for row in rows] == [10, 11, 12]
    assert rows[0]["rejected"] is None and rows[0]["shift"] == pytest.approx([0.0, 0.0], abs=0.01)
    assert rows[2]["rejected"] in ("no registration", "does not match", "shift too large")
    assert note["fusion"]["frames_used"] == 2 and note["fusion"]["noise_source"] == "estimated"
    assert 1.0 < note["fusion"]["effective_frames"] <= 2.0


def test_any_number_of_workers_gives_the_same_bytes(clip):
    frames = clip(4, 48, 40)
    pipeline = Pipeline([catalogue.build("fusion", {"frames": 1, "scale": 2})])
    runs = [[output.frame.sha256 for output in pipeline.run(iter(frames), workers=workers)] for workers in (1, 3)]
    assert runs[0] == runs[1] and len(runs[0]) == 4


def test_window_ends_have_fewer_frames_and_the_middle_all(clip):
    frames = clip(4, 48, 40)
    pipeline = Pipeline([catalogue.build("fusion", QUICK)])
    counts = [len(output.notes[0]["fusion"]["frames"]) for output in pipeline.run(iter(frames), workers=1)]
    assert counts == [2, 3, 3, 2]


def test_the_recipe_is_one_stage_without_a_learned_model():
    bound = load_recipe("fuse").bind(scale=4)
    (stage,) = bound.stages
    assert stage.name == "fusion" and stage.scale == 4.0 and stage.radius == 4
    assert bound.pipeline.effective_class is StageClass.FIDELITY


def coded(frame: WorkingFrame, coding: Coding | None) -> WorkingFrame:
    return WorkingFrame(
        tuple(plane.copy() for plane in frame.planes), frame.geometry, frame.colour, frame.timing, frame.stage_class,
        coding,
    )  # fmt: skip


def test_quantisers_come_along_from_the_bitstream_and_a_stated_one_goes_before_them(working):
    said = [Coding("I", "h264", 20.0), Coding("P", "h264", 31.5), Coding("B", why_not="nothing is exported")]
    frames = [coded(working(64, 48, "gray", index=index), one) for index, one in enumerate(said)]
    note = catalogue.build("fusion", QUICK).process_noted(frames, 1)[1]["fusion"]
    assert [row["quantiser"] for row in note["frames"]] == [20.0, 31.5, 25.75]
    assert note["quantiser_source"] == "bitstream, 2 of 3 frames"
    assert [row["picture_type"] for row in note["frames"]] == ["I", "P", "B"]
    assert [row["not_exported"] for row in note["frames"]] == [None, None, "nothing is exported"]
    stated = catalogue.build("fusion", QUICK | {"quantiser": 40.0}).process_noted(frames, 1)[1]["fusion"]
    assert {row["quantiser"] for row in stated["frames"]} == {40.0} and stated["quantiser_source"] == "declared"


def test_quantisers_are_put_on_one_scale(working):
    deep = coded(working(64, 48, "yuv420p10le", index=0), Coding("I", "h264", 42.0))
    mpeg = coded(working(64, 48, "gray", index=1), Coding("I", "mpeg", 20.0))
    vp9 = coded(working(64, 48, "gray", index=2), Coding("I", "vp9", 100.0))
    assert coding_of_window([deep]).quantisers == (30.0,)
    assert coding_of_window([mpeg]).quantisers == (pytest.approx(30.0),)
    assert coding_of_window([vp9]).quantisers == () and "vp9" in coding_of_window([vp9]).facts[0]["not_exported"]


def test_how_a_frame_was_coded_goes_through_a_crop_and_not_through_what_changes_samples(working):
    blocks = BlockQuantisers(4, bytes([20, 40, 20, 20] * 3))
    frame = coded(working(64, 48, "gray"), Coding("P", "h264", 25.0, blocks=blocks))
    crop = catalogue.build("crop", {"x": 8, "y": 8, "width": 32, "height": 32})
    cropped = crop.process([frame], 0)
    assert cropped.coding is not None and cropped.coding.quantiser == 25.0  # of the whole picture
    assert cropped.coding.here == 30.0  # 8 columns of 20, 16 of 40, 8 of 20
    again = catalogue.build("crop", {"x": 8, "y": 0, "width": 16, "height": 8}).process([cropped], 0)
    assert again.coding is not None and again.coding.here == 40.0
    turned = catalogue.build("rotate-flip", {"rotate": 180}).process([frame], 0)
    assert turned.coding is not None and turned.coding.quantiser == turned.coding.here == 25.0
    assert crop.process([turned], 0).coding.here is None  # nobody knows any more where a block lies
    brighter = catalogue.build("levels", {"gamma": 1.5}).process([cropped], 0)
    assert brighter.coding is None
    assert coding_of_window([brighter]).facts[0]["not_exported"] is not None
