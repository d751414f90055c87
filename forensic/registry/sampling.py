"""Make a picture out of noise and a recording, in steps and tiles; the same bytes whatever runs beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from forensic.errors import BadInput, InternalError, UsageError
from forensic.registry.architectures.residual_shift.network import ResidualShift
from forensic.registry.architectures.residual_shift.schedule import MOST_STEPS, Step, steps_of
from forensic.registry.counternoise import normal_noise
from forensic.registry.engines.pytorch import TorchEngine
from forensic.registry.loading import LoadedModel
from forensic.registry.tiling import TilePlan, blend_tiles, cut_inside, cut_tiles, plan_tiles, round_up


def sampled_picture(
    model: LoadedModel, picture: np.ndarray, steps: int, seed: int, frame: int, tile: int, overlap: int
) -> np.ndarray:
    """``picture``, float32 [3, H, W], R'G'B' of 0 to 1, enlarged to [3, scale*H, scale*W], not clipped.

    ``steps``: 1 to 15. ``seed`` and ``frame``, 0 to 2^63 - 1, choose the noise; nothing else is drawn. ``tile`` (at
    least 16) and ``overlap`` (at least what the card says) are input pixels: every step is made of the whole picture's
    last one, in tiles that see all that the network can, and the noise belongs to the picture. So tiles change nothing
    but the last bits. The schedule is fixed by tile, overlap and the picture's size. Memory: 0.8 kB for an input pixel,
    beside what a tile takes.
    Raises ``BadInput`` (``model.not-a-sampler``), ``UsageError`` (``model.steps``, ``model.tile-size``,
    ``model.tile-overlap``) and ``InternalError`` (``model.picture``, ``model.not-finite``).
    """
    sampler = _sampler(model)
    network = sampler.network
    if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != np.float32 or not picture.size:
        raise InternalError(
            "model.picture", f"A picture is float32 [3, H, W]; this is {picture.dtype} {picture.shape}."
        )
    if not 1 <= steps <= MOST_STEPS:
        raise UsageError("model.steps", f"{steps} steps cannot be made.", f"Use 1 to {MOST_STEPS}.")
    if overlap < model.radius:
        raise UsageError(
            "model.tile-overlap",
            f"Overlap {overlap} is less than the {model.radius} pixels that model {model.card.id} looks at.",
            f"Use an overlap of at least {model.radius}.",
        )
    height, width = picture.shape[1:]
    grid = network.alignment
    below, right = (round_up(side, grid) - side for side in (height, width))
    seen = np.pad(picture, ((0, 0), (0, below), (0, right)), mode="edge")
    plan = plan_tiles(seen.shape[1], seen.shape[2], tile, round_up(overlap, grid), grid)
    base = _start(sampler, seen, plan)
    made = _stepped(sampler, seen * 2 - 1, base, plan, steps_of(steps), (seed, frame))
    out = _unfolded(made, network.scale)[:, : network.scale * height, : network.scale * width]
    if not np.isfinite(np.sum(out, dtype=np.float64)):
        raise InternalError(
            "model.not-finite",
            f"Model {model.card.id} gave a sample that is not a finite number.",
            "The run was stopped; report this with the input, it is a defect of the model or of the machine.",
        )
    return np.ascontiguousarray((out + 1) / 2)


@dataclass(frozen=True)
class _Sampler:
    engine: TorchEngine
    network: ResidualShift


def _start(sampler: _Sampler, picture: np.ndarray, plan: TilePlan) -> np.ndarray:
    """What the steps start from, of -1 to 1, folded: float32 [3 s², H, W]. Beyond the border the edge is repeated."""
    network, compute = sampler.network, sampler.engine.compute
    around = network.context
    cut = plan_tiles(plan.height, plan.width, max(plan.tile_height, plan.tile_width), around, network.alignment)
    tiles = zip(*(cut_tiles(plane, cut) for plane in picture), strict=True)
    enlarged = (compute(network, torch.from_numpy(np.stack(planes))[None], exactly=True) for planes in tiles)
    made = (functional.pixel_unshuffle(each, network.scale)[0].numpy() * 2 - 1 for each in enlarged)
    bare = TilePlan(cut.height, cut.width, cut.tile_height, cut.tile_width, 0, cut.origins)
    return blend_tiles((_inside(each, bare, origin) for each, origin in zip(made, cut.origins, strict=True)), bare, 1)


def _inside(tile: np.ndarray, plan: TilePlan, origin: tuple[int, int]) -> np.ndarray:
    """The part of ``tile`` that lies in the picture: the last of a row may reach past it."""
    return tile[:, : plan.height - origin[0], : plan.width - origin[1]]


def _stepped(
    sampler: _Sampler,
    low: np.ndarray,
    base: np.ndarray,
    plan: TilePlan,
    steps: tuple[Step, ...],
    drawn_by: tuple[int, int],
) -> np.ndarray:
    """The network's picture of the last step, folded, of -1 to 1."""
    seed, frame = drawn_by
    x, answer, kappa = base.copy(), base, sampler.network.kappa
    share = kappa * math.sqrt(steps[0].shift)
    for number, step in enumerate(steps):
        if share:
            x += np.float32(share) * normal_noise(seed, frame, number, (base.shape[0], plan.height, plan.width))
        answer = _answered(sampler, x, base, low, plan, step)
        x *= np.float32(step.keep)
        x += np.float32(step.take) * answer
        share = kappa * step.noise
    return answer


def _answered(
    sampler: _Sampler, x: np.ndarray, base: np.ndarray, low: np.ndarray, plan: TilePlan, step: Step
) -> np.ndarray:
    """The picture that the network takes ``x`` for, folded, in tiles."""
    network, compute = sampler.network, sampler.engine.compute
    told = (torch.tensor([step.place]), torch.tensor([step.shift]))

    def run(noisy: np.ndarray, start: np.ndarray, seen: np.ndarray) -> np.ndarray:
        answer = compute(network.denoiser, _tensor(noisy), _tensor(start), _tensor(seen), *told, network.kappa)
        found: np.ndarray = answer[0].numpy()
        return found

    pieces = (cut_inside(planes, plan) for planes in (x, base, low))
    return blend_tiles(map(run, *pieces), plan, 1, faded=False)


def _unfolded(places: np.ndarray, scale: int) -> np.ndarray:
    picture: np.ndarray = functional.pixel_shuffle(_tensor(places), scale)[0].numpy()
    return picture


def _tensor(planes: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(planes))[None]


def _sampler(model: LoadedModel) -> _Sampler:
    engine = model.engine
    if not isinstance(engine, TorchEngine) or not isinstance(engine.network, ResidualShift):
        raise BadInput(
            "model.not-a-sampler",
            f"Model {model.card.id} is {model.card.architecture.name}, which makes no picture from noise.",
            'Choose a model whose card says works_on = "noise".',
        )
    return _Sampler(engine, engine.network)
