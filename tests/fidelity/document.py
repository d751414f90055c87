"""Writes the tables of ``docs/fidelity.md`` from the scores: the document and the CSV files cannot disagree."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np

from tests.fidelity import scores, tables, targets
from tests.fidelity.cells import CRFS, FACTORS, MOTIONS
from tests.fidelity.methods import CHAINS, KNOWN_BLUR, ONE_FRAME, RECIPES, REFERENCE
from tests.fidelity.statistics import bootstrap, difference

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "fidelity.md"
BEGIN, END = "<!-- measured: begin (python -m tests.fidelity --write) -->", "<!-- measured: end -->"
_MOTION = {"static": "static camera", "jitter": "camera jitter", "object": "moving object"}
_ORDER = (
    *CHAINS, *RECIPES[: RECIPES.index("fuse")], ONE_FRAME, "fuse", "fuse-locked", "multi", KNOWN_BLUR, "multi-locked"
)  # fmt: skip


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    head = list(header)
    return [
        "| " + " | ".join(head) + " |",
        "|" + " --- |" * len(head),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def _in_order(names: Iterable[str]) -> list[str]:
    return sorted(set(names), key=lambda name: (_ORDER.index(name) if name in _ORDER else len(_ORDER), name))


def _shown(crf: str) -> str:
    return "no codec" if crf == "none" else f"CRF {crf}"


def _gains(factor: int, motion: str, folder: Path | None) -> list[str]:
    found = {crf: scores.read(f"x{factor}-{motion}-{crf}", folder) for crf in CRFS}
    found = {crf: rows for crf, rows in found.items() if rows}
    if not found:
        return []
    counts = sorted({len({row.scene for row in rows}) for rows in found.values()})
    lines = [
        f"### ×{factor}, {_MOTION[motion]} ({' to '.join(map(str, sorted({counts[0], counts[-1]})))} scenes)",
        "",
        "PSNR-Y of bicubic in dB; of every other method its gain over bicubic, with 95 % interval.",
        "",
    ]
    measures = [("psnr_y", "")] + ([("psnr_object", ", within the moving object")] if motion == "object" else [])
    rows = []
    for measure, words in measures:
        for name in _in_order(row.method for part in found.values() for row in part):
            line = [name + words]
            for part in found.values():
                own, base = (
                    {row.scene: getattr(row, measure) for row in part if row.method == method}
                    for method in (name, REFERENCE)
                )
                if name == REFERENCE:
                    line.append(f"{bootstrap(list(own.values())).mean:.2f}" if own else "–")
                else:
                    gain = difference(own, base)
                    few = "" if gain is None or gain.count == len(base) else f" ({gain.count} scenes)"
                    line.append("–" if gain is None else gain.shown() + few)
            rows.append(line)
    return [*lines, *_table(["method", *map(_shown, found)], rows), ""]


def _mean(values: Iterable[float], digits: int) -> str:
    kept = [value for value in values if np.isfinite(value)]
    return f"{np.mean(kept):.{digits}f}" if kept else "–"


def _details(folder: Path | None) -> list[str]:
    rows = []
    for crf in CRFS:
        part = scores.read(f"x4-jitter-{crf}", folder)
        for name in _in_order(row.method for row in part):
            own = [row for row in part if row.method == name]
            rows.append(
                [_shown(crf), name]
                + [_mean((getattr(row, measure) for row in own), digits)
                   for measure, digits in (("psnr_y", 2), ("ssim_y", 4), ("psnr_b", 2))]
                + [_interval(getattr(row, measure) for row in own) for measure in ("overshoot", "blocks", "mosquito")]
            )  # fmt: skip
    if not rows:
        return []
    header = ["codec", "method", "PSNR-Y dB", "SSIM-Y", "PSNR-B dB", "overshoot", "block steps", "mosquito"]
    words = "Means over scenes; of the artefacts with 95 % interval, over the scenes that have such places."
    return ["### ×4, camera jitter: all measures", "", words, "", *_table(header, rows), ""]


def _interval(values: Iterable[float]) -> str:
    kept = [value for value in values if np.isfinite(value)]
    return bootstrap(kept).shown(2, sign=False) if kept else "–"


def _plates(folder: Path | None) -> list[str]:
    found = tables.read("plates", folder)
    lines = ["### Plates: character accuracy by an independent OCR", ""]
    if not found:
        return [*lines, "Not measured.", ""]
    crfs = list(dict.fromkeys(row["crf"] for row in found))
    rows = []
    for name in [*_in_order(row["method"] for row in found if row["method"] != "truth"), "truth"]:
        line = [name if name != "truth" else "the truth itself"]
        for crf in crfs:
            values = [float(row["accuracy"]) for row in found if row["method"] == name and row["crf"] == crf]
            line.append(f"{bootstrap(values).shown(2, sign=False)}, {len(values)}" if values else "–")
        rows.append(line)
    return [*lines, "Mean with 95 % interval, number of plates.", "", *_table(["method", *map(_shown, crfs)], rows), ""]


def _flicker(folder: Path | None) -> list[str]:
    found = tables.read("flicker", folder)
    if not found:
        return ["### Flicker", "", "Not measured.", ""]
    crfs = list(dict.fromkeys(row["crf"] for row in found))
    count = len({row["scene"] for row in found})
    lines = [
        "### Flicker",
        "",
        f"×4, camera jitter, {count} scenes, five consecutive frames: RMS difference of each frame to the next moved "
        "back by the true displacement, above the clean footage's own, in grey levels with 95 % interval; and PSNR-Y "
        "of the same frames; number of scenes. A blurred picture flickers less: read both.",
        "",
        *_over(found, crfs, _flickers),
        "",
    ]
    for measure, words in (
        ("tof", "tOF of the same clips: mean length of the difference between the result's flow and the clean "
                "footage's, in pixels of the result, with 95 % interval."),
        ("still", "A camera at rest: standard deviation over the five frames, root mean square over the picture, in "
                  "grey levels with 95 % interval (the clean footage: 0)."),
    ):  # fmt: skip
        rows = [row for row in found if row.get(measure)]
        if rows:
            table = _over(rows, crfs, partial(_shown_mean, measure))
            lines += [words, "", *table, ""]
    return lines


def _over(found: list[dict[str, str]], crfs: list[str], cell: Callable[[list[dict[str, str]]], str]) -> list[str]:
    rows = []
    for name in _in_order(row["method"] for row in found):
        parts = [[row for row in found if row["method"] == name and row["crf"] == crf] for crf in crfs]
        rows.append([name, *(cell(own) if own else "–" for own in parts)])
    return _table(["method", *map(_shown, crfs)], rows)


def _flickers(own: list[dict[str, str]]) -> str:
    above = bootstrap([float(row["above"]) for row in own]).shown(2)
    return f"{above}; {_mean((float(row['psnr_y']) for row in own), 2)} dB; {len(own)}"


def _shown_mean(name: str, own: list[dict[str, str]]) -> str:
    return f"{bootstrap([float(row[name]) for row in own]).shown(2, sign=False)}; {len(own)}"


def _rest(folder: Path | None) -> list[str]:
    lines: list[str] = []
    step = {(row["method"], row["optics"]): row for row in tables.read("step", folder)}
    if step:
        blurs = list(dict.fromkeys(optics for _, optics in step))
        rows = [
            [name]
            + [
                f"{row['mean']}, at most {row['largest']}" if (row := step.get((name, optics))) else "–"
                for optics in blurs
            ]
            for name in _in_order(name for name, _ in step)
        ]
        lines += ["### Overshoot at a clean step from 50 to 200, ×4, grey levels (mean over sub-pixel places)", ""]
        lines += [*_table(["method", *(f"optics {optics} px" for optics in blurs)], rows), ""]
    set5 = tables.read("set5", folder)
    if set5:
        rows = []
        for name in _in_order(row["method"] for row in set5):
            own = [row for row in set5 if row["method"] == name]
            rows.append(
                [name, _mean((float(row["psnr_y"]) for row in own), 2), _mean((float(row["ssim_y"]) for row in own), 4)]
            )
        lines += ["### Set5, antialiased bicubic ×4, no noise, no codec (single-frame methods)", ""]
        lines += [*_table(["method", "PSNR-Y dB", "SSIM-Y"], rows), ""]
    cost = {row["method"]: row for row in tables.read("cost", folder)}
    if cost:
        processors = ", ".join(sorted({row["processor"] for row in cost.values()}))
        rows = [[name, cost[name]["seconds"], cost[name]["memory_mb"] or "not measured"] for name in _in_order(cost)]
        lines += [f"### Cost: 320×180 → 1280×720, luma, one thread, {processors}", ""]
        words = (
            "Processor seconds for one frame with its neighbours"
            ", whole pipeline; memory that the method added at its peak."
        )
        lines += [words, "", *_table(["method", "seconds", "MB"], rows), ""]
    return lines


def measured(folder: Path | None = None) -> str:
    """The generated part of the document."""
    outcome_rows = [[each.target, each.found, each.verdict] for each in targets.outcomes(folder)]
    lines = ["## Targets", "", *_table(["target", "measured", "verdict"], outcome_rows), "", "## Tables", ""]
    for factor in reversed(FACTORS):
        for motion in ("jitter", *(each for each in MOTIONS if each != "jitter")):
            lines += _gains(factor, motion, folder)
    lines += _details(folder) + _plates(folder) + _flicker(folder) + _rest(folder)
    return "\n".join(lines).rstrip("\n") + "\n"


def combined(text: str, folder: Path | None = None) -> str:
    """``text`` of the document with its generated part renewed. Raises ``ValueError`` without the markers."""
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise ValueError("docs/fidelity.md has lost its markers")
    return f"{before}{BEGIN}\n\n{measured(folder)}\n{END}{after}"


def write() -> None:
    """Renew ``docs/fidelity.md``."""
    DOCUMENT.write_text(combined(DOCUMENT.read_text("utf-8")), "utf-8")
