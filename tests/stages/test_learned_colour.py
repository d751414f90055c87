"""Restoration of colour: luma stays to the bit, other layouts pass with a note, and it stands where it belongs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forensic.errors import BadInput, InternalError
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import WorkingFrame
from forensic.frames.stageclass import StageClass
from forensic.stages import catalogue
from forensic.stages.pipeline import Pipeline
from forensic.stages.recipe import parse_recipe
from tests.registry.colour_models import write_model

RECIPE = b"""
name = "tiny"
title = "Tiny"
why = "For tests."

[[stage]]
name = "resize"
why = "For tests."
parameters = { scale = 2.0 }

[[stage]]
name = "learned-colour"
why = "For tests."
parameters = { model = "tiny-colour-x2" }
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    write_model(root)
    for enlarged in (1, 4):
        write_model(root, f"tiny-colour-x{enlarged}", enlarged, extra='sibling_of = "tiny-colour-x2"')
    return root


def stage(models: Path, enlarged: int = 2) -> Any:
    return catalogue.build("learned-colour", {"model": f"tiny-colour-x{enlarged}"}, models_dir=models)


def resize(factor: float) -> Any:
    return catalogue.build("resize", {"scale": factor})


def test_it_is_a_learned_stage_of_fidelity_class_that_keeps_size_and_luma(models: Path, working: Any) -> None:
    built, frame = stage(models), working(64, 48)
    assert built.learned and built.effective_class is StageClass.FIDELITY and not built.in_reference_chain
    assert built.scale == 1.0 and not built.resamples and built.radius == 0
    made, note = built.process_noted([frame], 0)
    assert made.geometry == frame.geometry and made.stage_class is StageClass.FIDELITY
    assert made.planes[0].tobytes() == frame.planes[0].tobytes()
    change = [made.planes[number].astype(np.float64) - frame.planes[number] for number in (1, 2)]
    told = note["colour"]
    assert told["restored"] is True and set(told["change"]) == {"cb", "cr"}
    for name, difference in zip(("cb", "cr"), change, strict=True):
        assert told["change"][name]["mean"] == pytest.approx(difference.mean(), abs=1e-3)
        size = float(np.sqrt((difference**2).mean()))
        assert size > 0.01 and told["change"][name]["rms"] == pytest.approx(size, abs=1e-3)


def test_a_generative_card_makes_the_frames_generative(tmp_path: Path, working: Any) -> None:
    write_model(tmp_path, class_line='class = "generative"')
    assert stage(tmp_path).process([working(32, 32)], 0).stage_class is StageClass.GENERATIVE


@pytest.mark.parametrize("layout", ["yuv422p", "yuv444p", "yuv411p", "yuv440p", "rgb24", "gray"])
def test_what_it_was_not_trained_for_passes_unchanged_and_the_record_says_so(
    models: Path, working: Any, layout: str
) -> None:
    frame = working(64, 48, layout)
    made, note = stage(models).process_noted([frame], 0)
    assert all(a.tobytes() == b.tobytes() for a, b in zip(made.planes, frame.planes, strict=True))
    assert note["colour"]["restored"] is False
    assert ("no colour" if layout == "gray" else f"4:2:0, the picture is {layout}") in note["colour"]["why"]


@pytest.mark.parametrize("layout", ["yuv420p", "yuv420p10le"])
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (5, 3)])
def test_odd_sizes_and_deep_samples_are_restored_too(
    models: Path, working: Any, layout: str, size: tuple[int, int]
) -> None:
    frame = working(*size, layout, colour=ColourSpec(chroma_location="center"))
    made, note = stage(models).process_noted([frame], 0)
    assert note["colour"]["restored"] is True
    assert [plane.shape for plane in made.planes] == [plane.shape for plane in frame.planes]


def test_workers_do_not_show_in_the_bytes(models: Path, clip: Any) -> None:
    pipeline, frames = Pipeline([resize(2.0), stage(models)]), clip(6)
    one = [output.frame.sha256 for output in pipeline.run(iter(frames), workers=1)]
    assert one == [output.frame.sha256 for output in pipeline.run(iter(frames), workers=4)]
    plain = [output.frame.sha256 for output in Pipeline([resize(2.0)]).run(iter(frames), workers=1)]
    assert not set(one) & set(plain)


