"""The risk map: overlay, legend and regions of every mapped frame, each page marked with what the map is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak

from forensic.report import pictures as shots
from forensic.report.blocks import (
    Content,
    Heading,
    PageMark,
    Picture,
    PictureRow,
    facts,
    notice,
    paragraph,
    table,
)
from forensic.report.legend import Legend
from forensic.report.record import RunRecord
from forensic.report.sections.calibration import UNCALIBRATED, calibration, judged, mark, status_of
from forensic.report.sections.invention import invented
from forensic.report.theme import SMALL, SUBHEADING, TEXT_HEIGHT, TEXT_WIDTH
from forensic.report.typeset import bold
from forensic.report.values import at, flatten, items, label, percent, spoken
from forensic.report.wording import word_list, words

REGIONS_SHOWN = 14
_HEIGHT, _LOWEST = 118 * mm, 62 * mm
_ABOVE = 62.0  # heading, caption and the space around them, in points
_ORDER = ("HIGH", "MEDIUM", "LOW")


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:.{digits}f}" if isinstance(value, (int, float)) and not isinstance(value, bool) else spoken(value)


def _printed(regions: list[Any]) -> list[Any]:
    """The regions to be printed: by level, then by number of tiles; those with a clipped worst tile always."""

    def rank(region: Any) -> tuple[int, int]:
        level, tiles = at(region, "level"), at(region, "tiles")
        place = _ORDER.index(level) if level in _ORDER else len(_ORDER)
        return place, -tiles if isinstance(tiles, int) else 0

    ranked = sorted(regions, key=rank)
    return [one for number, one in enumerate(ranked) if number < REGIONS_SHOWN or at(one, "driver") == "clipped"]


def _worst_tile(region: Any) -> str:
    """Risk and place of a region's worst tile: its upper left corner in output pixels, as those of regions are."""
    risk, corner = _number(at(region, "risk_p90")), items(at(region, "worst_tile"))
    return f"{risk} at {', '.join(spoken(one) for one in corner)}" if corner else risk


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
            _worst_tile(one),
            spoken(at(one, "driver")),
        ]
        for one in _printed(regions)
    ]
    header = ["No.", "Level", "Left, top", "Size", "Tiles", "Risk, worst tile", "Driver (uncalibrated)"]
    return [table(header, rows, (0.06, 0.11, 0.13, 0.14, 0.07, 0.19, 0.30))]


def _legend(thresholds: Any, shares: dict[str, float] | None) -> Legend:
    """Samples of the markings with thresholds and, for one frame, the share of the area."""
    medium, high = at(thresholds, "medium"), at(thresholds, "high")
    limits = (
        {}
        if thresholds is None
        else {
            "LOW": f", below {spoken(medium)}" if medium else words("risk", "legend_no_low"),
            "MEDIUM": f", from {spoken(medium)}",
            "HIGH": f", from {spoken(high)}",
        }
    )
    entries = []
    for level, key in (("LOW", "low"), ("MEDIUM", "medium"), ("HIGH", "high"), ("NOT ASSESSED", "none")):
        text = words("risk", f"legend_{key}") + limits.get(level, "")
        if level == "HIGH":
            text += words("risk", "legend_also")
        entries.append((level, text if shares is None else f"{text}: {percent(shares[level])}"))
    return Legend(entries)


def _not_printed(frame: Any) -> list[Flowable]:
    listed = items(at(frame, "regions"))
    rest = len(listed) - len(_printed(listed))
    unlisted = at(frame, "regions_not_listed")
    rest += unlisted if isinstance(unlisted, int) else 0
    order = [words("risk", "regions_order")] if listed else []
    more = [words("risk", "regions_rest").format(count=rest)] if rest else []
    return [paragraph(" ".join([*order, *more]), SMALL)] if order or more else []


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


def _without_strip(overlay: Image.Image, size: tuple[int, int]) -> tuple[Image.Image, bool]:
    """The overlay of an output of ``size`` (width, height) without the legend below it; whether any was cut off."""
    zoom, rest = divmod(overlay.width, size[0])
    if rest or zoom * size[1] >= overlay.height:
        return overlay, False
    return overlay.crop((0, 0, overlay.width, zoom * size[1])), True


