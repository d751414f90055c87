"""What each feature of the score ``quantile/2`` is worth: heads without it, and with features that it does not have.

``python -m tests.calibration --recipe light --model light-x2 --ablate`` fits heads on recordings of the train scenes
alone, looks at them on recordings of the tune scenes and writes ``ablation.csv`` beside the model's card;
``python -m tests.calibration.ablation light-x2`` prints the rows of it that docs/risk-map.md shows.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forensic.frames.frame import WorkingFrame
from forensic.fusion.registration import register
from forensic.hashes import sha256_bytes
from forensic.registry.cards import load_card
from forensic.resources import models_dir
from forensic.risk.features import GROUPS
from forensic.risk.head import QUANTILE, Head, inputs, network, on_output
from forensic.stages.pipeline import Pipeline
from forensic.validation.fidelity import blocking_effect_factor
from tests.calibration import scenes
from tests.calibration.learning import FEATURES, WIDTH, Example, fitted, planes_of
from tests.calibration.ranking import Ranked
from tests.calibration.recordings import STRATA, Region, enlarged, recorded

FILE = "ablation.csv"
STEPS = 600
#: How often every scene is recorded in every stratum.
REPEATS = {"train": 2, "tune": 1}
#: Of the head with all features and of those with one more, whose differences are held against the spread of these.
SEEDS = (0, 1, 2)
ALL = "all"
BLOCK = 8  # pixels: H.264's blocks of four have edges too, but its loop filter leaves those of eight the stronger
AUROC = {one.name: f"auroc {one.name}" for one in STRATA}
COLUMNS = (
    "features", "seed", "train_recordings", "tune_recordings", "tune_loss", *AUROC.values(), "p10", "p50", "p90"
)  # fmt: skip


def blockiness(frame: WorkingFrame) -> float:
    """Square root of Yim's and Bovik's blocking effect factor, grey levels: how much larger steps across the edges of
    the codec's blocks are than elsewhere. The blocks lie where the coding says, at the corner where it says nothing."""
    blocks = None if frame.coding is None else frame.coding.blocks
    phase = (0, 0) if blocks is None else (-blocks.top % BLOCK, -blocks.left % BLOCK)
    return float(np.sqrt(blocking_effect_factor(frame.luma, BLOCK, phase)))


