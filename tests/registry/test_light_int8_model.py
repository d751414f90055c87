"""The shipped light-x4-int8 is light-x4 within what its card says, and its recipe makes it again."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from forensic.frames.stageclass import StageClass
from forensic.registry.architectures.nafnet.network import NafNet
from forensic.registry.cards import load_card
from forensic.registry.engines import onnx_file
from forensic.registry.loading import LoadedModel, load_model
from forensic.resources import models_dir
from forensic.simulation.draw import draw
from forensic.simulation.simulator import Recording, simulate
from forensic.stages.recipe import load_recipe
from forensic.validation.fidelity import inside, psnr
from tests.registry.test_shipped_models import scene

MODEL, ORIGIN = "light-x4-int8", "light-x4"
ALLOWED_LOSS = 0.1  # dB
RECIPE = models_dir() / MODEL


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model(load_card(MODEL))


@pytest.fixture(scope="module")
def origin() -> LoadedModel:
    return load_model(load_card(ORIGIN))


@cache
def recording(crf: int | None) -> Recording:
    how = draw(np.random.default_rng(1), "issue-table", crf=crf)
    clean = cv2.resize(scene(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    return simulate(np.clip(clean, 0, 255), how, 5, 7, margin=16)


@pytest.mark.parametrize("crf", [None, 20, 28, 35])
def test_it_loses_less_than_a_tenth_of_a_decibel(model: LoadedModel, origin: LoadedModel, crf: int | None) -> None:
    seen = recording(crf)
    low, truth = seen.frames[2], seen.truth[2]
    made = {name: each.upscale_luma(low) for name, each in (("int8", model), ("float", origin))}
    scores = {name: psnr(inside(plane, 16), inside(truth, 16)) for name, plane in made.items()}
    assert scores["float"] - scores["int8"] < ALLOWED_LOSS
    difference = made["int8"] - made["float"]
    assert 0.1 < float(np.sqrt(np.mean(difference**2))) < 1.0  # grey levels: other arithmetic, the same picture


def test_a_flat_area_keeps_its_level_and_gains_no_texture(model: LoadedModel) -> None:
    for level in (0, 16, 77.3, 128, 235, 255):
        assert np.abs(model.upscale_luma(np.full((40, 50), level, np.float32)) - np.float32(level)).max() < 1e-4


def test_an_offset_passes_through_up_to_codes_that_fall_the_other_way(model: LoadedModel) -> None:
    low = recording(28).frames[2]
    for offset in (16.0, -20.5, 50.0):
        change = model.upscale_luma(low + np.float32(offset)) - np.float32(offset) - model.upscale_luma(low)
        assert float(np.sqrt(np.mean(change**2))) < 0.4 and np.abs(change).max() < 4.0  # grey levels


def test_tiles_equal_the_whole_to_the_byte_whatever_the_workers(model: LoadedModel) -> None:
    low = recording(28).frames[2]
    whole = model.upscale_luma(low)
    for tile in (32, 45):
        assert model.upscale_luma_tiled(low, tile, model.radius).tobytes() == whole.tobytes()
        with ThreadPoolExecutor(3) as pool:
            assert model.upscale_luma_tiled(low, tile, model.radius, pool).tobytes() == whole.tobytes()
    assert load_model(load_card(MODEL)).upscale_luma(low).tobytes() == whole.tobytes()


def test_a_pixel_sees_no_farther_than_the_card_says(model: LoadedModel) -> None:
    low = recording(28).frames[2]
    changed = low.copy()
    changed[30:32, 40:42] = 255 - changed[30:32, 40:42]
    rows, columns = np.nonzero(model.upscale_luma(changed) != model.upscale_luma(low))
    reach = model.card.receptive_field
    assert isinstance(reach, int)
    assert rows.min() // 4 >= 30 - reach and rows.max() // 4 <= 31 + reach
    assert columns.min() // 4 >= 40 - reach and columns.max() // 4 <= 41 + reach


def test_every_weight_of_the_trunk_is_an_integer_that_no_kernel_saturates(model: LoadedModel) -> None:
    found = onnx_file.read((RECIPE / model.card.weights.file).read_bytes())
    weights = [array for array in found.constants.values() if array.dtype == np.int8 and array.ndim > 1]
    assert len(weights) == 13  # two of each block, and the last layer
    assert max(int(np.abs(array).max()) for array in weights) == onnx_file.LARGEST_INT8
    # The largest sum of two products that a kernel without VNNI holds in 16 bits.
    assert np.iinfo(np.int16).max >= 2 * 255 * onnx_file.LARGEST_INT8


def test_the_card_names_the_weights_that_it_was_made_from(model: LoadedModel, origin: LoadedModel) -> None:
    made_from = model.card.quantised_from
    assert made_from is not None and model.card.precision == "int8" and model.card.engine == "onnxruntime"
    assert (made_from.id, made_from.weights_sha256) == (ORIGIN, origin.card.weights.sha256)
    facts = json.loads((RECIPE / "quantisation.json").read_text(encoding="utf-8"))
    assert facts["sha256"] == model.card.weights.sha256 and facts["origin"] == made_from.model_dump()
    assert model.card.stage_class is StageClass.FIDELITY and model.card.calibration == "calibrated"


def test_the_recipe_names_the_model_and_the_record_its_precision() -> None:
    (stage,) = load_recipe("light-int8").bind(scale=4).stages
    facts = stage.record()["model"]
    assert (stage.scale, facts["id"], facts["precision"]) == (4.0, MODEL, "int8")


def measured() -> list[dict[str, str]]:
    with (RECIPE / "measured.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_the_card_repeats_the_measurement_file_to_the_digit(model: LoadedModel) -> None:
    expected = []
    for row in measured():
        conditions = f"BSDS500 test; {row['setting']}"
        expected.append(("PSNR-Y", row["method"], float(row["psnr_y_db"]), int(row["n"]), conditions))
        expected.append(("SSIM-Y", row["method"], float(row["ssim_y"]), int(row["n"]), conditions))
    assert [(m.metric, m.method, m.value, m.n, m.conditions) for m in model.card.measured] == expected


def test_the_readme_table_repeats_the_measurement_file_and_no_mean_loss_exceeds_the_target(model: LoadedModel) -> None:
    text = (RECIPE / "README.md").read_text(encoding="utf-8")
    assert model.card.weights.sha256 in text
    rows = [row for row in measured() if row["method"] == MODEL]
    assert len(rows) == 10
    for row in rows:
        (line,) = [line for line in text.splitlines() if line.startswith(f"| {row['setting']} | {row['n']} |")]
        assert f"| {row['gain_db']} ± {row['gain_95_half_width']} |" in line
        assert f"| {row['loss_db']} ± {row['loss_95_half_width']} | {row['worst_loss_db']} |" in line
        assert float(row["loss_db"]) + float(row["loss_95_half_width"]) < ALLOWED_LOSS


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, ModuleType]]:
    names = ("graph", "quantise", "recordings")
    for name in names:  # another model's recipe may have a module of this name
        sys.modules.pop(name, None)
    monkeypatch.setattr(sys, "path", [str(RECIPE), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    import graph
    import quantise

    yield {"graph": graph, "quantise": quantise}
    for name in names:
        sys.modules.pop(name, None)


def small() -> NafNet:
    torch.manual_seed(3)
    network = NafNet(4, width=8, blocks=2, fold=2, fused=1)
    torch.nn.init.normal_(network.tail.bias, std=0.1)
    for block in network.blocks:
        torch.nn.init.normal_(block.norm.weight, 1.0, 0.2)
        torch.nn.init.normal_(block.norm.bias, std=0.2)
    return network.eval().requires_grad_(False)


def planes(number: int, side: int = 48) -> list[np.ndarray]:
    rng = np.random.default_rng(number)
    smooth = [cv2.resize(rng.uniform(0, 255, (9, 9)), (side, side), interpolation=cv2.INTER_CUBIC) for _ in range(6)]
    return [plane.clip(0, 255).astype(np.float32)[None, None] for plane in smooth]


def test_the_float_graph_is_the_same_function(recipe: dict[str, ModuleType]) -> None:
    network = small()
    made = recipe["quantise"].without_empty(recipe["graph"].build(network), network)
    tool = recipe["quantise"].session(made)
    for plane in planes(1):
        theirs = network(torch.from_numpy(plane)).numpy()
        assert np.abs(tool.run(None, {"luma": plane})[0] - theirs).max() < 2e-3


def test_quantising_twice_gives_the_same_file_and_it_is_near_the_network(recipe: dict[str, ModuleType]) -> None:
    network = small()
    first, second = (recipe["quantise"].quantise(network, planes(2)) for _ in range(2))
    data = first.SerializeToString(deterministic=True)
    assert data == second.SerializeToString(deterministic=True)
    assert onnx_file.read(data).precision == "int8"
    tool = recipe["quantise"].session(first)
    margin = network.context
    for plane in planes(3):
        theirs = network(torch.from_numpy(plane)).numpy()
        cubic = network.interpolated(torch.from_numpy(plane)).numpy()
        ours = tool.run(None, {"luma": plane})[0]
        assert np.abs(ours - theirs).mean() < 0.1 * np.abs(cubic - theirs).mean()
    assert not tool.run(None, {"luma": np.zeros((1, 1, 2 * margin + 8, 2 * margin + 8), np.float32)})[0].any()


def test_calibration_looks_at_training_photographs_alone(
    recipe: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    recordings = sys.modules["recordings"]
    opened: list[str] = []
    rng = np.random.default_rng(4)

    def luma(folder: object, photograph: recordings.Photograph) -> np.ndarray:  # type: ignore[name-defined]
        opened.append(photograph.split)
        return cv2.resize(rng.uniform(0, 255, (30, 40)), (640, 600), interpolation=cv2.INTER_CUBIC).clip(0, 255)

    monkeypatch.setattr(recordings, "luma", luma)
    monkeypatch.setattr(recordings, "listed", lambda split, listed=recordings.listed: listed(split)[:2])
    patches = list(recipe["quantise"].calibration(models_dir()))
    assert len(patches) == 4 and {patch.shape for patch in patches} == {(1, 1, 96, 96)}
    assert set(opened) == {"train"}
