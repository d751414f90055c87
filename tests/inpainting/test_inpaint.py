"""Generative filling: neighbours first, nothing outside the damage touched, always of generative class."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.errors import BadInput
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import FrameTiming, Geometry, WorkingFrame
from forensic.frames.layout import layout_named
from forensic.frames.stageclass import StageClass
from forensic.registry.architectures.mae.network import MaskedAutoencoder
from forensic.stages import catalogue
from forensic.stages.inpaint import Inpaint
from forensic.stages.recipe import load_recipe
from tests.registry.conftest import CARD

FORWARD = CARD[CARD.index("[forward_model]") : CARD.index("[training]")]


def make(root: Path, *, class_label: str = "generative", works_on: str = "holes", overlap: int = 16) -> Path:
    """A tiny model that fills holes."""
    torch.manual_seed(4)
    network = MaskedAutoencoder(1, window=32, width=32, blocks=1, decoder_width=32, decoder_blocks=1, fine=4)
    data = safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})
    form = CARD.replace(FORWARD, "").replace('"luma"', '"rgb"').replace("receptive_field = {radius}", "{radius}")
    text = form.format(
        id="tiny-holes", class_line=f'class = "{class_label}"', scale=1, extra=f'works_on = "{works_on}"',
        architecture="masked-autoencoder", parameters=sum(one.numel() for one in network.parameters()),
        radius=f'receptive_field = "tile"\noverlap = {overlap}',
        hyperparameters="window = 32, width = 32, blocks = 1, decoder_width = 32, decoder_blocks = 1, fine = 4",
        file="weights.safetensors", digest_line=f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
    )  # fmt: skip
    folder = root / "tiny-holes"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(data)
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return root


def stage(root: Path, **values: Any) -> Inpaint:
    built = catalogue.build("inpaint", {"model": "tiny-holes", "step": 16, **values}, models_dir=root)
    assert isinstance(built, Inpaint)
    return built


def clip(count: int = 5, layout: str = "yuv420p", *, width: int = 160, height: int = 120) -> list[WorkingFrame]:
    """Whole code values of a textured scene that stands still, with a little noise in every frame."""
    geometry = Geometry(width, height, layout_named(layout), None)
    rng = np.random.default_rng(5)
    scenes = []
    for number, shape in enumerate(geometry.plane_shapes):
        y, x = np.mgrid[: shape[0], : shape[1]]
        scenes.append(120 + 50 * np.sin(x / 7 + number) * np.cos(y / 11) + rng.normal(0, 6, shape))
    frames = []
    for index in range(count):
        planes = tuple(
            np.clip(np.rint(plane + rng.normal(0, 1, plane.shape)), 16, 235).astype(np.float32) for plane in scenes
        )
        timing = FrameTiming(index, index, Fraction(1, 25))
        frames.append(WorkingFrame(planes, geometry, ColourSpec(), timing, StageClass.PRESENTATION))
    return frames


AREA = {"rectangle": (40, 30, 24, 18)}


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "yuv422p10le", "gray", "rgb24"])
def test_nothing_outside_the_damage_is_touched_in_any_layout(tmp_path: Path, layout: str) -> None:
    frames = clip(1, layout)
    built = stage(make(tmp_path), areas=[AREA])
    made, note = built.process_noted(frames, 0)
    shift = frames[0].geometry.layout
    for number, (before, after) in enumerate(zip(frames[0].planes, made.planes, strict=True)):
        x, y = (shift.chroma_shift_x, shift.chroma_shift_y) if number and shift.family == "yuv" else (0, 0)
        outside = np.ones(before.shape, bool)
        outside[30 >> y : (48 >> y), 40 >> x : (64 >> x)] = False
        assert np.array_equal(before[outside], after[outside])
        assert not np.array_equal(before[~outside], after[~outside])
    assert note["made_up"]["pixels"] == 24 * 18 and note["made_up"]["windows"] > 0


def test_neighbours_are_asked_first_and_only_the_rest_is_made_up(tmp_path: Path) -> None:
    """Damage in one frame is filled from the others to the last bit as without the model; standing damage is not."""
    frames = clip()
    once = [{**AREA, "first_frame": 2, "last_frame": 2}]
    built = stage(make(tmp_path), areas=once)
    made, note = built.process_noted(frames, 2)
    fidelity, _ = built.uninvented.process_noted(frames, 2)
    assert note["made_up"]["pixels"] == 0 and fidelity.stage_class is StageClass.FIDELITY
    assert all(np.array_equal(a, b) for a, b in zip(made.planes, fidelity.planes, strict=True))
    standing = stage(built.models_dir, areas=[AREA])
    _, note = standing.process_noted(frames, 2)
    assert note["made_up"]["pixels"] == 24 * 18


def test_it_is_generative_even_where_nothing_was_made_up(tmp_path: Path) -> None:
    frames = clip()
    built = stage(make(tmp_path), areas=[{**AREA, "first_frame": 4}])
    assert built.learned and built.effective_class is StageClass.GENERATIVE and built.scale == 1.0
    made = built.process(frames[:3], 0)
    assert made.stage_class is StageClass.GENERATIVE and not built.in_reference_chain
    assert all(np.array_equal(a, b) for a, b in zip(made.planes, frames[0].planes, strict=True))


def test_the_same_bytes_again_and_in_threads(tmp_path: Path) -> None:
    frames = clip()
    built = stage(make(tmp_path), areas=[AREA], detector="both")
    once = [plane.tobytes() for plane in built.process(frames, 2).planes]
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: built.process(frames, 2), range(3)):
            assert [plane.tobytes() for plane in made.planes] == once


def test_what_stands_under_a_mark_has_no_influence(tmp_path: Path) -> None:
    built = stage(make(tmp_path), areas=[AREA])
    frame = clip(1)[0]
    luma = frame.planes[0].copy()
    luma[30:48, 40:64] = 16.0
    other = WorkingFrame((luma, *frame.planes[1:]), frame.geometry, frame.colour, frame.timing, frame.stage_class)
    one, two = (built.process([each], 0) for each in (frame, other))
    assert all(np.array_equal(a, b) for a, b in zip(one.planes, two.planes, strict=True))


def test_more_than_a_tenth_is_refused_before_any_pixel(tmp_path: Path) -> None:
    built = stage(make(tmp_path), areas=[{"rectangle": (0, 0, 160, 20)}])
    with pytest.raises(BadInput, match=r"mask\.too-large"):
        built.output_geometry(clip(1)[0].geometry)


def test_marks_move_with_a_crop(tmp_path: Path) -> None:
    moved = stage(make(tmp_path), areas=[AREA]).after_crop(10, 4)
    assert moved.positional and moved.parameters.areas[0].rectangle == (30, 26, 24, 18)


@pytest.mark.parametrize("changes", [{"class_label": "fidelity"}, {"works_on": "colour"}])
def test_a_model_of_holes_that_calls_itself_less_is_no_model(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r"model\."):
        stage(make(tmp_path, **changes), areas=[AREA])


def test_models_for_other_work_are_not_mixed_up(tmp_path: Path) -> None:
    root = make(tmp_path)
    with pytest.raises(BadInput, match=r"model\.not-for-holes"):
        catalogue.build("inpaint", {"model": "light-x1", "areas": [AREA]})
    for other in ("generative-upscale", "learned-upscale", "learned-colour", "learned-sequence"):
        with pytest.raises(BadInput, match=r"model\.not-") as caught:
            catalogue.build(other, {"model": "tiny-holes"}, models_dir=root)
        assert "'inpaint'" in caught.value.remedy
    with pytest.raises(BadInput, match=r"stage\.parameters"):
        stage(root, step=24, areas=[AREA])


def test_the_recipe_looks_for_damage_and_marks_nothing() -> None:
    (built,) = load_recipe("creative-inpaint").bind().stages
    assert isinstance(built, Inpaint) and built.parameters.detector == "both"
    assert not built.parameters.names_places
    assert built.uninvented.name == "fill-from-neighbours" and built.uninvented.parameters.detector == "both"
