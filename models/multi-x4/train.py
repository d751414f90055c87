"""Train the refiner of multi-x4, or a sibling, end to end: photographs in, weights, loss curve and facts out.

    python models/multi-x4/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``models/light-x4/photographs.csv``. The single-frame network is
single-x4 (the plan's) as it is shipped; its weights are not trained further and become part of the result. One thread,
one seed, a fixed number of steps; the last averaged weights are kept, never the best on the validation photographs. A
run that was stopped goes on from ``OUT/checkpoint.pt`` as if it had not been.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import examples
import numpy as np
import safetensors.torch
import torch
from examples import SCALE, TABLE_CRF, Example, Plan
from runs import State  # of light-x4: `examples` put it on the path
from torch import Tensor
from torch.nn import functional

from forensic.registry.architectures.refiner.network import CONDITIONS, PLANES, Refiner
from forensic.registry.cards import load_card, read_weights
from forensic.registry.loading import load_model

WIDTH, BLOCKS = 48, 6
PAIRS = 2  # of neighbouring frames in a batch
MIXING = 0.2  # of the rate, for the linear filter over the inputs
SOFTNESS = 1.0  # of the Charbonnier loss, grey levels
CONSISTENCY = 0.1  # weight of the same loss on means over the pixels that one of the recording's becomes
COHERENCE = 0.2  # weight of the same loss on the change of the error between neighbouring frames
EASIEST = 0.5  # grey levels: losses count relative to what the mean of single frames loses, and this more
#: What may be told of how sure one is of the blur (standard deviation of its logarithm); all are as likely beforehand.
DOUBTS = (0.05, 0.1, 0.2, 0.4, 0.8)
SURE, UNSURE = 0.05, 0.5  # told to the network on validation photographs, whose blur is what fusion takes for granted

_FURTHEST = 8  # recorded pixels that remain for choosing a place


def batch(
    cache: Sequence[Example], rng: np.random.Generator, context: int, plan: Plan
) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """``low``, ``enlarged``, ``conditions``, ``truth`` of ``PAIRS`` pairs, and how the second of each is displaced
    against the first, in large pixels (x, y), after whole recorded pixels were taken out."""
    scale, patch = plan.scale, plan.patch
    patches: list[dict[str, np.ndarray]] = []
    offsets, known = [], []
    while len(offsets) < PAIRS:
        example = cache[int(rng.integers(len(cache)))]
        height, width = example.planes["low"].shape[1:]
        move = scale * (example.shift[1] - example.shift[0])
        whole = np.rint(move / scale).astype(int)
        if max(abs(whole)) > height - patch - _FURTHEST:
            continue
        dx, dy = int(whole[0]), int(whole[1])
        y = int(rng.integers(max(0, -dy), height - patch + 1 - max(0, dy)))
        x = int(rng.integers(max(0, -dx), width - patch + 1 - max(0, dx)))
        patches += [cut(example, 0, y, x, plan), cut(example, 1, y + dy, x + dx, plan)]
        rest = np.rint(move - scale * whole).astype(int)
        offsets.append((int(rest[0]), int(rest[1])))
        doubt = doubt_of(example.error, rng)
        known += [(value, example.blur, doubt) for value in example.quantiser]
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    tensors = [_turned(each, turns, mirror) for each in tensors_of(patches, known, context, scale)]
    return tensors, [_offset_turned(each, turns, mirror) for each in offsets]


def doubt_of(error: float, rng: np.random.Generator) -> float:
    """A doubt to which this error of the blur fits, drawn by Bayes' rule: errors are normal with it."""
    likelihood = np.array([math.exp(-0.5 * (error / each) ** 2) / each for each in DOUBTS])
    return float(rng.choice(DOUBTS, p=likelihood / likelihood.sum()))


def cut(example: Example, frame: int, y: int, x: int, plan: Plan) -> dict[str, np.ndarray]:
    """A patch of every plane of one of the two frames, float32."""
    found = {}
    for name, plane in example.planes.items():
        factor = plan.scale if name in examples.LARGE else 1
        rows, columns = (slice(factor * start, factor * (start + plan.patch)) for start in (y, x))
        found[name] = plane[frame][rows, columns].astype(np.float32)
    return found


