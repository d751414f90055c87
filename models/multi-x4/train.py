"""Train the refiner of multi-x4 end to end: photographs in, weights, loss curve and facts out.

    python models/multi-x4/train.py --photos DIR --out DIR

``DIR`` of photographs has the files named in ``models/light-x4/photographs.csv``. The single-frame network is
single-x4 as it is shipped; its weights are not trained further and become part of the result. One thread, one seed,
a fixed number of steps; the last averaged weights are kept, never the best on the validation photographs. A run
that was stopped goes on from ``OUT/checkpoint.pt`` as if it had not been.
"""

from __future__ import annotations

import argparse
import copy
import csv
import json
import math
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import examples
import numpy as np
import safetensors.torch
import torch
from examples import SCALE, SEED, TABLE_CRF, Example
from torch import Tensor
from torch.nn import functional

from forensic.registry.architectures.refiner.network import PLANES, Refiner
from forensic.registry.cards import load_card, read_weights
from forensic.registry.loading import load_model

WIDTH, BLOCKS = 48, 6
PATCH = 68  # recorded pixels on a side, context included
PAIRS = 2  # of neighbouring frames in a batch
STEPS, DECAY_FROM = 3_600, 1_600  # the rate is constant up to DECAY_FROM, then falls to zero as a cosine
RATE, WARMING = 1e-3, 200
MIXING = 0.2  # of the rate, for the linear filter over the inputs
AVERAGING = 0.998  # exponential moving average of the weights
SOFTNESS = 1.0  # of the Charbonnier loss, grey levels
CONSISTENCY = 0.1  # weight of the same loss on means over SCALE x SCALE
COHERENCE = 0.2  # weight of the same loss on the change of the error between neighbouring frames
EASIEST = 0.5  # grey levels: losses count relative to what the mean of single frames loses, and this more
LOG_EVERY = 500
#: What may be told of how sure one is of the blur (standard deviation of its logarithm); all are as likely beforehand.
DOUBTS = (0.05, 0.1, 0.2, 0.4, 0.8)
SURE, UNSURE = 0.05, 0.5  # told to the network on validation photographs, whose blur is what fusion takes for granted
SINGLE = "single-x4"
POWER_METER = Path("/sys/class/powercap/intel-rapl:0/energy_uj")

_FURTHEST = 8  # recorded pixels that remain for choosing a place


def batch(
    cache: Sequence[Example], rng: np.random.Generator, context: int
) -> tuple[list[Tensor], list[tuple[int, int]]]:
    """``low``, ``enlarged``, ``conditions``, ``truth`` of ``PAIRS`` pairs, and how the second of each is displaced
    against the first, in large pixels (x, y), after whole recorded pixels were taken out."""
    patches: list[dict[str, np.ndarray]] = []
    offsets, known = [], []
    while len(offsets) < PAIRS:
        example = cache[int(rng.integers(len(cache)))]
        height, width = example.planes["low"].shape[1:]
        move = SCALE * (example.shift[1] - example.shift[0])
        whole = np.rint(move / SCALE).astype(int)
        if max(abs(whole)) > height - PATCH - _FURTHEST:
            continue
        dx, dy = int(whole[0]), int(whole[1])
        y = int(rng.integers(max(0, -dy), height - PATCH + 1 - max(0, dy)))
        x = int(rng.integers(max(0, -dx), width - PATCH + 1 - max(0, dx)))
        patches += [cut(example, 0, y, x), cut(example, 1, y + dy, x + dx)]
        rest = np.rint(move - SCALE * whole).astype(int)
        offsets.append((int(rest[0]), int(rest[1])))
        doubt = doubt_of(example.error, rng)
        known += [(value, example.blur, doubt) for value in example.quantiser]
    turns, mirror = int(rng.integers(4)), bool(rng.integers(2))
    tensors = [_turned(each, turns, mirror) for each in tensors_of(patches, known, context)]
    return tensors, [_offset_turned(each, turns, mirror) for each in offsets]


def doubt_of(error: float, rng: np.random.Generator) -> float:
    """A doubt to which this error of the blur fits, drawn by Bayes' rule: errors are normal with it."""
    likelihood = np.array([math.exp(-0.5 * (error / each) ** 2) / each for each in DOUBTS])
    return float(rng.choice(DOUBTS, p=likelihood / likelihood.sum()))


