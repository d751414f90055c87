"""Learned enlargement: the card's class, tiles without seams, luma by the net and colour in its place."""

from __future__ import annotations

import numpy as np
import pytest

from forensic.errors import BadInput, PolicyRefused, UsageError
from forensic.frames.colour import ColourSpec
from forensic.frames.stageclass import StageClass
from forensic.fusion.forward import ForwardModel
from forensic.registry.cards import load_card
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from tests.registry.conftest import ModelMaker


@pytest.fixture
def models(tmp_path) -> ModelMaker:
    return ModelMaker(tmp_path / "models")


def stage(models: ModelMaker, **values):
    return catalogue.build("learned-upscale", {"model": "tiny-x2", **values}, models_dir=models.root)


def test_it_carries_the_card_and_its_class(models):
    models.make()
    built = stage(models)
    assert built.learned and built.scale == 2.0 and built.effective_class is StageClass.FIDELITY
    record = built.record()
    assert record["model"]["weights_sha256"] == load_card("tiny-x2", models.root).weights.sha256
    assert record["parameters"]["tile"]["default"] is True
    assert not built.in_reference_chain


def test_a_generative_card_makes_the_stage_and_its_frames_generative(models, working):
    models.make(class_line='class = "generative"')
    built = stage(models)
    assert built.effective_class is StageClass.GENERATIVE and built.record()["class"] == "generative"
    assert built.process([working(40, 24)], 0).stage_class is StageClass.GENERATIVE


def test_a_modest_card_does_not_lower_the_class(models):
    models.make(class_line='class = "presentation"')
    assert stage(models).effective_class is StageClass.FIDELITY


@pytest.mark.parametrize(("tile", "overlap"), [(32, 16), (48, 24), (2048, 32)])
def test_tiles_leave_no_seam(tile, overlap, models, working):
    models.make()
    frame = working(150, 110)
    whole = stage(models, tile=2048, overlap=64).process([frame], 0)
    tiled = stage(models, tile=tile, overlap=overlap).process([frame], 0)
    assert np.abs(whole.planes[0] - tiled.planes[0]).max() < 1e-2
    assert all(np.array_equal(a, b) for a, b in zip(whole.planes[1:], tiled.planes[1:], strict=True))


def test_workers_do_not_show_in_the_bytes(models, clip):
    models.make()
    pipeline, frames = Pipeline([stage(models, tile=32)]), clip(6)
    one = [output.frame.sha256 for output in pipeline.run(iter(frames), workers=1)]
    assert one == [output.frame.sha256 for output in pipeline.run(iter(frames), workers=4)]


@pytest.mark.parametrize("location", ["left", "center"])
def test_colour_is_interpolated_as_the_plain_resize_does(location, models, working):
    models.make()
    frame = working(64, 48, colour=ColourSpec(chroma_location=location))
    learned = stage(models).process([frame], 0)
    plain = catalogue.build("resize", {"scale": 2.0}).process([frame], 0)
    assert all(np.array_equal(a, b) for a, b in zip(learned.planes[1:], plain.planes[1:], strict=True))
    assert learned.geometry == plain.geometry


@pytest.mark.parametrize("layout", ["gray", "rgb24", "yuv444p", "yuv422p10le"])
def test_every_layout_is_enlarged(layout, models, working):
    models.make()
    made = stage(models).process([working(40, 24, layout)], 0)
    assert (made.geometry.width, made.geometry.height) == (80, 48)


def test_a_scale_the_model_cannot_do_is_refused(models):
    models.make()
    built = stage(models)
    assert built.with_scale(2) is built
    with pytest.raises(UsageError) as refusal:
        built.with_scale(4)
    assert refusal.value.code == "recipe.scale" and "4 times" in refusal.value.message


def test_an_overlap_below_the_receptive_field_is_refused_before_a_pixel_is_touched(models):
    models.make(depth=8)
    with pytest.raises(BadInput) as refusal:
        stage(models, overlap=1)
    assert refusal.value.code == "stage.parameters" and "overlap" in refusal.value.message


def test_weights_swapped_after_the_recipe_was_bound_are_refused(models, working):
    folder = models.make()
    built = stage(models)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x00")
    with pytest.raises(PolicyRefused) as refusal:
        built.process([working()], 0)
    assert refusal.value.code == "model.digest-mismatch"


@pytest.mark.parametrize("model", ["no-such-model", "../tiny-x2", "Tiny", ""])
def test_an_unknown_model_is_refused(model, models):
    models.make()
    with pytest.raises((PolicyRefused, BadInput)):
        catalogue.build("learned-upscale", {"model": model}, models_dir=models.root)


def test_consistency_draws_the_result_towards_the_recording_and_says_how_far(models, working):
    models.make()
    frame = working(64, 48)
    plain = stage(models).process_noted([frame], 0)
    forward = ForwardModel(2, 0.5)
    misses = []
    for strength in (0.25, 1.0):
        made, note = stage(models, consistency=strength, deadband=0.0).process_noted([frame], 0)
        facts = note["consistency"]
        away = np.sqrt(np.mean((frame.planes[0] - forward.apply(made.planes[0])) ** 2))
        assert facts["rms_after"] == pytest.approx(float(away), abs=1e-3) and facts["rms_after"] < facts["rms_before"]
        misses.append(facts["rms_after"])
        assert all(np.array_equal(a, b) for a, b in zip(made.planes[1:], plain[0].planes[1:], strict=True)), "colour"
    assert misses[1] < 0.1 * misses[0]


def test_without_consistency_no_bit_changes_and_nothing_is_noted(models, working):
    models.make()
    frame = working(64, 48)
    plain, note = stage(models).process_noted([frame], 0)
    other, _ = stage(models, consistency=0.0, deadband=5.0, psf_sigma=1.0).process_noted([frame], 0)
    assert not note and all(a.tobytes() == b.tobytes() for a, b in zip(plain.planes, other.planes, strict=True))


def test_what_noise_explains_is_not_held_against_the_result(models, working):
    models.make()
    frame = working(64, 48)
    plain = stage(models).process([frame], 0)
    wide, _ = stage(models, consistency=1.0, deadband=64.0).process_noted([frame], 0)
    narrow, _ = stage(models, consistency=1.0, deadband=1.0).process_noted([frame], 0)
    moved = [float(np.abs(one.planes[0] - plain.planes[0]).mean()) for one in (wide, narrow)]
    assert moved[0] < 0.2 * moved[1] and moved[1] > 0.0
