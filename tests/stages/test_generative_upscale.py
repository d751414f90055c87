"""Generative enlargement: always of generative class, colour in its place, sizes below the network's own."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.errors import BadInput, UsageError
from forensic.frames.colour import ColourSpec
from forensic.frames.stageclass import StageClass
from forensic.registry.architectures.srvgg.network import SrvggNet
from forensic.stages import catalogue
from forensic.stages.rgb import planes_of, rgb_of
from tests.registry.conftest import CARD


def make(root: Path, *, class_label: str = "generative", channels: str = "rgb", plain: bool = False) -> Path:
    """A tiny model of red, green and blue; ``plain``: it repeats pixels and adds nothing."""
    torch.manual_seed(2)
    network = SrvggNet(4, 4, 1)
    if plain:
        torch.nn.init.zeros_(network.convolutions[-1].weight)
        torch.nn.init.zeros_(network.convolutions[-1].bias)
    data = safetensors.torch.save({name: value.contiguous() for name, value in network.state_dict().items()})
    text = CARD.format(
        id="tiny-rgb-x4", class_line=f'class = "{class_label}"', scale=4, extra="", architecture="srvgg",
        parameters=sum(one.numel() for one in network.parameters()), radius=network.radius,
        hyperparameters="width = 4, depth = 1", file="weights.safetensors",
        digest_line=f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
    ).replace('channels = "luma"', f'channels = "{channels}"')  # fmt: skip
    folder = root / "tiny-rgb-x4"
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(data)
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return root


def stage(root: Path, **values):
    return catalogue.build("generative-upscale", {"model": "tiny-rgb-x4", **values}, models_dir=root)


def test_it_is_generative_and_so_is_every_frame_after_it(tmp_path, working):
    built = stage(make(tmp_path))
    assert built.learned and built.scale == 4.0 and built.effective_class is StageClass.GENERATIVE
    assert not built.in_reference_chain
    made = built.process([working(40, 24)], 0)
    assert made.stage_class is StageClass.GENERATIVE and (made.geometry.width, made.geometry.height) == (160, 96)
    later = catalogue.build("crop", {"x": 8, "y": 8, "width": 64, "height": 64}).process([made], 0)
    assert later.stage_class is StageClass.GENERATIVE


@pytest.mark.parametrize("class_label", ["fidelity", "geometric", "presentation"])
def test_a_model_of_colour_that_calls_itself_less_is_refused(tmp_path, class_label):
    with pytest.raises(BadInput, match=r"model\.not-generative"):
        stage(make(tmp_path, class_label=class_label))


def test_models_of_luma_and_of_colour_are_not_mixed_up(tmp_path):
    with pytest.raises(BadInput, match=r"model\.not-generative"):
        catalogue.build("generative-upscale", {"model": "light-x4"})
    with pytest.raises(BadInput, match=r"model\.not-for-luma"):
        catalogue.build("learned-upscale", {"model": "tiny-rgb-x4"}, models_dir=make(tmp_path))


@pytest.mark.parametrize(
    ("values", "code"), [({"factor": 5}, "stage.parameters"), ({"overlap": 2}, "stage.parameters")]
)
def test_what_the_model_cannot_do_is_refused(tmp_path, values, code):
    with pytest.raises(BadInput) as caught:
        stage(make(tmp_path), **values)
    assert caught.value.code == code


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
def test_a_smaller_size_shows_the_same_picture_reduced(tmp_path, working, factor):
    built = stage(make(tmp_path, plain=True)).with_scale(factor)
    frame = working(40, 24, "gray")  # nothing lies outside the colours that can be shown, and is cut off
    made = built.process([frame], 0)
    assert made.geometry.width == 40 * factor
    places = made.planes[0].reshape(24, factor, 40, factor).mean(axis=(1, 3))
    assert np.abs(places - frame.planes[0]).mean() < 4  # reduced by Lanczos, which overshoots at edges
    with pytest.raises(UsageError, match=r"recipe\.scale"):
        built.with_scale(8)


@pytest.mark.parametrize("layout", ["yuv420p", "yuv444p", "yuv422p10le", "gray", "gray16le", "rgb24"])
def test_a_flat_area_keeps_its_colour_in_every_layout(tmp_path, working, layout):
    built = stage(make(tmp_path, plain=True))
    frame = working(22, 18, layout)
    flat = working(22, 18, layout, planes=tuple(np.full(plane.shape, level, np.float32)
                   for plane, level in zip(frame.planes, (120.0, 118.0, 135.0), strict=False)))  # fmt: skip
    for plane, level in zip(built.process([flat], 0).planes, (120.0, 118.0, 135.0), strict=False):
        assert np.abs(plane - level).max() < 0.01


@pytest.mark.parametrize("full_range", [True, False, None])
def test_colour_there_and_back_is_the_same(working, full_range):
    frame = working(30, 22, "yuv444p", colour=ColourSpec(full_range=full_range))
    for before, after in zip(frame.planes, planes_of(rgb_of(frame), frame, frame.geometry), strict=True):
        assert np.abs(before - after).max() < 1e-3


def test_odd_sizes_and_tiles_fit_together_and_threads_change_nothing(tmp_path, working):
    built, whole = (stage(make(tmp_path / str(tile)), tile=tile, overlap=16) for tile in (32, 2048))
    frame = working(71, 53)
    once = built.process([frame], 0)
    assert all(np.abs(a - b).max() < 1e-3 for a, b in zip(once.planes, whole.process([frame], 0).planes, strict=True))
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: built.process([frame], 0), range(4)):
            assert [a.tobytes() for a in made.planes] == [b.tobytes() for b in once.planes]