def cut(example: Example, frame: int, y: int, x: int) -> dict[str, np.ndarray]:
    """A patch of every plane of one of the two frames, float32."""
    found = {}
    for name, plane in example.planes.items():
        factor = SCALE if name in examples.LARGE else 1
        rows, columns = (slice(factor * start, factor * (start + PATCH)) for start in (y, x))
        found[name] = plane[frame][rows, columns].astype(np.float32)
    return found


def tensors_of(
    patches: Sequence[dict[str, np.ndarray]], known: Sequence[tuple[float | None, float, float]], context: int
) -> list[Tensor]:
    """What the refiner is given, and the truth without its context; ``known``: quantiser, blur and doubt of each."""
    planes = {name: torch.from_numpy(np.stack([patch[name] for patch in patches]))[:, None] for name in patches[0]}
    alone = 1 / planes["effective"].clamp(min=1)
    rows = [(*((0.0, 0.0) if value is None else (value / 51, 1.0)), *blur) for value, *blur in known]
    told = torch.tensor(rows, dtype=torch.float32)[:, :, None, None].expand(-1, -1, *alone.shape[2:])
    border = SCALE * context
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


def loss_of(error: Tensor, offsets: Sequence[tuple[int, int]], baseline: Tensor) -> Tensor:
    """Charbonnier loss of pixels, of means on the recording's grid, and of the error's change within each pair; each
    relative to the loss of ``baseline``, the error of the mean of single frames."""
    weight = 1 / (_charbonnier(baseline) + EASIEST)
    loss = (weight * (_charbonnier(error) + CONSISTENCY * _charbonnier(functional.avg_pool2d(error, SCALE)))).mean()
    side, margin = error.shape[2], SCALE - 1
    for pair, (dx, dy) in enumerate(offsets):
        first, second = 2 * pair, 2 * pair + 1
        before = error[first : first + 1, :, margin : side - margin, margin : side - margin]
        after = error[second : second + 1, :, margin + dy : side - margin + dy, margin + dx : side - margin + dx]
        share = COHERENCE / len(offsets) * (weight[first] + weight[second]) / 2
        loss = loss + share * _charbonnier(before - after)[0]
    return loss


def _charbonnier(error: Tensor) -> Tensor:
    return torch.sqrt(error**2 + SOFTNESS**2).mean((1, 2, 3)) - SOFTNESS


def rate(step: int) -> float:
    """Learning rate of a step: warm-up, constant, cosine decay."""
    decayed = max(0.0, (step - DECAY_FROM) / (STEPS - DECAY_FROM))
    return RATE * min(1.0, (step + 1) / WARMING) * (1 + math.cos(math.pi * decayed)) / 2


