"""The rows of docs/calibration.md that tell what a shipped calibration found, from the tables beside its card.

``python -m tests.calibration.documented`` prints them.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from forensic.resources import models_dir
from forensic.risk.calibration.binomial import clopper_pearson
from forensic.risk.calibration.breakdown import AREAS, BRIGHTNESS
from forensic.risk.calibration.judging import CALIBRATED
from forensic.risk.calibration.shelf import FILE
from tests.calibration import moving as thing
from tests.calibration import planted as planting
from tests.calibration import unfamiliar as other
from tests.calibration.recordings import STRATA

#: What recordings and pixels are told apart by, one by one and crossed.
PARTS = (*(f"brightness {one}" for one in BRIGHTNESS), *(f"area {one}" for one in AREAS))
CROSSED = tuple(f"area {area}, brightness {kind}" for area in AREAS for kind in BRIGHTNESS)
#: Models of which the rankings by part are told one by one; of all, the lowest and the highest.
TOLD = ("light-x4", "light-x2", "light-x1")
#: Kinds that were planted, a table each.
KINDS = planting.KINDS
IN_LOW = tuple(kind + added for kind in planting.IN_LOW for added in ("", planting.SILENT))
UNFAMILIAR = tuple(other.KINDS)
Evaluation = Mapping[tuple[str, str], Mapping[str, str]]
#: Scores that the learned one is held against, in words.
BASELINES = {
    "gradient": "gradient magnitude", "self-ensemble": "self-ensemble alone", "split-half": "split halves",
    "interpolation": "difference from bicubic", "reprojection": "reprojection residual",
}  # fmt: skip


def models() -> list[str]:
    """Every model that ships a calibration."""
    return sorted(path.parent.name for path in models_dir().glob(f"*/{FILE}"))


def calibration(model: str) -> dict[str, Any]:
    """Its artefact."""
    found: dict[str, Any] = json.loads((models_dir() / model / FILE).read_bytes())
    return found


def evaluation(model: str) -> Evaluation:
    """Rows of its ``evaluation.csv`` by stratum and what they tell."""
    return _table(model, "evaluation.csv")


def _table(model: str, name: str) -> Evaluation:
    with (models_dir() / model / name).open(encoding="utf-8", newline="") as file:
        return {(row["stratum"], row["what"]): row for row in csv.DictReader(file)}


def calibrated(model: str) -> Iterator[str]:
    """A row for each stratum: threshold, area, abstentions, failures at the threshold, why not the next one."""
    found = calibration(model)
    kinds = [claim["kind"] for claim in found["claims"]]
    for stratum in found["strata"]:
        name, n = stratum["name"].removeprefix("quantiser "), stratum["n"]
        steps = [sequence["steps"] for sequence in stratum["sequences"]]
        broken = [(kinds[place], taken[-1]) for place, taken in enumerate(steps) if taken and not taken[-1]["passed"]]
        after = "; ".join(f"{step['threshold']:g}: {kind} failed in {step['failures']}" for kind, step in broken)
        if stratum["threshold"] is None:
            yield f"| {model} | {name} | **no LOW** | - | - | - | {after} |"
            continue
        there = [next(s["failures"] for s in taken if s["threshold"] == stratum["threshold"]) for taken in steps]
        yield (
            f"| {model} | {name} | {stratum['threshold']:g} | {100 * stratum['low_area']:.1f} % | "
            f"{stratum['abstained']} of {n} | {' / '.join(map(str, there))} | {after or 'none: it was the last'} |"
        )


def _share(row: Mapping[str, str]) -> str:
    low, high = 100 * float(row["low"]), 100 * float(row["high"])
    return f"{100 * float(row['value']):.1f} % [{low:.1f}, {high:.1f}]"


def _count(row: Mapping[str, str]) -> str:
    return f"{row['value']} [{100 * float(row['low']):.1f}, {100 * float(row['high']):.1f} %]"


def _auroc(row: Mapping[str, str]) -> str:
    return f"{float(row['value']):.3f} [{float(row['low']):.3f}, {float(row['high']):.3f}]"


def best_baseline(found: Evaluation, stratum: str) -> str:
    """The score with the largest AUROC beside the learned one."""
    return max(
        (name for name in BASELINES if (stratum, f"AUROC, {name}") in found),
        key=lambda name: float(found[stratum, f"AUROC, {name}"]["value"]),
    )


def held_out(model: str) -> Iterator[str]:
    """A row for each stratum: the domain, failures, abstentions, LOW area, ranking against the best baseline."""
    found = evaluation(model)
    for one in STRATA:
        name, best = one.name.removeprefix("quantiser "), best_baseline(found, one.name)
        outside = _share(found[one.name, "outside the domain"])
        ranked = (
            f"{_auroc(found[one.name, 'AUROC, quantile/2'])} | {_auroc(found[one.name, f'AUROC, {best}'])}"
            f"{'' if best == 'gradient' else ', ' + BASELINES[best]} |"
        )
        if (one.name, "any claim failed, in the domain") not in found:
            yield f"| {model} | {name} | {outside} | **no LOW** | - | - | - | {ranked}"
            continue
        yield (
            f"| {model} | {name} | {outside} | {_count(found[one.name, 'any claim failed, in the domain'])} | "
            f"{_count(found[one.name, 'any claim failed, in the domain with LOW'])} | "
            f"{_share(found[one.name, 'no LOW tile, in the domain'])} | "
            f"{_share(found[one.name, 'LOW area, in the domain'])} | {ranked}"
        )


def leads(model: str) -> str:
    """By how much the AUROC is above that of the best baseline in each stratum, on the same draws of scenes."""
    found, cells = evaluation(model), []
    for one in STRATA:
        best = best_baseline(found, one.name)
        row = found[one.name, f"AUROC, quantile/2 less {best}"]
        against = "" if best == "gradient" else f" ({BASELINES[best]})"
        cells.append(f"{_auroc(row)}{against}")
    return f"| {model} | {' | '.join(cells)} |"


def ranked_by(model: str, what: str) -> str:
    """AUROC of the learned score and, in round brackets, of the gradient, of one brightness or kind of area."""
    found, cells = evaluation(model), []
    for one in STRATA:
        score, gradient = (found.get((one.name, f"AUROC, {name}, {what}")) for name in ("quantile/2", "gradient"))
        told = "-" if score is None or gradient is None else f"{_auroc(score)} ({float(gradient['value']):.3f})"
        cells.append(told)
    return f"| {model}, {what} | {' | '.join(cells)} |"


def ranked_over_all(what: str) -> str:
    """The lowest and the highest of these AUROCs of all models, and the fewest recordings that one comes from."""
    cells, n = [], []
    for one in STRATA:
        rows = [found[one.name, f"AUROC, quantile/2, {what}"] for found in map(evaluation, models())]
        values = [float(row["value"]) for row in rows]
        n += [int(row["n"]) for row in rows]
        cells.append(f"{min(values):.3f} to {max(values):.3f}")
    return f"| all ten, {what} (n at least {min(n)}) | {' | '.join(cells)} |"


def rankings() -> Iterator[str]:
    """Every row of the table of rankings by part."""
    for what in (*PARTS, *CROSSED):
        yield from (ranked_by(model, what) for model in (TOLD if what in PARTS else TOLD[:1]))
        yield ranked_over_all(what)


def planted(model: str, kinds: Sequence[str]) -> str:
    """What was caught of each of ``kinds``: of all tiles; of those that had been LOW, with the pictures in which all of
    these were caught, and in how many the gate spoke."""
    with (models_dir() / model / "planted.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    cells = []
    for kind in kinds:
        own = [row for row in rows if row["kind"] == kind]
        tiles, caught, before, of_those = (
            sum(int(row[name]) for row in own) for name in ("tiles", "caught", "low_before", "low_caught")
        )
        low = [row for row in own if int(row["low_before"])]
        whole = sum(row["low_caught"] == row["low_before"] for row in low)
        gate = sum(row["status"] != CALIBRATED for row in low)
        told = f"{caught} of {tiles}" if tiles else "none to plant"
        if low:
            limits = clopper_pearson(whole, len(low))
            told += f"; LOW: **{of_those} of {before}**, in {whole} of {len(low)} pictures all"
            told += f" [{100 * limits[0]:.0f}, {100 * limits[1]:.0f} %], the gate in {gate}"
        cells.append(told)
    return f"| {model} | {' | '.join(cells)} |"


def unfamiliar(model: str) -> str:
    """Of every material: how often the gate spoke, in how many recordings a claim failed, the AUROC."""
    rows, told = _table(model, "unfamiliar.csv"), (other.GATE, other.FAILED, "AUROC, quantile/2")
    cells = (", ".join(rows[kind, what]["value"] for what in told) for kind in UNFAMILIAR)
    return f"| {model} | {' | '.join(cells)} |"


def unfamiliar_limits() -> str:
    """The limits of every rate in the rows of :func:`unfamiliar`, in words."""
    found = [
        (int(count), int(n))
        for model in models()
        for (_, what), row in _table(model, "unfamiliar.csv").items()
        if what in (other.GATE, other.FAILED)
        for count, n in [row["value"].split("/")]
    ]
    return _limits(found)


def _limits(counts: Iterable[tuple[int, int]]) -> str:
    """The limits (95 %) of every rate, in words."""
    told = []
    for count, n in sorted(set(counts)):
        low, high = clopper_pearson(count, n)
        told.append(f"{count}/{n} [{100 * low:.0f}, {100 * high:.0f} %]")
    return ", ".join(told)


def several() -> list[str]:
    """Models of several frames: those that something was moved through."""
    return [model for model in models() if (models_dir() / model / "moving.csv").exists()]


def moving(model: str) -> Iterator[str]:
    """A row for each rate of what became of a thing that moves, at each speed: how often the gate spoke; in how many
    recordings a claim failed, the gate left out, and in the domain with LOW; in how many the thing's LOW was wrong."""
    rows = _table(model, "moving.csv")
    for crf in thing.CRFS:
        names = [f"CRF {crf:g}, {speed:g} pixels a frame" for speed in thing.SPEEDS]
        cells = (", ".join(rows[name, what]["value"] for what in thing.COUNTED) for name in names)
        yield f"| {model}, CRF {crf:g} | {' | '.join(cells)} |"


