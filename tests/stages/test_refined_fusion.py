"""The stage that refines a fusion: what it needs, what it hands out, and that it does not depend on workers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.errors import BadInput, ForensicError, UsageError
from forensic.frames.frame import Coding, WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.fusion.fuse import split_halves
from forensic.fusion.options import FusionOptions
from forensic.resources import models_dir
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import load_recipe

MODEL = {"model": "multi-x4"}
QUICK = {**MODEL, "frames": 1}


def with_coding(frame: WorkingFrame, quantiser: float | None) -> WorkingFrame:
    coding = Coding("P", "h264", quantiser) if quantiser is not None else Coding("P", why_not="not exported")
    return WorkingFrame(frame.planes, frame.geometry, frame.colour, frame.timing, frame.stage_class, coding)


def test_it_is_a_learned_stage_of_fidelity_class_with_the_models_scale() -> None:
    stage = catalogue.build("refined-fusion", MODEL)
    assert stage.learned and stage.effective_class is StageClass.FIDELITY
    assert stage.radius == 4 and stage.scale == 4.0 and stage.with_scale(4) is stage
    with pytest.raises(UsageError) as caught:
        stage.with_scale(3)
    assert caught.value.code == "recipe.scale" and "1, 2, 4" in caught.value.remedy


def test_the_recipe_fuses_in_one_stage_and_policy_sees_its_model() -> None:
    bound = load_recipe("multi").bind(scale=4)
    stage, colour = bound.stages
    assert colour.keeps_luma
    assert stage.record()["model"]["id"] == "multi-x4" and stage.combines and stage.reads_coding
    assert bound.pipeline.effective_class is StageClass.FIDELITY


@pytest.mark.parametrize("scale", [1, 2])
def test_another_scale_takes_the_models_sibling_and_keeps_all_else(scale: int) -> None:
    stage = catalogue.build("refined-fusion", {**QUICK, "blur_error": 0.1, "psf_sigma": 0.5}).with_scale(scale)
    assert stage.scale == scale and stage.record()["model"]["id"] == f"multi-x{scale}"
    assert (stage.parameters.frames, stage.parameters.blur_error, stage.parameters.psf_sigma) == (1, 0.1, 0.5)
    assert (
        stage.with_scale(4).record()
        == catalogue.build("refined-fusion", {**QUICK, "blur_error": 0.1, "psf_sigma": 0.5, "scale": 4}).record()
    )


@pytest.mark.parametrize("scale", [1, 2])
def test_a_sibling_hands_out_the_scene_at_its_scale(scale: int, working: Any) -> None:
    frames = [working(48, 40, "gray", index=index) for index in range(3)]
    stage = catalogue.build("refined-fusion", QUICK).with_scale(scale)
    made, note = stage.process_noted(frames, 1)
    assert made.luma.shape == (scale * 40, scale * 48) and note["fusion"]["scale"] == scale
    mean = made.luma.reshape(40, scale, 48, scale).mean(axis=(1, 3))
    assert np.abs(mean - frames[1].luma).mean() < 6.0
    halves = stage.split_halves(frames, 1).halves
    assert halves is not None and halves[0].shape == made.luma.shape


def test_any_number_of_workers_gives_the_same_bytes(clip: Any) -> None:
    frames = clip(4, 48, 40)
    pipeline = Pipeline([catalogue.build("refined-fusion", QUICK)])
    runs = [[output.frame.sha256 for output in pipeline.run(iter(frames), workers=workers)] for workers in (1, 3)]
    assert runs[0] == runs[1] and len(set(runs[0])) == 4


def test_the_note_says_what_became_of_every_frame_and_the_size_is_the_models(working: Any) -> None:
    frames = [working(48, 40, "gray", index=index) for index in range(10, 13)]
    made, note = catalogue.build("refined-fusion", QUICK).process_noted(frames, 1)
    assert made.luma.shape == (160, 192)
    assert [row["frame"] for row in note["fusion"]["frames"]] == [10, 11, 12]


def test_the_quantiser_is_told_to_the_model(working: Any) -> None:
    frames = [working(48, 40, "gray", index=index) for index in range(3)]
    stage = catalogue.build("refined-fusion", QUICK)
    made = {
        quantiser: stage.process([with_coding(frame, quantiser) for frame in frames], 1).luma.tobytes()
        for quantiser in (None, 20.0, 40.0)
    }
    assert len(set(made.values())) == 3
    assert stage.process(frames, 1).luma.tobytes() == made[None]


def test_the_note_tells_what_the_model_and_what_fusion_went_by(working: Any) -> None:
    frames = [with_coding(working(48, 40, "gray", index=index), 37.0) for index in range(3)]
    note = catalogue.build("refined-fusion", QUICK).process_noted(frames, 1)[1]
    assert note["refinement"] == {"quantiser_told": 37.0}
    assert note["fusion"]["quantiser_source"] == "bitstream, 3 of 3 frames"
    assert note["fusion"]["frames"][1]["stated"] == {"quantiser": 37.0, "scale": "h264"}
    frames[1] = with_coding(frames[1], None)
    note = catalogue.build("refined-fusion", QUICK).process_noted(frames, 1)[1]
    assert note["refinement"] == {"quantiser_told": None}  # not the neighbours' mean


def test_a_single_frame_is_enough(working: Any) -> None:
    frame = working(48, 40, "gray")
    made = catalogue.build("refined-fusion", MODEL).process([frame], 0)
    mean = made.luma.reshape(40, 4, 48, 4).mean(axis=(1, 3))
    assert np.abs(mean - frame.luma).mean() < 6.0


def test_halves_are_those_of_the_fusion_that_was_refined(working: Any) -> None:
    frames = [working(48, 40, "gray", index=index) for index in range(3)]
    found = catalogue.build("refined-fusion", QUICK).split_halves(frames, 1)
    assert found.halves is not None and found.halves[0].shape == (160, 192)
    told = [with_coding(frame, 37.0) for frame in frames]
    again = catalogue.build("refined-fusion", QUICK).split_halves(told, 1)
    options = FusionOptions(scale=4, quantisers=(37.0,) * 3, even_priors=True, halves=True)
    plain = split_halves([frame.luma for frame in told], 1, options)
    assert again.halves is not None and plain.halves is not None
    assert np.array_equal(again.halves[0], plain.halves[0]) and not np.array_equal(again.halves[0], found.halves[0])


def test_the_blur_is_told_to_fusion_and_to_the_model(working: Any) -> None:
    frames = [working(48, 40, "gray", index=index) for index in range(3)]
    made = {}
    for blur in (0.35, 0.6):
        result, note = catalogue.build("refined-fusion", {**QUICK, "psf_sigma": blur}).process_noted(frames, 1)
        assert note["fusion"]["psf_sigma_px"] == blur
        made[blur] = result.luma.tobytes()
    sure = catalogue.build("refined-fusion", {**QUICK, "blur_error": 0.05}).process(frames, 1)
    assert len({*made.values(), sure.luma.tobytes()}) == 3


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"model": "light-x4"}, "model.not-a-refiner"),
        ({"model": "no-such-model"}, "model.card-missing"),
        ({**MODEL, "scale": 2}, "stage.parameters"),
        ({**MODEL, "registration": "flow"}, "stage.parameters"),
        ({**MODEL, "psf_sigma": 0.1}, "stage.parameters"),
        ({**MODEL, "psf_sigma": 1.2}, "stage.parameters"),
        ({**MODEL, "blur_error": 0.01}, "stage.parameters"),
        ({**MODEL, "self_similarity": False}, "stage.parameters"),
        ({**MODEL, "estimate_psf": True}, "stage.parameters"),
        ({**MODEL, "strength": 2.0}, "stage.parameters"),
    ],
)
def test_what_the_model_was_not_trained_for_is_refused(values: dict[str, Any], code: str) -> None:
    with pytest.raises(ForensicError) as caught:
        catalogue.build("refined-fusion", values)
    assert caught.value.code == code


def test_a_refiner_is_not_run_on_single_frames() -> None:
    with pytest.raises(BadInput) as caught:
        catalogue.build("learned-upscale", {"model": "multi-x4", "overlap": 64})
    assert caught.value.code == "model.not-for-single-frames"


def test_swapped_weights_are_refused(tmp_path: Path, working: Any) -> None:
    shutil.copytree(models_dir() / "multi-x4", tmp_path / "multi-x4")
    path = tmp_path / "multi-x4" / "weights.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    stage = catalogue.build("refined-fusion", QUICK, models_dir=tmp_path)
    with pytest.raises(ForensicError) as caught:
        stage.process([working(48, 40, "gray")], 0)
    assert caught.value.code == "model.digest-mismatch"
