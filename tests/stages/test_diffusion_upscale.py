"""Enlargement by diffusion: always generative, by the seed on the record, the same for any tiles and workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from forensic.errors import BadInput, PolicyRefused, UsageError
from forensic.frames.stageclass import StageClass
from forensic.stages import catalogue
from tests.registry.samplers import ID, make


def stage(root: Path, **values):
    return catalogue.build("diffusion-upscale", {"model": ID, "steps": 2, **values}, models_dir=root)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models"))


def test_it_is_generative_and_so_is_every_frame_after_it(models, working):
    built = stage(models)
    assert built.learned and built.scale == 4.0 and built.effective_class is StageClass.GENERATIVE
    assert not built.in_reference_chain
    made = built.process([working(40, 24)], 0)
    assert made.stage_class is StageClass.GENERATIVE and (made.geometry.width, made.geometry.height) == (160, 96)
    later = catalogue.build("crop", {"x": 8, "y": 8, "width": 64, "height": 64}).process([made], 0)
    assert later.stage_class is StageClass.GENERATIVE


def test_the_seed_is_on_the_record_given_or_not(models, working):
    assert stage(models).record()["parameters"]["seed"] == {"value": 0, "unit": "number", "default": True}
    assert stage(models, seed=7).record()["parameters"]["seed"] == {"value": 7, "unit": "number", "default": False}
    _, note = stage(models, seed=7).process_noted([working(40, 24, index=31)], 0)
    assert note == {"drawn": {"steps": 2, "seed": 7, "frame": 31}}


def test_another_seed_is_another_picture_and_the_same_seed_the_same(models, working):
    built, frame = stage(models), working(40, 24)
    first, again, other = (one.process([frame], 0).planes for one in (built, stage(models), built.varied(seed=1)))
    assert [plane.tobytes() for plane in first] == [plane.tobytes() for plane in again]
    assert np.abs(first[0] - other[0]).mean() > 0.1


def test_tiles_and_threads_change_nothing(models, working):
    built, whole = (stage(models, tile=tile) for tile in (32, 2048))
    frame = working(71, 53)
    once = built.process([frame], 0)
    assert all(np.abs(a - b).max() < 1e-2 for a, b in zip(once.planes, whole.process([frame], 0).planes, strict=True))
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: built.process([frame], 0), range(3)):
            assert [a.tobytes() for a in made.planes] == [b.tobytes() for b in once.planes]


@pytest.mark.parametrize(
    "values",
    [{"steps": 0}, {"steps": 16}, {"steps": 2.5}, {"seed": -1}, {"seed": 2**32}, {"seed": "x"}, {"tile": 16},
     {"overlap": 4}, {"factor": 5}, {"factor": 0}, {"temperature": 1}],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(models, values):
    with pytest.raises(BadInput) as caught:
        stage(models, **values)
    assert caught.value.code == "stage.parameters"


def test_models_are_not_mixed_up(models, tmp_path):
    for name, code in (("light-x4", "model.not-a-sampler"), ("real-esrgan-x4", "model.not-a-sampler")):
        with pytest.raises(BadInput) as caught:
            catalogue.build("diffusion-upscale", {"model": name})
        assert caught.value.code == code and "diffusion-upscale" not in caught.value.remedy
    for name, code in (("generative-upscale", r"model\.not-generative"), ("learned-upscale", r"model\.not-for-luma")):
        with pytest.raises(BadInput, match=code) as caught:
            catalogue.build(name, {"model": ID}, models_dir=models)
        assert "diffusion-upscale" in caught.value.remedy
    with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):  # it cannot call itself harmless
        stage(make(tmp_path, class_label="fidelity"))


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_a_smaller_size_shows_the_same_picture_reduced(models, working, factor):
    built = stage(models).with_scale(factor)
    made = built.process([working(40, 24, "gray")], 0)
    assert (made.geometry.width, made.geometry.height) == (40 * factor, 24 * factor)
    with pytest.raises(UsageError, match=r"recipe\.scale"):
        built.with_scale(8)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv422p10le", "gray16le", "rgb24"])
def test_every_layout_goes_through(models, working, layout):
    made = stage(models, steps=1).process([working(22, 18, layout)], 0)
    assert made.geometry.layout.name == layout and all(np.isfinite(plane).all() for plane in made.planes)