@pytest.mark.parametrize("model", ["light-x4", "multi-x4", "basicvsr-x4"])
def test_models_for_other_things_are_refused_with_their_stage(model: str) -> None:
    with pytest.raises(BadInput) as refusal:
        catalogue.build("learned-colour", {"model": model})
    stages = {"light-x4": "learned-upscale", "multi-x4": "refined-fusion", "basicvsr-x4": "learned-sequence"}
    assert refusal.value.code == "model.not-for-colour" and stages[model] in refusal.value.remedy


@pytest.mark.parametrize("name", ["learned-upscale", "learned-sequence", "refined-fusion", "generative-upscale"])
def test_other_stages_refuse_its_models(models: Path, name: str) -> None:
    values = {"frames": 1} if name == "refined-fusion" else {"overlap": 64}
    with pytest.raises(BadInput) as refusal:
        catalogue.build(name, {"model": "tiny-colour-x2", **values}, models_dir=models)
    assert refusal.value.code.startswith("model.not-")
    assert "learned-colour" in refusal.value.remedy or name == "generative-upscale"


Build = Callable[[Path], list[Any]]


@pytest.mark.parametrize(
    ("build", "about"),
    [
        (lambda models: [stage(models)], "enlarged 1 times"),
        (lambda models: [resize(3.0), stage(models)], "enlarged 3 times"),
        (lambda models: [stage(models), resize(2.0)], "enlarged 1 times"),
        (lambda models: [resize(2.0), resize(2.0), stage(models)], "enlarged 4 times"),
        (
            lambda models: [
                resize(2.0),
                catalogue.build("crop", {"x": 2, "y": 2, "width": 16, "height": 16}),
                stage(models),
            ],
            "",
        ),
        (lambda models: [resize(2.0), catalogue.build("rotate-flip", {"rotate": 90}), stage(models)], "rotate-flip"),
    ],
)
def test_a_place_where_it_does_not_belong_is_refused_before_a_pixel_is_touched(
    models: Path, build: Build, about: str
) -> None:
    with pytest.raises(BadInput) as refusal:
        Pipeline(build(models))
    assert refusal.value.code == "recipe.order" and about in refusal.value.message


@pytest.mark.parametrize("enlarged", [1, 2, 4])
def test_places_where_it_belongs(models: Path, enlarged: int, working: Any) -> None:
    before = [] if enlarged == 1 else [resize(float(enlarged))]
    crop = catalogue.build("crop", {"x": 2, "y": 2, "width": 16, "height": 16})
    levels = catalogue.build("unsharp", {})
    for chain in ([*before, stage(models, enlarged)], [crop, *before, levels, stage(models, enlarged)]):
        made = Pipeline(chain).process_window([working(32, 32)], 0)
        assert made.stage_class is StageClass.FIDELITY


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_it_follows_the_scale_that_is_asked_for(models: Path, scale: int) -> None:
    bound = parse_recipe(RECIPE, "tiny.toml").bind(scale=scale, models_dir=models)
    assert bound.stages[1].record()["model"]["id"] == f"tiny-colour-x{scale}"
    changed = {(each.stage, each.parameter): (each.was, each.value) for each in bound.overrides}
    if scale != 2:
        assert changed["learned-colour", "model"] == ("tiny-colour-x2", f"tiny-colour-x{scale}")
    assert all(each.by == "--scale" for each in bound.overrides)


def test_at_a_scale_without_a_model_it_is_left_out_and_that_is_on_the_record(models: Path) -> None:
    bound = parse_recipe(RECIPE, "tiny.toml").bind(scale=3, models_dir=models)
    assert [each.name for each in bound.stages] == ["resize"] and len(bound.whys) == 1
    told = [each for each in bound.record()["overrides"] if each["stage"] == "learned-colour"]
    assert told == [
        {"stage": "learned-colour", "parameter": "stage", "value": None, "was": "in the recipe", "by": "--scale"}
    ]


def test_a_stage_that_says_it_keeps_luma_and_does_not_is_stopped(models: Path, working: Any) -> None:
    built, frame = stage(models), working(32, 32)

    def sly(window: list[WorkingFrame], at: int) -> tuple[np.ndarray, ...]:
        return (window[at].planes[0] + 1, *window[at].planes[1:])

    built._apply = sly
    with pytest.raises(InternalError, match=r"stage\.luma"):
        built.process([frame], 0)
