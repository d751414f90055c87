"""The network for colour: even areas keep theirs, offsets do not count, tiles do not show, no colour is far-fetched."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, InternalError, PolicyRefused
from forensic.registry import colouring
from forensic.registry.architectures.catalogue import build
from forensic.registry.cards import load_card
from forensic.registry.colouring import recoloured
from forensic.registry.loading import LoadedModel, load_model
from tests.registry.colour_models import small, write_model


def picture(height: int, width: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Luma [H, W] and chroma [2, (H + 1) // 2, (W + 1) // 2], float32, noise."""
    generator = np.random.default_rng(seed)
    shape = (2, -(-height // 2), -(-width // 2))
    return (
        generator.uniform(16, 235, (height, width)).astype(np.float32),
        generator.uniform(90, 160, shape).astype(np.float32),
    )


def model(root: Path, enlarged: int = 2, **options: float) -> LoadedModel:
    write_model(root, "tiny-colour", enlarged, **options)  # type: ignore[arg-type]
    return load_model(load_card("tiny-colour", root))


@pytest.mark.parametrize("enlarged", [1, 2, 4])
def test_untrained_it_gives_back_what_it_was_given_and_trained_it_does_not(tmp_path: Path, enlarged: int) -> None:
    luma, chroma = picture(40, 56)
    assert np.array_equal(recoloured(model(tmp_path / "a", enlarged, tail=0.0), luma, chroma), chroma)
    assert np.abs(recoloured(model(tmp_path / "b", enlarged), luma, chroma) - chroma).mean() > 0.05


@pytest.mark.parametrize("enlarged", [1, 2, 4])
def test_an_offset_of_luma_changes_nothing_and_one_of_colour_goes_through(tmp_path: Path, enlarged: int) -> None:
    network, (luma, chroma) = model(tmp_path, enlarged), picture(40, 56)
    shift = np.array([7.0, -11.0], np.float32)[:, None, None]
    before, after = recoloured(network, luma, chroma), recoloured(network, luma + 20, chroma + shift)
    assert np.abs(after - before - shift).max() < 2e-3


def test_an_even_area_keeps_its_colour_to_the_last_bit_that_counts(tmp_path: Path) -> None:
    network = model(tmp_path)
    for level, blue, red in ((16, 128, 128), (90, 240, 16), (235, 60, 200)):
        chroma = np.stack([np.full((30, 34), each, np.float32) for each in (blue, red)])
        made = recoloured(network, np.full((60, 68), level, np.float32), chroma)
        assert np.abs(made - chroma).max() < 1e-4


@pytest.mark.parametrize("enlarged", [1, 2, 4])
@pytest.mark.parametrize("size", [(64, 80), (61, 79), (2, 3), (1, 1)])
def test_tiles_do_not_show_for_any_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, enlarged: int, size: tuple[int, int]
) -> None:
    network, (luma, chroma) = model(tmp_path, enlarged), picture(*size)
    whole = recoloured(network, luma, chroma)
    assert whole.shape == chroma.shape and whole.dtype == np.float32
    monkeypatch.setattr(colouring, "TILE", 3)
    assert np.abs(recoloured(network, luma, chroma) - whole).max() < 1e-3


@pytest.mark.parametrize("enlarged", [1, 2, 4])
def test_a_sample_depends_on_nothing_beyond_the_stated_field(tmp_path: Path, enlarged: int) -> None:
    network = model(tmp_path, enlarged)
    radius = network.radius
    side = 4 * radius
    luma, chroma = picture(side, side)
    before = recoloured(network, luma, chroma)
    centre = side // 2
    changed_luma, changed_chroma = luma.copy(), chroma.copy()
    changed_luma[centre, centre] += 50
    changed_chroma[:, centre // 2, centre // 2] += 50
    touched = np.argwhere(np.abs(recoloured(network, changed_luma, changed_chroma) - before).max(axis=0) > 1e-4)
    distance = np.abs(2 * touched - centre).max()
    assert 0 < distance <= radius


def test_the_same_bytes_again(tmp_path: Path) -> None:
    network, (luma, chroma) = model(tmp_path), picture(50, 70)
    assert recoloured(network, luma, chroma).tobytes() == recoloured(network, luma, chroma).tobytes()


def test_planes_that_do_not_belong_together_and_other_models_are_refused(tmp_path: Path) -> None:
    network, (luma, chroma) = model(tmp_path), picture(50, 70)
    with pytest.raises(InternalError, match=r"model\.chroma-planes"):
        recoloured(network, luma, chroma[:, 1:])
    with pytest.raises(BadInput, match=r"model\.not-for-colour"):
        recoloured(load_model(load_card("light-x4")), luma, chroma)
    broken = small()
    with torch.no_grad():
        broken.tail.bias.fill_(float("inf"))
    network.engine.network.load_state_dict(broken.state_dict())  # type: ignore[attr-defined]
    with pytest.raises(InternalError, match=r"model\.not-finite"):
        recoloured(network, luma, chroma)


@pytest.mark.parametrize(
    "values",
    [
        {"enlarged": 0, "width": 4, "blocks": 1},
        {"enlarged": 5, "width": 4, "blocks": 1},
        {"enlarged": 2, "width": 0, "blocks": 1},
        {"enlarged": 2, "width": 4, "blocks": 0},
        {"width": 4, "blocks": 1},
    ],
)
def test_hyperparameters_that_make_no_network_are_refused(values: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("guided-chroma", 1, values)
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("guided-chroma", 2, {"enlarged": 2, "width": 4, "blocks": 1})


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('channels = "chroma"', 'channels = "luma"'),
        ("enlarged = 2\n", "\n"),
        ('works_on = "colour"', 'works_on = "sequence"'),
        ('works_on = "colour"', 'works_on = "colour"\nrefines = "fusion"'),
        ("scale = 1", "scale = 2"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(tmp_path: Path, was: str, becomes: str) -> None:
    write_model(tmp_path)
    path = tmp_path / "tiny-colour-x2" / "card.toml"
    text = path.read_text("utf-8")
    assert was in text
    path.write_text(text.replace(was, becomes, 1), encoding="utf-8")
    with pytest.raises(PolicyRefused, match=r"model\.card-invalid"):
        load_card("tiny-colour-x2", tmp_path)


@pytest.mark.parametrize("enlarged", [1, 2, 4])
def test_no_colour_is_made_that_is_not_nearby_whatever_the_weights_and_luma_say(tmp_path: Path, enlarged: int) -> None:
    network, (luma, chroma) = model(tmp_path, enlarged, tail=30.0), picture(48, 64)
    made = recoloured(network, luma, chroma)
    reach = enlarged
    padded = np.pad(chroma, ((0, 0), (reach, reach), (reach, reach)), mode="edge")
    views = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1), axis=(1, 2))
    assert (made >= views.min(axis=(3, 4))).all() and (made <= views.max(axis=(3, 4))).all()
    assert np.abs(made - chroma).mean() > 1
    even = np.full_like(chroma, 131.0)
    assert np.array_equal(recoloured(network, luma, even), even)