def motion(window: Sequence[WorkingFrame]) -> float:
    """Mean length of the shift between the middle frame of ``window`` and the others, pixels, as fusion registers
    them; others that it cannot register are left out."""
    middle = window[len(window) // 2]
    lengths = []
    for other in window:
        found = None if other is middle else register(middle.luma, other.luma, "translation")
        if found is not None:
            lengths.append(float(np.hypot(*found.motion.displacement(middle.luma.shape))))
    return float(np.mean(lengths)) if lengths else 0.0


#: Features that the program does not have, each one number of the region.
CANDIDATES: dict[str, Callable[[Region], float]] = {
    "blockiness": lambda made: blockiness(made.frame),
    "motion": lambda made: motion(made.window(1)),
}


@dataclass(frozen=True)
class Shown:
    """A recording enlarged: its stratum, the features and candidates by name, |error| at every output pixel."""

    stratum: str
    planes: Mapping[str, np.ndarray]
    error: np.ndarray


def shown(pipeline: Pipeline, split: str, factor: int) -> Iterator[Shown]:
    """Every scene of ``split`` in every stratum, as often as :data:`REPEATS` says."""
    pictures = scenes.pictures(split)
    for repeat in range(REPEATS[split]):
        for number in range(len(pictures)):
            for stratum in STRATA:
                recording = recorded(pictures, number, stratum, split, factor, repeat=repeat)
                if recording is None:
                    continue
                made = enlarged(recording, pipeline)
                planes = planes_of(made)
                shape = next(iter(planes.values())).shape
                more = {name: np.full(shape, np.float32(of(recording))) for name, of in CANDIDATES.items()}
                yield Shown(stratum.name, planes | more, np.abs(made.output.to_working().luma - made.truth))


def variants() -> dict[str, tuple[str, ...]]:
    """Features of every head by what it is called: all; each left out; each group of several left out; one more."""
    found = {ALL: FEATURES}
    for group, members in GROUPS.items():
        for name in members:
            found[f"without {name}"] = tuple(one for one in FEATURES if one != name)
        if len(members) > 1:
            found[f"without group: {group}"] = tuple(one for one in FEATURES if one not in members)
    return found | {f"with {name}": (*FEATURES, name) for name in CANDIDATES}


def looked_at(head: Head, tune: Sequence[Shown]) -> dict[str, str]:
    """Pinball loss of log(1 + |error|), mean of the recordings' means, and AUROC by stratum."""
    losses = []
    ranked: dict[str, Ranked] = {}
    for one in tune:
        risk = on_output(head.risk(one.planes), (one.error.shape[0], one.error.shape[1]))
        beyond = np.log1p(one.error) - np.log1p(risk)
        losses.append(float(np.maximum(QUANTILE * beyond, (QUANTILE - 1.0) * beyond).mean(dtype=np.float64)))
        this = Ranked.of(risk, one.error)
        ranked[one.stratum] = ranked[one.stratum] + this if one.stratum in ranked else this
    auroc = {AUROC[name]: f"{ranked[name].auroc():.4f}" for name in AUROC}
    return {"tune_loss": f"{np.mean(losses):.5f}", **auroc}


def _head(data: bytes, features: tuple[str, ...]) -> Head:
    """As ``parse_head``, which refuses features that the program does not make."""
    import safetensors.torch

    model = network(len(features), WIDTH)
    model.load_state_dict(safetensors.torch.load(data))
    model.eval().requires_grad_(False)
    return Head(sha256_bytes(data), features, model)


def _spread(names: set[str], train: Sequence[Shown]) -> dict[str, str]:
    """Percentiles, over the recordings, of the mean of the one feature that makes the difference."""
    if len(names) != 1:
        return {}
    (name,) = names
    means = [float(one.planes[name].mean(dtype=np.float64)) for one in train]
    return {f"p{part}": f"{np.percentile(means, part):.3f}" for part in (10, 50, 90)}


def rows(pipeline: Pipeline, factor: int) -> Iterator[dict[str, str]]:
    """A row for each head."""
    train, tune = (list(shown(pipeline, split, factor)) for split in ("train", "tune"))
    counts = {"train_recordings": str(len(train)), "tune_recordings": str(len(tune))}
    for called, features in variants().items():
        examples = [Example(inputs(one.planes, features), np.log1p(one.error)) for one in train]
        more = _spread(set(FEATURES) ^ set(features), train)
        for seed in SEEDS if set(features) >= set(FEATURES) else SEEDS[:1]:
            data, _ = fitted(examples, features, STEPS, seed)
            yield {"features": called, "seed": str(seed), **counts, **looked_at(_head(data, features), tune), **more}


def path_of(model: str) -> Path:
    """Where the table of ``model`` lies."""
    return models_dir() / model / FILE


def write(pipeline: Pipeline, model: str) -> None:
    """Make the recordings, fit and look; a row is written as soon as there is one."""
    with path_of(model).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows(pipeline, load_card(model).scale):
            writer.writerow(row)
            stream.flush()


def documented(model: str) -> Iterator[str]:
    """The rows of docs/risk-map.md: losses by seed; AUROC by stratum, from least to largest where there are seeds."""
    heads: dict[str, list[Mapping[str, str]]] = {}
    with path_of(model).open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            heads.setdefault(row["features"], []).append(row)
    for called, found in heads.items():
        losses = ", ".join(f"{float(row['tune_loss']):.4f}" for row in found)
        ranges = []
        for column in AUROC.values():
            told = sorted({f"{float(row[column]):.3f}" for row in found})
            ranges.append(told[0] if len(told) == 1 else f"{told[0]} to {told[-1]}")
        yield f"| {called} | {losses} | {', '.join(ranges)} |"


if __name__ == "__main__":
    sys.stdout.write("".join(f"{line}\n" for line in documented(sys.argv[1])))
