"""Only the checked bytes become a network, and the network gives the same bytes for the same plane."""

from __future__ import annotations

import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from forensic.errors import BadInput, ForensicError, InternalError, PolicyRefused, UsageError
from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, determinism_facts, load_model

from .conftest import ModelMaker


def load(models: ModelMaker, name: str = "tiny-x2") -> LoadedModel:
    return load_model(load_card(name, models.root))


def plane(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)


def rejected(models: ModelMaker) -> ForensicError:
    with pytest.raises(BadInput) as caught:
        load(models)
    assert caught.value.exit_code == 4
    return caught.value


@pytest.mark.parametrize(
    "data",
    [b"x", b"\0" * 8, b"\xff" * 64, (2).to_bytes(8, "little") + b"{}", (9).to_bytes(8, "little") + b'{"a": [}}'],
)
def test_garbage_weights_under_a_matching_digest(models: ModelMaker, data: bytes) -> None:
    models.make(data=data)
    assert rejected(models).code in {"model.weights-invalid", "model.weights-mismatch"}


def test_a_pickle_is_never_opened(models: ModelMaker, tmp_path: Path) -> None:
    witness = tmp_path / "executed"

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (witness,)  # type: ignore[return-value]

    models.make(data=pickle.dumps(Trap()))
    assert rejected(models).code == "model.weights-invalid"
    assert not witness.exists()


def test_weights_of_another_architecture_under_a_matching_digest(models: ModelMaker) -> None:
    models.make(data=safetensors.torch.save({"head.weight": torch.zeros(4, 1, 3, 3)}))
    assert rejected(models).code == "model.weights-mismatch"


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite(models: ModelMaker, bad: float) -> None:
    models.make(data=safetensors.torch.save({"head.weight": torch.full((4, 1, 3, 3), bad)}))
    assert rejected(models).code == "model.weights-invalid"


def test_weights_of_another_precision(models: ModelMaker) -> None:
    models.make(data=safetensors.torch.save({"head.weight": torch.zeros(4, 1, 3, 3, dtype=torch.float16)}))
    assert rejected(models).code == "model.weights-invalid"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"parameters": 7}, "model.card-untrue"),
        ({"radius": 1}, "model.card-untrue"),
        ({"architecture": "unheard-of"}, "model.architecture-unknown"),
        ({"width": 10_000, "depth": 0}, None),
    ],
)
def test_a_card_that_is_untrue_of_its_weights(models: ModelMaker, change: dict[str, object], code: str | None) -> None:
    if code is None:  # the card alone asks for an absurd network
        folder = models.make()
        card = (folder / "card.toml").read_text().replace("width = 4", "width = 10000")
        (folder / "card.toml").write_text(card)
        assert rejected(models).code == "model.hyperparameters"
        return
    models.make(**change)  # type: ignore[arg-type]
    assert rejected(models).code == code


def test_weights_changed_between_the_check_and_the_load(models: ModelMaker) -> None:
    folder = models.make()
    card = load_card("tiny-x2", models.root)
    (folder / "weights.safetensors").write_bytes(safetensors.torch.save({}))
    with pytest.raises(PolicyRefused, match=r"model\.digest-mismatch"):
        load_model(card)


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (37, 5), (64, 64)])
def test_shapes_and_type(models: ModelMaker, shape: tuple[int, int]) -> None:
    models.make()
    out = load(models).upscale_luma(plane(*shape))
    assert out.shape == (2 * shape[0], 2 * shape[1]) and out.dtype == np.float32


@pytest.mark.parametrize("bad", [np.zeros((4, 4)), np.zeros((4, 4, 1), np.float32), np.zeros((0, 4), np.float32)])
def test_a_plane_of_the_wrong_kind(models: ModelMaker, bad: np.ndarray) -> None:
    models.make()
    with pytest.raises(InternalError, match=r"model\.luma-plane"):
        load(models).upscale_luma(bad)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_sample_that_is_not_finite_stops(models: ModelMaker, bad: float) -> None:
    models.make()
    luma = plane(40, 40)
    luma[17, 3] = bad
    model = load(models)
    for attempt in (lambda: model.upscale_luma(luma), lambda: model.upscale_luma_tiled(luma, 16, 8)):
        with pytest.raises(InternalError, match=r"model\.not-finite"):
            attempt()


@pytest.mark.parametrize(
    ("shape", "tile", "overlap"),
    [((61, 83), 16, 4), ((61, 83), 32, 9), ((40, 40), 64, 4), ((5, 90), 17, 5)],
)
def test_tiles_equal_the_whole_and_show_no_seam(
    models: ModelMaker, shape: tuple[int, int], tile: int, overlap: int
) -> None:
    models.make()
    model = load(models)
    luma = plane(*shape)
    difference = np.abs(model.upscale_luma_tiled(luma, tile, overlap) - model.upscale_luma(luma))
    assert difference.max() < 2e-3  # of 255 grey levels: float32 rounding, far below half a level


def test_too_little_overlap_is_refused(models: ModelMaker) -> None:
    models.make()
    model = load(models)
    with pytest.raises(UsageError, match=r"model\.tile-overlap"):
        model.upscale_luma_tiled(plane(40, 40), 32, model.radius - 1)
    with pytest.raises(UsageError, match=r"model\.tile-size"):
        model.upscale_luma_tiled(plane(40, 40), 8, 8)


def test_the_receptive_field_on_the_card_is_the_true_one(models: ModelMaker) -> None:
    models.make()
    model = load(models)
    luma = plane(41, 41)
    moved = luma.copy()
    moved[20, 20] += 100
    changed = np.abs(model.upscale_luma(moved) - model.upscale_luma(luma)) > 1e-3
    rows = np.flatnonzero(changed.any(axis=1)) // 2
    assert 20 - rows.min() <= model.radius and rows.max() - 20 <= model.radius


def test_same_plane_same_bytes_whatever_the_threads(models: ModelMaker) -> None:
    models.make(width=16)
    luma = plane(120, 150)
    expected = load(models).upscale_luma_tiled(luma, 48, 8).tobytes()
    model = load(models)
    with ThreadPoolExecutor(3) as pool:
        assert model.upscale_luma_tiled(luma, 48, 8, pool).tobytes() == expected
        results = pool.map(lambda _: model.upscale_luma_tiled(luma, 48, 8).tobytes(), range(6))
        assert set(results) == {expected}
    whole = model.upscale_luma(luma).tobytes()
    assert all(model.upscale_luma(luma).tobytes() == whole for _ in range(3))


def test_equal_content_in_two_places_gets_equal_bytes(models: ModelMaker) -> None:
    models.make()
    model = load(models)
    block = plane(32, 32)
    out = model.upscale_luma_tiled(np.tile(block, (3, 3)), 32, 8)
    larger = model.upscale_luma_tiled(np.tile(block, (5, 5)), 32, 8)
    assert out[64:128, 64:128].tobytes() == larger[128:192, 128:192].tobytes()


def test_one_intra_op_thread_in_every_thread_and_on_the_record() -> None:
    seen: list[int] = []
    worker = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    worker.start()
    worker.join()
    facts = determinism_facts(["torch"])["torch"]
    assert seen == [1]
    assert facts["intra_op_threads"] == 1 and facts["deterministic_algorithms"] is True
    assert facts["cpu_capability"] and facts["torch"] == torch.__version__
