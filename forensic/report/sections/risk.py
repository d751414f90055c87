"""The risk map: overlay, legend and regions of every mapped frame, marked uncalibrated throughout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak

from forensic.report import pictures as shots
from forensic.report.blocks import (
    Content,
    Heading,
    PageMark,
    Picture,
    PictureRow,
    bullets,
    facts,
    notice,
    paragraph,
    table,
)
from forensic.report.record import RunRecord
from forensic.report.theme import SMALL, SUBHEADING, TEXT_WIDTH
from forensic.report.typeset import bold
from forensic.report.values import at, flatten, items, label, percent, spoken
from forensic.report.wording import word_list, words

REGIONS_SHOWN = 14
_HEIGHT = 118 * mm


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else spoken(value)


def _regions(frame: Any) -> list[Flowable]:
    regions = items(at(frame, "regions"))
    if not regions:
        rest = at(frame, "regions_not_listed") or 0
        return [paragraph(words("risk", "regions_none"))] if not rest else []
    rows: list[list[Content]] = [
        [
            spoken(at(one, "number")),
            bold(spoken(at(one, "level"))),
            f"{spoken(at(one, 'x'))}, {spoken(at(one, 'y'))}",
            f"{spoken(at(one, 'w'))} × {spoken(at(one, 'h'))}",
            spoken(at(one, "tiles")),
            _number(at(one, "risk_p90")),
            spoken(at(one, "driver")),
        ]
        for one in regions[:REGIONS_SHOWN]
    ]
    header = ["No.", "Level", "Left, top", "Size", "Tiles", "Risk, worst tile", "Driver (uncalibrated)"]
    return [table(header, rows, (0.07, 0.12, 0.14, 0.15, 0.09, 0.16, 0.27))]


def _not_printed(frame: Any) -> list[Flowable]:
    listed = items(at(frame, "regions"))
    rest = max(0, len(listed) - REGIONS_SHOWN)
    unlisted = at(frame, "regions_not_listed")
    rest += unlisted if isinstance(unlisted, int) else 0
    return [paragraph(words("risk", "regions_rest").format(count=rest), SMALL)] if rest else []


def _measurements(summary: Any) -> list[Flowable]:
    """Quantiles of whatever the frame's summary measured, one row per measurement."""
    rows: dict[str, Any] = {}
    for key, value in summary.items() if isinstance(summary, Mapping) else []:
        if isinstance(value, Mapping) and "p90" in value:
            rows[label(str(key))] = value
        for inner, part in value.items() if isinstance(value, Mapping) else []:
            if isinstance(part, Mapping) and "p90" in part:
                rows[f"{label(str(key))}, {str(inner).replace('_', ' ')}"] = part
    if not rows:
        return []
    columns = [name for name in ("p50", "p90", "p99", "max") if any(name in row for row in rows.values())]
    cells: list[list[Content]] = [
        [name, *(_number(row.get(column)) for column in columns)] for name, row in rows.items()
    ]
    header = ["Measured, in grey levels (uncalibrated)", *("Largest" if c == "max" else label(c) for c in columns)]
    return [table(header, cells, (0.48, *([0.13] * len(columns))))]


def _mapped(record: RunRecord, frame: Any) -> list[Flowable]:
    number, files = spoken(at(frame, "frame")), at(frame, "files")
    overlay = shots.read_picture(record, spoken(at(files, "overlay")))
    for kind in ("risk", "level"):
        if at(files, kind) is not None:
            shots.check_file(record, spoken(at(files, kind)))
    image, width, height = shots.whole(overlay, TEXT_WIDTH, _HEIGHT)
    caption = f"UNCALIBRATED risk map of frame {number}: {spoken(at(files, 'overlay'))}. Not a probability."
    story: list[Flowable] = [
        Heading(f"Frame {number} (PTS {spoken(at(frame, 'pts'))}): uncalibrated risk map", f"risk-{number}", 1),
        PictureRow([Picture(image, width, height, caption)]),
    ]
    reason = at(frame, "summary", "reason") or at(frame, "summary", "not_assessed")
    if isinstance(reason, str) and reason:
        story.append(paragraph([bold("Not assessed. "), reason]))
    if isinstance(at(files, "level"), str):
        shares = shots.level_shares(record, str(at(files, "level")))
        text = ", ".join(f"{level} {percent(share)}" for level, share in shares.items())
        story.append(paragraph(f"Share of the area: {text}. UNCALIBRATED.", SMALL))
    story += _regions(frame) + _not_printed(frame)
    return story + _measurements(at(frame, "summary"))


def risk(record: RunRecord) -> list[Flowable]:
    """The whole section; each of its pages says that the map is uncalibrated."""
    mapped = record.get("risk")
    story: list[Flowable] = [
        PageMark(words("title", "uncalibrated_mark")),
        notice(spoken(at(mapped, "status")), [words("risk", "status")], "caution"),
        *(paragraph(text) for text in word_list("risk", "intro")),
        *bullets([words("risk", f"legend_{key}") for key in ("low", "medium", "high", "none")]),
        paragraph("Thresholds, in grey levels of the 8-bit scale", SUBHEADING),
        facts(
            [
                ("Tile", f"{spoken(at(mapped, 'tile'))} × {spoken(at(mapped, 'tile'))} picture elements"),
                *flatten(at(mapped, "thresholds")),
            ],
            0.38,
        ),
        paragraph("Model of the camera that was assumed", SUBHEADING),
        facts(list(flatten(at(mapped, "forward_model"))), 0.38),
    ]
    frames = items(at(mapped, "frames"))
    if not frames:
        story.append(paragraph(words("notes", "risk_none")))
    for frame in frames:
        story += [PageBreak(), *_mapped(record, frame)]
    return [*story, PageMark("")]
