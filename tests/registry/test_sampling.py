"""Sampling in steps: tiles, workers and repetition change nothing, seed, frame and steps do."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from forensic.errors import BadInput, InternalError, UsageError
from forensic.registry.architectures.residual_shift.network import Denoiser, ResidualShift
from forensic.registry.architectures.residual_shift.schedule import MOST_STEPS, shift_at, steps_of
from forensic.registry.cards import load_card
from forensic.registry.loading import LoadedModel, load_model
from forensic.registry.pictures import enlarged_picture
from forensic.registry.sampling import sampled_picture
from tests.registry.samplers import HYPERPARAMETERS, ID, make


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(load_card(ID, make(tmp_path_factory.mktemp("models"))))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(5).random((3, 50, 71), np.float32)


def sampled(model: LoadedModel, picture: np.ndarray, **changes: int) -> np.ndarray:
    asked = {"steps": 3, "seed": 9, "frame": 4, "tile": 64, "overlap": 16, **changes}
    return sampled_picture(model, picture, **asked)


def test_the_same_again_to_the_byte_whatever_runs_beside(model: LoadedModel, picture: np.ndarray) -> None:
    once = sampled(model, picture)
    assert once.shape == (3, 200, 284) and once.dtype == np.float32
    with ThreadPoolExecutor(3) as pool:
        assert {made.tobytes() for made in pool.map(lambda _: sampled(model, picture), range(4))} == {once.tobytes()}


def test_tiles_change_no_more_than_the_last_bits(model: LoadedModel, picture: np.ndarray) -> None:
    whole = sampled(model, picture, tile=2048)
    for tile, overlap in ((16, 16), (32, 20), (64, 32)):
        assert np.abs(sampled(model, picture, tile=tile, overlap=overlap) - whole).max() < 1e-4


@pytest.mark.parametrize("change", [{"seed": 10}, {"frame": 5}, {"steps": 4}])
def test_another_seed_frame_or_number_of_steps_is_another_picture(
    model: LoadedModel, picture: np.ndarray, change: dict[str, int]
) -> None:
    assert np.abs(sampled(model, picture, **change) - sampled(model, picture)).mean() > 1e-3


def test_what_cannot_be_done_is_refused(model: LoadedModel, picture: np.ndarray, tmp_path: Path) -> None:
    refused = {"model.steps": {"steps": 16}, "model.tile-size": {"tile": 8}, "model.tile-overlap": {"overlap": 8}}
    for code, change in refused.items():
        with pytest.raises(UsageError) as caught:
            sampled(model, picture, **change)
        assert caught.value.code == code
    with pytest.raises(InternalError, match=r"model\.picture"):
        sampled(model, picture[0])
    with pytest.raises(InternalError, match=r"model\.not-finite"):
        sampled(model, np.full((3, 20, 20), np.nan, np.float32))
    with pytest.raises(BadInput, match=r"model\.not-a-sampler"):
        sampled(load_model(load_card("light-x4")), picture)
    with pytest.raises(BadInput, match=r"model\.not-at-once"):
        enlarged_picture(model, picture, 64, 16)


@pytest.mark.parametrize("count", [1, 2, 4, 15])
def test_the_steps_end_in_the_picture_and_keep_the_noise_that_the_schedule_says(count: int) -> None:
    steps = steps_of(count)
    assert len(steps) == count and steps[0].shift == shift_at(1.0) and steps[-1].keep == steps[-1].noise == 0.0
    for step, after in pairwise(steps):
        # x = x0 + eta (y0 - x0) + kappa sqrt(eta) n becomes the same with the eta of the step after, if x0 is right.
        assert math.isclose(step.keep * step.shift, after.shift)
        assert math.isclose(step.keep + step.take, 1.0)
        assert math.isclose(step.keep**2 * step.shift + step.noise**2, after.shift)


def test_a_number_of_steps_outside_the_schedule_is_refused() -> None:
    for count in (0, MOST_STEPS + 1):
        with pytest.raises(ValueError, match="outside"):
            steps_of(count)


@pytest.mark.parametrize("change", [{"width": 0}, {"deep": 257}, {"blocks": 17}, {"noise": 0}, {"noise": 4001}])
def test_networks_out_of_range_are_refused(change: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="outside"):
        ResidualShift(4, **{**HYPERPARAMETERS, **change})


@pytest.mark.parametrize("blocks", [1, 2])
def test_nothing_beyond_the_radius_is_seen(blocks: int) -> None:
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Denoiser(4, 4, 4, 4, blocks)
        radius, side = network.radius, 4 * (2 * network.radius // 4 + 2)
        given = [torch.randn(1, 48, side, side), torch.randn(1, 48, side, side), torch.randn(1, 3, side, side)]
    given[2].requires_grad_(True)
    middle = side // 2
    reached = 0
    for place in range(middle, middle + 4):  # every place of the deepest grid
        given[2].grad = None
        network(*given, torch.tensor([0.5]), torch.tensor([0.3]), 0.4)[0, :, place, place].sum().backward()
        seen = torch.nonzero(given[2].grad[0].abs().sum(0).sum(0))[:, 0]
        reached = max(reached, place - int(seen.min()), int(seen.max()) - place)
    assert radius - 4 < reached <= radius
