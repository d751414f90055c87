"""Grain put in and taken out: by given numbers, the same for any number of workers, and generative."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput
from forensic.frames.stageclass import StageClass
from forensic.grain.synthesis import frame_seed, noise
from forensic.stages import catalogue
from forensic.stages.grain import stage_values
from forensic.stages.pipeline import Pipeline
from tests.grain.planting import FINE

MODEL = stage_values(FINE)


def test_both_are_generative_and_their_result_is():
    for name in ("grain", "grain-remove"):
        stage = catalogue.build(name, MODEL)
        assert stage.effective_class is StageClass.GENERATIVE and not stage.in_reference_chain


def test_the_grain_is_that_of_the_model_and_of_the_frames_own_seed(working):
    frame = working(130, 98, index=12, planes=tuple(np.full(s, 120.0) for s in ((98, 130), (49, 65), (49, 65))))
    made, note = catalogue.build("grain", {**MODEL, "seed": 3}).process_noted([frame], 0)
    assert note == {"grain": {"seed": frame_seed(3, 12), "bits": 8}}
    codes = tuple(plane.astype(np.int32) for plane in frame.planes)
    for plane, before, added in zip(
        made.planes, frame.planes, noise(codes, FINE, frame_seed(3, 12), 8, (1, 1)), strict=True
    ):
        np.testing.assert_array_equal(plane, before + added)
    assert made.stage_class is StageClass.GENERATIVE


def test_other_frames_and_other_seeds_have_other_grain(working):
    stage, other = catalogue.build("grain", MODEL), catalogue.build("grain", {**MODEL, "seed": 1})
    planes = tuple(np.full(s, 120.0) for s in ((64, 96), (32, 48), (32, 48)))
    first, second = (working(planes=planes, index=index) for index in (0, 1))
    results = [stage.process([first], 0), stage.process([second], 0), other.process([first], 0)]
    assert not np.array_equal(results[0].planes[0], results[1].planes[0])
    assert not np.array_equal(results[0].planes[0], results[2].planes[0])
    np.testing.assert_array_equal(results[0].planes[0], stage.process([first], 0).planes[0])


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "gray", "rgb24", "yuv444p12le"])
def test_every_layout(working, layout):
    frame = working(97, 65, layout)
    chain = Pipeline([catalogue.build("grain-remove", {**MODEL, "radius": 0}), catalogue.build("grain", MODEL)])
    made = chain.process_window([frame], 0)
    assert made.geometry == frame.geometry
    assert all(not np.array_equal(a, b) for a, b in zip(made.planes, frame.planes, strict=True))
    assert np.abs(made.luma - frame.luma).mean() < 8.0


def test_finer_samples_get_grain_of_the_same_strength(working):
    flat = {"yuv420p": [], "yuv420p10le": []}
    for layout, planes in flat.items():
        frame = working(256, 256, layout, planes=tuple(np.full(s, 128.0) for s in ((256, 256), (128, 128), (128, 128))))
        planes.append(catalogue.build("grain", MODEL).process([frame], 0).planes[0].std())
    assert flat["yuv420p"][0] == pytest.approx(flat["yuv420p10le"][0], rel=0.1)


def test_workers_change_no_byte(clip):
    frames = clip(7, 96, 64)
    chain = Pipeline([catalogue.build("grain-remove", MODEL), catalogue.build("grain", MODEL)])
    digests = [[one.frame.sha256 for one in chain.run(frames, workers=workers)] for workers in (1, 3)]
    assert digests[0] == digests[1] and len(set(digests[0])) == 7
    kept = [one.frame.sha256 for one in chain.run(frames, workers=2, keep=(3, 5))]
    assert kept == digests[0][3:5], "and neither does the range that is asked for"


def test_what_was_put_in_is_taken_out_again(working):
    planes = tuple(np.full(s, 120.0) for s in ((128, 160), (64, 80), (64, 80)))
    frames = [working(160, 128, index=index, planes=planes) for index in range(3)]
    grainy = [catalogue.build("grain", MODEL).process([one], 0) for one in frames]
    clean = catalogue.build("grain-remove", MODEL).process(grainy, 1)
    for before, grain, after in zip(planes, grainy[1].planes, clean.planes, strict=True):
        assert np.std(after - before) < 0.55 * np.std(grain - before)
    untouched = catalogue.build("grain-remove", {**MODEL, "amount": 0.0}).process(grainy, 1)
    np.testing.assert_allclose(untouched.planes[0], grainy[1].planes[0], atol=1e-3)


def test_without_a_model_nothing_is_made(working):
    frame = working()
    for name in ("grain", "grain-remove"):
        with pytest.raises(BadInput, match=r"grain\.not-measured"):
            catalogue.build(name, {}).output_geometry(frame.geometry)
    empty = catalogue.build("grain", {"luma_points": []}).process([frame], 0)
    np.testing.assert_array_equal(empty.planes[0], frame.planes[0])


@pytest.mark.parametrize(
    "wrong",
    [
        {"luma_points": [[9, 1], [8, 1]]},
        {"luma_points": [[0, 300]]},
        {"luma_coefficients": [1, 2, 3]},
        {"lag": 4},
        {"seed": 65535},
        {"luma_points": [[0, 1]], "chroma_from_luma": True, "cb_points": [[0, 1]]},
        {"mixing": [0, 0, 512, 0, 0, 0]},
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(wrong):
    with pytest.raises(BadInput) as refusal:
        catalogue.build("grain", wrong)
    assert refusal.value.code == "stage.parameters"
