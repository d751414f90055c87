"""Creative networks in shorter numbers or on another device: asked for, checked, on the record; nowhere else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, UsageError
from forensic.frames.stageclass import StageClass
from forensic.registry.cards import load_card
from forensic.registry.engines.computing import Computing
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import load_model
from forensic.stages import catalogue
from tests.registry.samplers import ID, make
from tests.stages.test_generative_upscale import make as make_upscaler
from tests.stages.test_generative_upscale import stage as upscaler


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("models"))


def sampler(root: Path, **values):
    return catalogue.build("diffusion-upscale", {"model": ID, "steps": 2, **values}, models_dir=root)


@pytest.mark.parametrize("kind", ["sampler", "upscaler"])
def test_shorter_numbers_change_the_picture_a_little_and_the_record_says_by_how_much(kind, models, tmp_path, working):
    root = models if kind == "sampler" else make_upscaler(tmp_path)
    build = sampler if kind == "sampler" else upscaler
    frame = working(40, 24)
    usual, shorter = build(root), build(root, precision="bfloat16")
    (one, plain), (other, note) = (each.process_noted([frame], 0) for each in (usual, shorter))
    assert "computed" not in plain
    told = note["computed"]
    assert (told["device"], told["precision"]) == ("cpu", "bfloat16")
    assert 0 < told["mean_difference"] <= told["largest_difference"] < 16
    apart = np.abs(one.planes[0] - other.planes[0])
    assert 0 < apart.mean() < 2
    assert other.stage_class is StageClass.GENERATIVE
    assert shorter.record()["parameters"]["precision"] == {"value": "bfloat16", "unit": "choice", "default": False}


def test_shorter_numbers_repeat_to_the_bit_for_any_threads(models, working):
    built, frame = sampler(models, precision="bfloat16", tile=32), working(71, 53)
    first = built.process([frame], 0)
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: sampler(models, precision="bfloat16", tile=32).process([frame], 0), range(3)):
            assert [a.tobytes() for a in made.planes] == [b.tobytes() for b in first.planes]


def test_a_device_that_computes_something_else_is_refused_before_the_first_frame(models, monkeypatch, working):
    compute = TorchEngine.compute

    def faulty(self, function, *given, exactly=False):
        made = compute(self, function, *given, exactly=exactly)
        return made if self.computing.usual else made + 0.05

    monkeypatch.setattr(TorchEngine, "compute", faulty)
    with pytest.raises(BadInput) as caught:
        sampler(models, precision="bfloat16").process([working(40, 24)], 0)
    assert caught.value.code == "model.computing-differs"
    sampler(models).process([working(40, 24)], 0)


def test_numbers_that_are_none_do_not_pass_for_near(models, monkeypatch, working):
    from forensic.stages import computed

    made = computed.ComputedAsChosen._made
    monkeypatch.setattr(computed.ComputedAsChosen, "_made", lambda self, *given: made(self, *given) * np.nan)
    with pytest.raises(BadInput) as caught:
        sampler(models, precision="bfloat16").process([working(40, 24)], 0)
    assert caught.value.code == "model.computing-differs"


def test_an_overflow_of_shorter_numbers_is_no_defect_of_the_program(models, monkeypatch, working):
    compute = TorchEngine.compute

    def overflowing(self, function, *given, exactly=False):
        made = compute(self, function, *given, exactly=exactly)
        return made if self.computing.usual else made * np.inf

    monkeypatch.setattr(TorchEngine, "compute", overflowing)
    with pytest.raises(BadInput) as caught:
        sampler(models, precision="bfloat16").process([working(40, 24)], 0)
    assert caught.value.code == "model.not-finite" and "float32" in caught.value.remedy


def test_one_wrong_pixel_is_enough(models, monkeypatch, working):
    compute = TorchEngine.compute

    def faulty(self, function, *given, exactly=False):
        made = compute(self, function, *given, exactly=exactly).clone()
        if not self.computing.usual:
            made[..., 3, 3] += 0.5
        return made

    monkeypatch.setattr(TorchEngine, "compute", faulty)
    with pytest.raises(BadInput, match="in one pixel"):
        sampler(models, precision="bfloat16").process([working(40, 24)], 0)


def test_another_seed_is_checked_once_and_other_numbers_again(models, working):
    built = sampler(models, precision="bfloat16")
    built.prepare()
    assert built.varied(seed=3).__dict__["_loaded"] is built.__dict__["_loaded"]
    assert "_difference" in built.varied(seed=3).__dict__ and "_difference" not in built.varied(steps=3).__dict__
    assert "_loaded" not in built.varied(precision="float32").__dict__


@pytest.mark.parametrize(
    ("values", "code"),
    [({"device": "cuda"}, "model.device-missing"), ({"precision": "float16"}, "model.precision")],
)
def test_what_the_machine_cannot_compute_is_refused(values, code, models, monkeypatch, working):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError) as caught:
        sampler(models, **values).require_here()
    assert caught.value.code == code
    with pytest.raises(UsageError):
        sampler(models, **values).process([working(40, 24)], 0)


@pytest.mark.parametrize("values", [{"device": "tpu"}, {"precision": "int8"}, {"precision": 16}, {"device": ""}])
def test_other_devices_and_numbers_are_refused_at_once(values, models):
    with pytest.raises(BadInput) as caught:
        sampler(models, **values)
    assert caught.value.code == "stage.parameters"


def test_the_device_counts_as_part_of_the_platform(models):
    assert sampler(models).engines == ("torch",)
    assert sampler(models, device="cuda").engines == ("torch", "cuda")
    assert catalogue.build("resize", {"scale": 2.0}).engines == ()


def test_no_other_stage_offers_the_choice():
    offering = {
        name
        for name in catalogue.stage_names()
        if "precision" in catalogue.stage_type(name).parameter_model.model_fields
    }
    assert offering == {"generative-upscale", "diffusion-upscale"}


def test_a_model_of_onnx_runtime_is_computed_in_its_own_numbers():
    with pytest.raises(UsageError) as caught:
        load_model(load_card("light-x4-int8"), Computing(precision="bfloat16"))
    assert caught.value.code == "model.precision"