def moving_in_all(model: str) -> str:
    """Sums over rates and speeds, in words: recordings of the same scenes, so no rate of independent trials."""
    rows = _table(model, "moving.csv")
    sums = []
    for what in thing.COUNTED:
        found = [row["value"].split("/") for (_, told), row in rows.items() if told == what]
        sums.append(f"{sum(int(one) for one, _ in found)} of {sum(int(n) for _, n in found)}")
    return f"{model} {', '.join(sums)}"


def dispersed(model: str) -> str:
    """The lead over the self-ensemble and, in round brackets, its AUROC and the gradient's, on the same few scenes."""
    rows, cells = _table(model, "self-ensemble.csv"), []
    for one in STRATA:
        lead = rows[one.name, "AUROC, quantile/2 less self-ensemble"]
        others = (float(rows[one.name, f"AUROC, {name}"]["value"]) for name in ("self-ensemble", "gradient"))
        cells.append(f"{_auroc(lead)} ({', '.join(f'{value:.3f}' for value in others)})")
    return f"| {model}, {rows[STRATA[0].name, 'AUROC, quantile/2']['n']} scenes | {' | '.join(cells)} |"


def by_area(model: str, kind: str) -> str:
    """The row of a kind of area: LOW there, and how often it is wrong."""
    found = evaluation(model)
    strata = [one.name for one in STRATA]

    def told(what: str) -> list[str]:
        return [found[one, what]["value"] if (one, what) in found else "-" for one in strata]

    area = " / ".join(
        "-" if one == "-" else f"{100 * float(one):.1f} %" for one in told(f"LOW area, area {kind}, in the domain")
    )
    failed = {
        tolerance: ", ".join(told(f"share {tolerance} failed, area {kind}, in the domain with LOW"))
        for tolerance in (16, 32)
    }
    label = "" if model == "light-x4" else f"{model}: "
    return f"| {label}area {kind} | {area} | share at 16: {failed[16]}; at 32: {failed[32]} |"