def tensors_of(
    patches: Sequence[dict[str, np.ndarray]],
    known: Sequence[tuple[float | None, float, float]],
    context: int,
    scale: int = SCALE,
) -> list[Tensor]:
    """What the refiner is given, and the truth without its context; ``known``: quantiser, blur and doubt of each."""
    planes = {name: torch.from_numpy(np.stack([patch[name] for patch in patches]))[:, None] for name in patches[0]}
    alone = 1 / planes["effective"].clamp(min=1)
    rows = [(*((0.0, 0.0) if value is None else (value / 51, 1.0)), *blur) for value, *blur in known]
    told = torch.tensor(rows, dtype=torch.float32)[:, :, None, None].expand(-1, -1, *alone.shape[2:])
    border = scale * context
    return [
        planes["low"],
        torch.cat([planes[name] for name in PLANES], dim=1),
        torch.cat([alone, told], dim=1),
        planes["truth"][:, :, border:-border, border:-border],
    ]


def _turned(planes: Tensor, turns: int, mirror: bool) -> Tensor:
    turned = torch.rot90(planes, turns, (2, 3))
    return (turned.flip(3) if mirror else turned).contiguous()


def _offset_turned(offset: tuple[int, int], turns: int, mirror: bool) -> tuple[int, int]:
    dx, dy = offset
    for _ in range(turns):
        dx, dy = dy, -dx
    return (-dx if mirror else dx), dy


def loss_of(error: Tensor, offsets: Sequence[tuple[int, int]], baseline: Tensor, scale: int = SCALE) -> Tensor:
    """Charbonnier loss of pixels, of means on the recording's grid, and of the error's change within each pair; each
    relative to the loss of ``baseline``, the error of the mean of single frames."""
    weight = 1 / (_charbonnier(baseline) + EASIEST)
    loss = (weight * (_charbonnier(error) + CONSISTENCY * _charbonnier(functional.avg_pool2d(error, scale)))).mean()
    side, margin = error.shape[2], scale - 1
    for pair, (dx, dy) in enumerate(offsets):
        first, second = 2 * pair, 2 * pair + 1
        before = error[first : first + 1, :, margin : side - margin, margin : side - margin]
        after = error[second : second + 1, :, margin + dy : side - margin + dy, margin + dx : side - margin + dx]
        share = COHERENCE / len(offsets) * (weight[first] + weight[second]) / 2
        loss = loss + share * _charbonnier(before - after)[0]
    return loss


def _charbonnier(error: Tensor) -> Tensor:
    return torch.sqrt(error**2 + SOFTNESS**2).mean((1, 2, 3)) - SOFTNESS


def start_of(plan: Plan) -> tuple[dict[str, Tensor], str]:
    """Weights of the refiner that ``plan`` starts from, and the SHA-256 of the file they come from.

    Planes of the plan's scale, each pixel repeated, are planes of SCALE: the start is the other refiner's result for
    those, averaged over the area of the result's pixels.
    """
    assert plan.start is not None
    card = load_card(plan.start)
    shape = card.architecture.hyperparameters
    if card.scale != SCALE or (shape["width"], shape["blocks"]) != (WIDTH, BLOCKS):
        raise ValueError(f"{plan.start} has no refiner of scale {SCALE}, width {WIDTH} and {BLOCKS} blocks")
    tensors = safetensors.torch.load(read_weights(card))
    state = {name.removeprefix("refiner."): weight for name, weight in tensors.items() if name.startswith("refiner.")}
    for name in ("tail.weight", "tail.bias", "mixing.weight"):
        state[name] = _by_area(state[name], plan.scale, 0).mean(dim=(2, 4)).flatten(0, 2)
    head = state["head.weight"]
    enlarged, conditions = head.split((len(PLANES) * SCALE**2, len(CONDITIONS)), dim=1)
    state["head.weight"] = torch.cat([_inputs_summed(enlarged, plan.scale), conditions], dim=1)
    state["mixing.weight"] = _inputs_summed(state["mixing.weight"], plan.scale)
    return state, card.weights.sha256


def _by_area(weight: Tensor, scale: int, axis: int) -> Tensor:
    """``axis``, pixels of SCALE x SCALE of several planes, as (planes, scale, step, scale, step) with step between."""
    step = SCALE // scale
    return weight.unflatten(axis, (-1, scale, step, scale, step))


def _inputs_summed(weight: Tensor, scale: int) -> Tensor:
    return _by_area(weight, scale, 1).sum(dim=(3, 5)).flatten(1, 3)