def _mapped(record: RunRecord, frame: Any, thresholds: Any) -> list[Flowable]:
    number, files = spoken(at(frame, "frame")), at(frame, "files")
    status = status_of(at(frame, "summary"))
    overlay = shots.read_picture(record, spoken(at(files, "overlay")))
    for kind in ("risk", "level"):
        if at(files, kind) is not None:
            shots.check_file(record, spoken(at(files, kind)))
    below: list[Flowable] = []
    cut = False
    reason = at(frame, "summary", "reason_not_assessed")
    if isinstance(reason, str) and reason:
        below.append(paragraph([bold("Not assessed. "), reason]))
    if isinstance(at(files, "level"), str):
        name = str(at(files, "level"))
        shares = shots.level_shares(record, name)
        overlay, cut = _without_strip(overlay, shots.read_picture(record, name).size)
        below.append(_legend(at(frame, "summary", "thresholds") or thresholds, shares))
    below += judged(at(frame, "summary"))
    below += _regions(frame) + _not_printed(frame) + _measurements(at(frame, "summary"))
    below += [paragraph(f"Remark: {spoken(remark)}.", SMALL) for remark in items(at(frame, "summary", "remarks"))]
    taken = sum(one.wrap(TEXT_WIDTH, TEXT_HEIGHT)[1] + one.spaceBefore + one.spaceAfter for one in below)
    # The picture gives way, within limits, so that a frame fits on its page.
    image, width, height = shots.whole(overlay, TEXT_WIDTH, min(_HEIGHT, max(_LOWEST, TEXT_HEIGHT - taken - _ABOVE)))
    caption = f"{status} risk map of frame {number}: {spoken(at(files, 'overlay'))}. Not a probability."
    if status != UNCALIBRATED:
        caption = f"Risk map of frame {number}, {status}: {spoken(at(files, 'overlay'))}. Not a probability."
    if cut:
        caption += f" {words('risk', 'legend_strip')}"
    kind_of_map = "uncalibrated risk map" if status == UNCALIBRATED else f"risk map, {status}"
    return [
        Heading(f"Frame {number} (PTS {spoken(at(frame, 'pts'))}): {kind_of_map}", f"risk-{number}", 1),
        PictureRow([Picture(image, width, height, caption)]),
        *below,
        *invented(record, frame),
    ]


def _learned(mapped: Any) -> list[Flowable]:
    """What the numbers are where a frame's map shows an expected error instead of the measures' sum."""
    combinations = {spoken(at(frame, "summary", "combination")) for frame in items(at(mapped, "frames"))}
    learned = sorted(one for one in combinations if "quantile" in one)
    return [paragraph(words("risk", "learned").format(combination=one)) for one in learned]


def _about(mapped: Any) -> str:
    """Which of the wording's sentences says what the levels of the run's maps come from."""
    if status_of(mapped) != UNCALIBRATED:
        return "status_calibrated"
    # A frame that its calibration could not judge has no LOW; one without a calibration has an engineering threshold.
    return "status" if at(mapped, "calibration", "artefact") is None else "status_not_used"


def risk(record: RunRecord) -> list[Flowable]:
    """The whole section; each of its pages says that the map is uncalibrated, or what it is."""
    mapped = record.get("risk")
    status = status_of(mapped)
    about = words("risk", _about(mapped))
    story: list[Flowable] = [
        PageMark(mark(status)),
        notice(spoken(at(mapped, "status")), [about], "caution"),
        *(paragraph(text) for text in word_list("risk", "intro")),
        *_learned(mapped),
        *calibration(mapped, record.get("workspace", "id")),
        paragraph(words("risk", "legend")),
        _legend(at(mapped, "thresholds"), None),
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
        own = PageMark(mark(status_of(at(frame, "summary"))))
        story += [own, PageBreak(), *_mapped(record, frame, at(mapped, "thresholds"))]
    return [*story, PageMark("")]
