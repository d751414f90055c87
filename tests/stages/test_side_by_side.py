"""Side by side: both pictures sample for sample, each with what it is, and the class of what is shown."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput, InternalError
from forensic.frames.stageclass import StageClass
from forensic.media.lettering import line_of_text
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline

LAYOUTS = ["yuv420p", "yuv422p10le", "yuv444p", "yuv411p", "gray", "rgb24"]
CROP = ("crop", {"x": 4, "y": 8, "width": 240, "height": 160})


def chain(*stages, **values) -> Pipeline:
    return Pipeline(
        [catalogue.build(name, given) for name, given in stages] + [catalogue.build("side-by-side", values)]
    )


def reads(plane: np.ndarray, text: str) -> bool:
    """Whether ``text`` stands in ``plane`` in the font, light on dark."""
    ink = line_of_text(text)
    light = plane > 128
    columns = np.flatnonzero(ink[:, 0])  # somewhere the first column of ink starts
    for row, column in zip(*np.nonzero(light), strict=True):
        top = row - int(columns[0])
        part = light[max(top, 0) : top + ink.shape[0], column : column + ink.shape[1]]
        if top >= 0 and part.shape == ink.shape and np.array_equal(part, ink):
            return True
    return False


@pytest.mark.parametrize("arrangement", ["beside", "below"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_both_pictures_are_there_sample_for_sample(layout, arrangement, working):
    frame = working(301, 199, layout)
    pipeline = chain(CROP, ("levels", {"gamma": 2.0}), arrangement=arrangement)
    made = pipeline.process_window([frame], 0)
    before = catalogue.build(*CROP).process([frame], 0)
    after = catalogue.build("levels", {"gamma": 2.0}).process([before], 0)
    assert made.geometry == pipeline.output_geometry(frame.geometry)
    for number, plane in enumerate(made.planes):
        rows, columns = before.planes[number].shape
        assert np.array_equal(plane[:rows, :columns], before.planes[number]), "as recorded"
        found = plane[:rows, -columns:] if arrangement == "beside" else plane[plane.shape[0] - rows - 20 :]
        if arrangement == "beside":
            assert np.array_equal(found, after.planes[number])
        else:
            places = [top for top in range(rows, plane.shape[0] - rows + 1)
                      if np.array_equal(plane[top : top + rows, :columns], after.planes[number])]  # fmt: skip
            assert len(places) == 1


@pytest.mark.parametrize("arrangement", ["beside", "below"])
def test_the_captions_say_what_each_is_and_carry_the_class(arrangement, working, generative):
    frame = working(300, 200)
    for stages, caption, stage_class in (
        ([("levels", {"gamma": 2.0})], "ENHANCED, CLASS PRESENTATION", StageClass.GEOMETRIC),
        ([("unsharp", {}), ("resize", {"scale": 2.0})], "ENHANCED, CLASS FIDELITY", StageClass.FIDELITY),
    ):
        made = chain(*stages, arrangement=arrangement).process_window([frame], 0)
        assert made.stage_class is stage_class
        size = 2 if stages[-1][0] == "resize" else 1
        plane = made.planes[0][::size, ::size] if size == 1 else made.planes[0]
        if size == 1:
            assert reads(plane, caption) and reads(plane, "AS RECORDED")
    with catalogue.registered(generative):
        made = chain(("test-invent", {}), arrangement=arrangement).process_window([frame], 0)
    assert made.stage_class is StageClass.GENERATIVE and reads(made.planes[0], "AI-GENERATED DETAIL")


def test_a_generative_exhibit_is_not_called_a_recording(working):
    frame = working(300, 200, stage_class=StageClass.GENERATIVE)
    made = chain().process_window([frame], 0)
    assert made.stage_class is StageClass.GENERATIVE
    assert reads(made.planes[0], "AI-GENERATED EXHIBIT") and not reads(made.planes[0], "AS RECORDED")


def test_the_enlargement_of_the_recorded_picture_is_captioned_and_noted(clip):
    frames = clip(3, 304, 200)
    pipeline = chain(("nlmeans", {"search_radius": 1}), ("resize", {"scale": 1.5}), kernel="nearest")
    output = next(iter(pipeline.run(iter(frames), workers=1)))
    note = output.notes[-1]
    assert note["captions"] == ["AS RECORDED, ×1.5 NEAREST", "ENHANCED, CLASS FIDELITY"]
    assert note["recorded_enlarged"] == 1.5 and note["enhanced_class"] == "fidelity"
    assert reads(output.frame.planes[0], "AS RECORDED, ×1.5 NEAREST")


def test_the_recorded_picture_is_the_one_of_the_same_instant_whatever_the_window_and_the_workers(clip):
    frames = clip(7, 304, 200)
    pipeline = chain(("temporal-average", {"frames": 2}), ("unsharp", {}))
    whole = list(pipeline.run(iter(frames), workers=1))
    for output, source in zip(whole, frames, strict=True):
        assert np.array_equal(output.frame.planes[0][:200, :304], source.planes[0])
    for options in ({"workers": 3}, {"workers": 2, "keep": (2, 5)}):
        part = list(pipeline.run(iter(frames), **options))
        first = part[0].frame.timing.index
        assert [o.frame.sha256 for o in part] == [o.frame.sha256 for o in whole[first : first + len(part)]]
    tapped = next(o for o in pipeline.run(iter(frames), workers=1, tap=[3]) if o.frame.timing.index == 3)
    again = pipeline.process_window([frame.to_working() for frame in tapped.window], tapped.at).quantise()
    assert again.sha256 == tapped.frame.sha256


def test_it_goes_through_the_same_rectification(working):
    frame = working(400, 300)
    plane = ("perspective", {"corners": [[40, 30], [350, 60], [330, 260], [60, 250]], "width": 280, "height": 200})
    made = chain(plane, ("unsharp", {})).process_window([frame], 0)
    rectified = catalogue.build(*plane).process([frame], 0)
    assert np.array_equal(made.planes[0][:200, :280], rectified.planes[0])


def test_no_place_can_be_named_after_it_and_it_stands_once():
    mark = {"marks": [{"kind": "circle", "at": [9, 9], "radius": 3}]}
    for stages in (["side-by-side", "side-by-side"], ["side-by-side", "annotate"]):
        with pytest.raises(BadInput) as refusal:
            Pipeline(catalogue.build(name, mark if name == "annotate" else {}) for name in stages)
        assert refusal.value.code == "recipe.order"
    assert catalogue.build("side-by-side", {}).in_reference_chain is False


def test_a_picture_without_room_or_of_another_kind_is_refused(working):
    with pytest.raises(BadInput) as refusal:
        chain().output_geometry(working(96, 64).geometry)
    assert refusal.value.code == "stage.side-by-side" and "room" in refusal.value.message
    with pytest.raises(BadInput) as refusal:
        chain(("channel", {"channel": "Y"})).process_window([working(300, 200)], 0)
    assert refusal.value.code == "stage.side-by-side"


def test_a_stage_is_given_the_recorded_picture_only_if_it_shows_it(working):
    frame = working(300, 200)
    with pytest.raises(InternalError):
        catalogue.build("side-by-side", {}).process([frame], 0)
    with pytest.raises(InternalError):
        catalogue.build("levels", {}).process([frame], 0, frame)