class Run(State[Refiner]):
    """The state of a training of ``plan``."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        torch.manual_seed(plan.seed)
        network = Refiner(plan.scale, WIDTH, BLOCKS)
        if plan.start is not None:
            network.load_state_dict(start_of(plan)[0])
        others = [weight for name, weight in network.named_parameters() if not name.startswith("mixing")]
        groups = [{"params": others, "share": 1.0}, {"params": network.mixing.parameters(), "share": MIXING}]
        optimiser = torch.optim.AdamW(groups, lr=plan.rate, betas=(0.9, 0.95), weight_decay=1e-4)
        super().__init__(network, optimiser, plan.seed)

    def one(self, cache: Sequence[Example]) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["share"] * self.plan.rate_at(self.step)
        context, scale = self.network.context, self.plan.scale
        (low, enlarged, conditions, truth), offsets = batch(cache, self.rng, context, self.plan)
        with torch.autocast("cpu", torch.bfloat16):  # weights and sums stay float32
            result = self.network(low, enlarged, conditions)
        border, mean = scale * context, PLANES.index("mean")
        baseline = enlarged[:, mean : mean + 1, border:-border, border:-border] - truth
        self.learn(loss_of(result - truth, offsets, baseline, scale))


def gains(network: Refiner, cache: Sequence[Example], doubt: float) -> float:
    """Mean PSNR gain in dB over cubic enlargement; examples of one CRF. ``doubt``: what is told of the blur's error."""
    scale = network.scale
    found, border = [], scale * (network.context + 2)
    with torch.inference_mode():
        for example in cache:
            planes = {name: plane[0].astype(np.float32) for name, plane in example.planes.items()}
            low, enlarged, conditions, _ = tensors_of(
                [planes], [(example.quantiser[0], example.blur, doubt)], network.context, scale
            )
            cubic = cv2.resize(planes["low"], None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            result = np.pad(network(low, enlarged, conditions)[0, 0].numpy().clip(0, 255), scale * network.context)
            inside = (slice(border, -border),) * 2
            errors = [float(np.mean((plane - planes["truth"])[inside] ** 2)) for plane in (cubic, result)]
            found.append(10 * math.log10(errors[0] / errors[1]))
    return sum(found) / len(found)


def train(plan: Plan, photos: Path, out: Path, cache: Path, until: int | None = None) -> None:
    """Run the whole of ``plan``, or up to step ``until``; writes weights, curve and facts under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    card = load_card(plan.single)
    single = load_model(card)  # sets torch up: one thread, deterministic
    examples.make_cache(photos, cache / "train", single, plan)
    examples.make_validation(photos, cache / "validation", single, plan)
    learnt = examples.loaded(cache / "train")
    held_out = [examples.loaded(cache / "validation" / str(crf)) for crf in TABLE_CRF]
    run = Run(plan)
    kept = out / "checkpoint.pt"
    if kept.is_file():
        run.restore(kept)
    run.start_watch()
    while run.step < (plan.steps if until is None else min(until, plan.steps)):
        run.one(learnt)
        run.lap()
        if run.step % plan.log_every == 0:
            held = [round(gains(run.average, each, doubt), 3) for doubt in (SURE, UNSURE) for each in held_out]
            run.rows.append([run.step, round(run.running / plan.log_every, 4), *held])
            run.running = 0.0
            print(*run.rows[-1], *(f"{name} {value:.0f} s" for name, value in run.seconds.items()), flush=True)
        if run.step % plan.log_every == 0 or run.step == until:
            run.save(kept)
    if run.step == plan.steps:
        _write(out, run, safetensors.torch.load(read_weights(card)))
        (out / "training.json").write_text(json.dumps(_facts(run), indent=2) + "\n", encoding="utf-8")


def _write(out: Path, run: Run, single: dict[str, Tensor]) -> None:
    state = {f"refiner.{name}": weight.detach().contiguous() for name, weight in run.average.state_dict().items()}
    state |= {f"single.{name}": weight for name, weight in single.items()}
    (out / "weights.safetensors").write_bytes(safetensors.torch.save(state))
    with (out / "loss.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        names = ["no codec" if crf is None else f"CRF {crf}" for crf in TABLE_CRF]
        told = [f"{name}, blur {known}" for known in ("known", "not known") for name in names]
        writer.writerow(("step", "relative_training_loss", *(f"validation gain dB, {name}" for name in told)))
        writer.writerows(run.rows)


def _facts(run: Run) -> dict[str, Any]:
    start = {} if run.plan.start is None else {"start": run.plan.start, "start_sha256": start_of(run.plan)[1]}
    return run.facts(
        {
            "seed": run.plan.seed,
            **start,
            "steps": run.step,
            "trained_parameters": sum(weight.numel() for weight in run.network.parameters()),
        }
    )


def main(plan: Plan) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the examples, about 1 GB (default: OUT/cache)")
    parser.add_argument("--until", type=int, help="stop after this step; the same command goes on later")
    arguments = parser.parse_args()
    cache = arguments.cache or arguments.out / "cache"
    train(plan, arguments.photos, arguments.out, cache, arguments.until)


if __name__ == "__main__":
    main(Plan())