def _where(model: str, stratum: str) -> str:
    return f"{model}, {stratum.removeprefix('quantiser ')}"


def worst(kind: str) -> Iterator[str]:
    """Of all models and strata: how much of a kind of area is LOW at most, in how many recordings, and how often it is
    wrong there at worst (of at least ten recordings)."""
    where, row = _largest(f"LOW area, area {kind}, in the domain", lambda one: float(one["value"]))
    yield f"at most {100 * float(row['value']):.1f} % of the pixels are LOW ({_where(*where)})"
    where, row = _largest(f"no LOW pixel, area {kind}, in the domain", lambda one: 1.0 - float(one["value"]))
    yield f"in up to {100 - 100 * float(row['value']):.0f} % of the recordings some are ({_where(*where)})"
    for tolerance in (16, 32):
        yield f"more than 5 % of them are off by more than {tolerance} in {_worst_share(kind, tolerance)}"


def worst_by_brightness(kind: str) -> Iterator[str]:
    """The same failures, crossed with the brightness of the recording."""
    for brightness in BRIGHTNESS:
        try:
            fails = [_worst_share(f"{kind}, brightness {brightness}", tolerance) for tolerance in (16, 32)]
        except ValueError:
            yield f"{brightness}: nowhere ten such recordings"
        else:
            yield f"{brightness}: by more than 16 in {fails[0]}, by more than 32 in {fails[1]}"


