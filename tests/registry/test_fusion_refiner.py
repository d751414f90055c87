"""The refiner of a fusion: what holds for any weights of this architecture, and how it is run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, InternalError
from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.refiner.network import CONDITIONS, PLANES, FusionRefiner, Refiner
from forensic.registry.cards import load_card
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.refining import refined

SMALL = {"width": 8, "blocks": 2, "single_width": 8, "single_blocks": 1, "single_fold": 2, "single_fused": 1}


def network(scale: int = 4) -> FusionRefiner:
    """With weights that are far from those before training."""
    torch.manual_seed(5)
    made = build("fusion-refiner", scale, SMALL)
    assert isinstance(made, FusionRefiner)
    for weight in made.parameters():
        torch.nn.init.normal_(weight, std=0.1)
    return made.eval().requires_grad_(False)


def loaded(scale: int = 4) -> LoadedModel:
    made = network(scale)
    card = load_card("light-x4").model_copy(update={"scale": scale, "receptive_field": made.radius})
    return LoadedModel(card, TorchEngine(made, sum(weight.numel() for weight in made.parameters()), scale))


def inputs(
    height: int = 40, width: int = 44, scale: int = 4, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 255, (height, width)).astype(np.float32)
    enlarged = rng.uniform(0, 255, (len(PLANES), scale * height, scale * width)).astype(np.float32)
    enlarged[PLANES.index("spread")] /= 50
    return low, enlarged, rng.uniform(1, 9, (height, width)).astype(np.float32)


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_before_training_it_is_half_fusion_and_half_mean(scale: int) -> None:
    made = Refiner(scale, 8, 2)
    torch.nn.init.zeros_(made.tail.weight)
    low, enlarged, _ = (torch.from_numpy(each)[None] for each in inputs(scale=scale))
    out = made(low[None], enlarged, torch.zeros(1, len(CONDITIONS), *low.shape[1:]))[0, 0]
    around = scale * made.context
    expected = enlarged[0, [PLANES.index("mean"), PLANES.index("fused")]].mean(0)[around:-around, around:-around]
    assert torch.allclose(out, expected, atol=1e-3)


@pytest.mark.parametrize("offset", [-100.0, 37.5])
def test_an_offset_of_all_pictures_passes_through(offset: float) -> None:
    low, enlarged, effective = inputs()
    model = loaded()
    lifted = enlarged + np.float32(offset)
    lifted[PLANES.index("spread")] = enlarged[PLANES.index("spread")]
    before, after = (
        refined(model, low, enlarged, effective, 30.0, 0.35, 0.5),
        refined(model, low + np.float32(offset), lifted, effective, 30.0, 0.35, 0.5),
    )
    assert np.abs(after - before - offset).max() < 2e-2


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_a_pixel_sees_no_farther_than_it_says(scale: int) -> None:
    model, reach = loaded(scale), network(scale).refiner.context
    low, enlarged, effective = inputs(scale=scale)
    before = refined(model, low, enlarged, effective, None, 0.35, 0.5)
    low[20, 20] += 50
    enlarged[:, scale * 20, scale * 20] += 50
    effective[20, 20] = 1.0
    rows, columns = np.nonzero(refined(model, low, enlarged, effective, None, 0.35, 0.5) != before)
    assert rows.size and rows.min() >= scale * (20 - reach) and rows.max() < scale * (21 + reach)
    assert columns.min() >= scale * (20 - reach) and columns.max() < scale * (21 + reach)


def test_pieces_join_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (low, enlarged, effective) = loaded(), inputs(60, 70)
    whole = refined(model, low, enlarged, effective, 22.0, 0.35, 0.5)
    monkeypatch.setattr("forensic.registry.refining.TILE", 17)
    assert np.abs(refined(model, low, enlarged, effective, 22.0, 0.35, 0.5) - whole).max() < 2e-2


def test_the_same_input_gives_the_same_bytes() -> None:
    model = loaded()
    known = (
        (None, 0.35, 0.5),
        (None, 0.35, 0.5),
        (0.0, 0.35, 0.5),
        (30.0, 0.35, 0.5),
        (30.0, 0.5, 0.5),
        (30.0, 0.5, 0.1),
    )
    made = [refined(model, *inputs(), *each).tobytes() for each in known]
    assert made[0] == made[1] and len(set(made)) == 5  # lossless is not the same as not known


def test_called_with_one_frame_it_is_its_single_frame_network() -> None:
    made = network()
    luma = torch.from_numpy(inputs(40, 40)[0])[None, None]
    assert torch.equal(made(luma), made.single(luma)) and made.context == made.single.context
    assert made.radius == made.single.radius + made.refiner.context


@pytest.mark.parametrize("change", [{"width": 0}, {"blocks": 0}, {"single_fold": 9}, {"depth": 3}])
def test_hyperparameters_outside_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(BadInput) as caught:
        build("fusion-refiner", 4, SMALL | change)
    assert caught.value.code == "model.hyperparameters"


def test_a_model_that_refines_nothing_is_not_used_to_refine() -> None:
    with pytest.raises(BadInput) as caught:
        refined(load_model(load_card("light-x4")), *inputs(), None, 0.35, 0.5)
    assert caught.value.code == "model.not-a-refiner"


def test_planes_of_another_size_and_broken_numbers_stop_the_run() -> None:
    low, enlarged, effective = inputs()
    with pytest.raises(InternalError) as caught:
        refined(loaded(), low[:-1], enlarged, effective, None, 0.35, 0.5)
    assert caught.value.code == "model.luma-plane"
    enlarged[0, 5, 5] = np.nan
    with pytest.raises(InternalError) as caught:
        refined(loaded(), low, enlarged, effective, None, 0.35, 0.5)
    assert caught.value.code == "model.not-finite"