class Run:
    """The state of a training: everything that the next step depends on."""

    def __init__(self) -> None:
        torch.manual_seed(SEED)
        self.network = Refiner(SCALE, WIDTH, BLOCKS)
        self.average = copy.deepcopy(self.network)
        others = [weight for name, weight in self.network.named_parameters() if not name.startswith("mixing")]
        groups = [{"params": others, "share": 1.0}, {"params": self.network.mixing.parameters(), "share": MIXING}]
        self.optimiser = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), weight_decay=1e-4)
        self.rng = np.random.default_rng([SEED, 0])
        self.step, self.running = 0, 0.0
        self.rows: list[list[float]] = []
        self.seconds = {"wall": 0.0, "cpu": 0.0}

    def one(self, cache: Sequence[Example]) -> None:
        """One step."""
        for group in self.optimiser.param_groups:
            group["lr"] = group["share"] * rate(self.step)
        context = self.network.context
        (low, enlarged, conditions, truth), offsets = batch(cache, self.rng, context)
        with torch.autocast("cpu", torch.bfloat16):  # weights and sums stay float32
            result = self.network(low, enlarged, conditions)
        border, mean = SCALE * context, PLANES.index("mean")
        baseline = enlarged[:, mean : mean + 1, border:-border, border:-border] - truth
        loss = loss_of(result - truth, offsets, baseline)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 0.5)
        self.optimiser.step()
        self.step += 1
        decay = min(AVERAGING, self.step / (self.step + 9))
        with torch.no_grad():
            for kept, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                kept.lerp_(now, 1 - decay)
        self.running += float(loss.detach())

    def save(self, path: Path) -> None:
        """Write the state so that a stop at any moment leaves a whole file."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rest": json.dumps([self.rng.bit_generator.state, self.step, self.running, self.rows, self.seconds]),
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on from a state written by :meth:`save`."""
        state = torch.load(path, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.bit_generator.state, self.step, self.running, self.rows, self.seconds = json.loads(state["rest"])


def gains(network: Refiner, cache: Sequence[Example], doubt: float) -> float:
    """Mean PSNR gain in dB over cubic enlargement; examples of one CRF. ``doubt``: what is told of the blur's error."""
    found, border = [], SCALE * (network.context + 2)
    with torch.inference_mode():
        for example in cache:
            planes = {name: plane[0].astype(np.float32) for name, plane in example.planes.items()}
            low, enlarged, conditions, _ = tensors_of(
                [planes], [(example.quantiser[0], example.blur, doubt)], network.context
            )
            cubic = cv2.resize(planes["low"], None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_CUBIC)
            result = np.pad(network(low, enlarged, conditions)[0, 0].numpy().clip(0, 255), SCALE * network.context)
            inside = (slice(border, -border),) * 2
            errors = [float(np.mean((plane - planes["truth"])[inside] ** 2)) for plane in (cubic, result)]
            found.append(10 * math.log10(errors[0] / errors[1]))
    return sum(found) / len(found)


def train(photos: Path, out: Path, cache: Path, until: int | None = None) -> None:
    """Run the whole recipe, or up to step ``until``; writes weights, curve and facts under ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    card = load_card(SINGLE)
    single = load_model(card)  # sets torch up: one thread, deterministic
    examples.make_cache(photos, cache / "train", single)
    examples.make_validation(photos, cache / "validation", single)
    learnt = examples.loaded(cache / "train")
    held_out = [examples.loaded(cache / "validation" / str(crf)) for crf in TABLE_CRF]
    run = Run()
    kept = out / "checkpoint.pt"
    if kept.is_file():
        run.restore(kept)
    wall, cpu, joules = time.monotonic(), time.process_time(), _joules()
    before = dict(run.seconds)
    while run.step < (STEPS if until is None else until):
        run.one(learnt)
        run.seconds["wall"] = before["wall"] + time.monotonic() - wall
        run.seconds["cpu"] = before["cpu"] + time.process_time() - cpu
        if run.step % LOG_EVERY == 0:
            held = [round(gains(run.average, each, doubt), 3) for doubt in (SURE, UNSURE) for each in held_out]
            run.rows.append([run.step, round(run.running / LOG_EVERY, 4), *held])
            run.running = 0.0
            print(*run.rows[-1], *(f"{name} {value:.0f} s" for name, value in run.seconds.items()), flush=True)
        if run.step % LOG_EVERY == 0 or run.step == until:
            run.save(kept)
    if run.step == STEPS:
        _write(out, run, safetensors.torch.load(read_weights(card)))
        (out / "training.json").write_text(json.dumps(_facts(run, joules), indent=2) + "\n", encoding="utf-8")


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


def _joules() -> float | None:
    try:
        return int(POWER_METER.read_text()) / 1e6
    except (OSError, ValueError):
        return None


def _facts(run: Run, joules: float | None) -> dict[str, Any]:
    now = _joules()
    return {
        "seed": SEED,
        "steps": run.step,
        "trained_parameters": sum(weight.numel() for weight in run.network.parameters()),
        "training_wall_seconds": round(run.seconds["wall"]),
        "training_cpu_seconds": round(run.seconds["cpu"]),
        "energy_joules": "not readable on this machine" if joules is None or now is None else round(now - joules),
        "software": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "opencv": cv2.__version__,
            "numpy": np.__version__,
            "av": av.__version__,
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        },
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder that holds the listed photographs")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results and the checkpoint")
    parser.add_argument("--cache", type=Path, help="folder for the examples, about 1 GB (default: OUT/cache)")
    parser.add_argument("--until", type=int, help="stop after this step; the same command goes on later")
    arguments = parser.parse_args()
    train(arguments.photos, arguments.out, arguments.cache or arguments.out / "cache", arguments.until)


if __name__ == "__main__":
    main()