def _worst_share(kind: str, tolerance: int) -> str:
    what = f"share {tolerance} failed, area {kind}, in the domain with LOW"
    where, row = _largest(what, lambda one: int(one["value"].split("/")[0]) / int(one["n"]))
    limits = f"[{100 * float(row['low']):.0f}, {100 * float(row['high']):.0f} %]"
    return f"{row['value'].replace('/', ' of ')} {limits} ({_where(*where)})"


def _largest(what: str, value: Callable[[Mapping[str, str]], float]) -> tuple[tuple[str, str], Mapping[str, str]]:
    """Model and stratum whose row ``what``, of at least ten recordings, has the largest ``value``; and that row.

    Raises ``ValueError`` where no row has ten.
    """
    tables = {model: evaluation(model) for model in models()}
    held = {
        (model, one.name): found[one.name, what]
        for model, found in tables.items()
        for one in STRATA
        if (one.name, what) in found and int(found[one.name, what]["n"]) >= 10
    }
    where = max(held, key=lambda one: value(held[one]))
    return where, held[where]


if __name__ == "__main__":
    for rows in (calibrated, held_out):
        sys.stdout.write("".join(f"{row}\n" for model in models() for row in rows(model)))
    for kinds in (KINDS, IN_LOW):
        sys.stdout.write("".join(f"{planted(model, kinds)}\n" for model in models()))
    sys.stdout.write("".join(f"{row}\n" for row in (*map(leads, models()), *rankings())))
    sys.stdout.write("".join(f"{unfamiliar(model)}\n" for model in models()) + f"{unfamiliar_limits()}\n")
    sys.stdout.write("".join(f"{row}\n" for model in several() for row in (*moving(model), dispersed(model))))
    sys.stdout.write("; ".join(map(moving_in_all, several())) + "\n")
    sys.stdout.write("".join(f"{by_area(model, kind)}\n" for model in models() for kind in ("edge", "text-like")))
    for kind in ("edge", "text-like"):
        sys.stdout.write(f"{kind}: {'; '.join((*worst(kind), *worst_by_brightness(kind)))}\n")
