"""The masked autoencoder: windows at fixed places, what is known untouched, what is missing without influence."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from forensic.errors import BadInput, InternalError
from forensic.registry import inpainting
from forensic.registry.architectures.catalogue import build
from forensic.registry.architectures.mae.filling import pull_push
from forensic.registry.architectures.mae.network import MaskedAutoencoder
from forensic.registry.cards import load_card
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.inpainting import inpainted, smoothed
from forensic.registry.loading import LoadedModel, load_model

SMALL = {"window": 32, "width": 32, "blocks": 1, "decoder_width": 32, "decoder_blocks": 1, "fine": 4}


def tiny(seed: int = 3) -> LoadedModel:
    torch.manual_seed(seed)
    network = build("masked-autoencoder", 1, SMALL)
    assert isinstance(network, MaskedAutoencoder)
    network.eval().requires_grad_(False)
    return LoadedModel(load_card("lpips-alex"), TorchEngine(network, 1, 1))  # the card only lends its name to errors


def picture(height: int = 100, width: int = 132, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    planes = [0.5 + 0.3 * np.sin(x / (9 + 5 * i)) * np.cos(y / 13) + rng.normal(0, 0.02, x.shape) for i in range(3)]
    return np.clip(np.stack(planes), 0, 1).astype(np.float32)


def holes(height: int = 100, width: int = 132) -> np.ndarray:
    missing = np.zeros((height, width), bool)
    missing[20:60, 30:75] = True  # larger than a window
    missing[:, 110:112] = True
    missing[95:, :9] = True  # in the corner
    return missing


def test_what_is_known_comes_back_and_what_is_missing_has_no_influence() -> None:
    model, missing = tiny(), holes()
    made = inpainted(model, picture(), missing, 16)
    assert made.windows > 0 and np.array_equal(made.picture[:, ~missing], picture()[:, ~missing])
    other = picture()
    other[:, missing] = picture(seed=9)[::-1, missing]
    assert inpainted(model, other, missing, 16).picture.tobytes() == made.picture.tobytes()
    assert made.picture.min() >= 0.0 and made.picture.max() <= 1.0


def test_threads_and_repetition_change_no_byte() -> None:
    model, missing = tiny(), holes()
    once = inpainted(model, picture(), missing, 16).picture.tobytes()
    with ThreadPoolExecutor(3) as pool:
        assert {
            each.picture.tobytes() for each in pool.map(lambda _: inpainted(model, picture(), missing, 16), range(4))
        } == {once}


def test_windows_lie_on_the_grid_of_the_whole_picture() -> None:
    """A hole is filled alike whatever other holes there are, as long as no window holds both."""
    model, alone = tiny(), np.zeros((128, 256), bool)
    alone[40:50, 40:46] = True
    both = alone.copy()
    both[90:97, 200:220] = True
    whole = picture(128, 256)
    one, two = (inpainted(model, whole, mask, 16) for mask in (alone, both))
    assert np.array_equal(one.picture[:, alone], two.picture[:, alone]) and two.windows > one.windows
    assert inpainting._origins(100, 32, 16) == [0, 16, 32, 48, 64, 68] and inpainting._origins(32, 32, 16) == [0]


def test_only_windows_with_holes_are_run() -> None:
    assert inpainted(tiny(), picture(), np.zeros((100, 132), bool), 16).windows == 0


def test_an_even_picture_is_filled_evenly_by_the_start() -> None:
    plane, missing = np.full((70, 90), 93.0, np.float32), holes(70, 90)
    damaged = np.where(missing, np.float32(255), plane)
    assert np.abs(smoothed(damaged, missing) - 93).max() < 1e-3
    ramp = np.tile(np.arange(90, dtype=np.float32), (70, 1))
    error = np.abs(smoothed(np.where(missing, np.float32(0), ramp), missing) - ramp)
    assert error.max() < 25 and error[~missing].max() == 0


def test_the_start_keeps_what_is_known() -> None:
    given = torch.from_numpy(picture(64, 64))[None]
    missing = torch.zeros(1, 1, 64, 64)
    missing[..., 10:30, 12:50] = 1
    filled = pull_push(given, missing)
    assert torch.equal(filled[(missing == 0).expand_as(filled)], given[(missing == 0).expand_as(given)])
    assert torch.isfinite(filled).all()


def test_windows_with_fewer_known_patches_give_the_same_alone_and_together() -> None:
    """Training runs windows together, the program one by one."""
    network = tiny().engine.network  # type: ignore[attr-defined]
    missing = torch.zeros(2, 1, 32, 32)
    missing[0, :, :16, :24] = 1
    missing[1, :, 3:5, :] = 1
    truth = torch.from_numpy(np.stack([picture(32, 32, seed) for seed in (1, 2)]))
    given = torch.cat((pull_push(truth, missing), missing), 1)
    with torch.inference_mode():
        together = network(given)
        alone = torch.cat([network(given[i : i + 1]) for i in range(2)])
    assert (together - alone).abs().max() < 1e-5


def test_an_unknown_patch_does_not_reach_the_encoder() -> None:
    """Whatever stands in a patch of which nothing is known, the codes of the others are the same."""
    network = tiny().engine.network  # type: ignore[attr-defined]
    missing = torch.zeros(1, 1, 32, 32)
    missing[..., 8:24, 8:24] = 1
    seen: list[torch.Tensor] = []
    handle = network.encoder[0].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    given = torch.cat((torch.from_numpy(picture(32, 32))[None], missing), 1)
    with torch.inference_mode():
        network(given)
    handle.remove()
    assert seen[0].shape[1] == 12  # of 16 patches


@pytest.mark.parametrize(
    "changed", [{"window": 36}, {"width": 20}, {"blocks": 0}, {"fine": 2}, {"decoder_width": 4096}, {"depth": 3}]
)
def test_hyperparameters_out_of_range_are_refused(changed: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("masked-autoencoder", 1, SMALL | changed)
    with pytest.raises(BadInput, match=r"model\.hyperparameters"):
        build("masked-autoencoder", 2, SMALL)


def test_what_is_no_picture_or_no_hole_is_refused() -> None:
    model = tiny()
    with pytest.raises(InternalError, match=r"model\.picture"):
        inpainted(model, picture().astype(np.float64), holes(), 16)
    with pytest.raises(InternalError, match=r"model\.holes"):
        inpainted(model, picture(), np.ones((100, 132), bool), 16)
    with pytest.raises(BadInput, match=r"model\.not-for-holes"):
        inpainted(load_model(load_card("light-x1")), picture(), holes(), 16)
