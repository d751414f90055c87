"""Output and its hashes; pictures before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak

from forensic.report import pictures as shots
from forensic.report.blocks import Content, Heading, Picture, PictureRow, facts, keep_room, paragraph, table, titled
from forensic.report.record import RunRecord
from forensic.report.sections.combined import combined
from forensic.report.sections.exhibit import colour_rows
from forensic.report.sections.summary import frames_text, geometry_text
from forensic.report.theme import SMALL, SUBHEADING, TEXT_WIDTH
from forensic.report.typeset import mono
from forensic.report.values import at, bytes_size, flatten, in_one_line, items, percent, spoken, stated
from forensic.report.wording import words

_GAP = 9.0
_CELL = 0.2 * mm  # printed size of one picture element in a detail
_NARROWEST = 84.0  # column of a small picture, so that its caption can be read
_DETAIL_HEIGHT = 62 * mm
_WHOLE_HEIGHT = 62 * mm
_DIFFERENCE_HEIGHT = 74 * mm


def _invisible_mark(mark: object) -> list[tuple[str, Content]]:
    """The mark in generative pixels by which they are known when acquired again; other outputs have none."""
    if not isinstance(mark, dict):
        return []
    least, most = [*items(mark.get("grey_levels")), None, None][:2]
    told = f"{spoken(mark.get('scheme'))}, {spoken(least)} to {spoken(most)} grey levels, keys "
    return [("Invisible mark", [told, mono(f"{spoken(mark.get('public_key_id'))} {spoken(mark.get('run_key_id'))}")])]


def output(record: RunRecord) -> list[Flowable]:
    """The output file, its hashes and the other tracks."""
    result = record.get("output")
    frames = at(result, "frames")
    rows: list[tuple[str, Content]] = [
        ("File", mono(spoken(at(result, "file")))),
        ("SHA-256", mono(spoken(at(result, "sha256")))),
        ("Size", bytes_size(at(result, "size"))),
        ("Class of its pictures", record.stage_class.label),
        ("Label burned in", spoken(at(result, "labelled"))),
        *_invisible_mark(at(result, "watermark")),
        ("Picture", geometry_text(at(result, "geometry"))),
        ("Sample aspect", stated(at(result, "geometry", "sample_aspect"))),
        *colour_rows(at(result, "colour"), at(result, "geometry")),
        ("Time base", f"{spoken(at(result, 'time_base'))} s"),
        ("Frames", frames_text(record)),
        ("Merkle root of its frames", mono(spoken(at(frames, "merkle_root")))),
        ("List of frame hashes", mono(spoken(at(frames, "manifest")))),
        ("Attestation", ["attestation.json, SHA-256 ", mono(record.attestation_sha256)]),
    ]
    story: list[Flowable] = [paragraph(words("notes", "output_lossless")), facts(rows)]
    if at(result, "codec"):
        story += titled("Coding", facts(list(flatten(at(result, "codec"))), 0.36))
    carried, left = record.listed("tracks", "carried"), record.listed("tracks", "not_carried")
    if carried:
        story += titled("Other tracks carried to the output", table(["Track"], [[in_one_line(one)] for one in carried],
                                                                    (1.0,)))  # fmt: skip
    else:
        story += [paragraph("Other tracks carried to the output", SUBHEADING), paragraph(words("notes", "tracks_none"))]
    story += [keep_room(90), paragraph("Not carried to the output", SUBHEADING)]
    if not left:
        return [*story, paragraph(words("notes", "not_carried_none"))]
    rows_: list[list[Content]] = [[_facts_line(one), spoken(at(one, "reason"))] for one in left]
    return [*story, paragraph(words("notes", "not_carried")), table(["What", "Reason"], rows_, (0.55, 0.45))]


def _facts_line(track: Any) -> str:
    shown = {key: value for key, value in track.items() if key != "reason"} if isinstance(track, Mapping) else track
    return in_one_line(shown)


@dataclass(frozen=True)
class _Comparison:
    """Source and output brought to one field of view; ``reason`` says why not, where that failed."""

    before: Image.Image
    after: Image.Image
    scale: float
    reason: str | None


def _crop_of(record: RunRecord) -> list[int] | None:
    roi = items(record.get("selection", "roi"))
    if len(roi) == 4:
        return [int(value) for value in roi] if all(isinstance(value, int) for value in roi) else None
    crops = [stage for stage in record.listed("recipe", "stages") if at(stage, "name") == "crop"]
    if len(crops) != 1:
        return None
    values = [at(crops[0], "parameters", key, "value") for key in ("x", "y", "width", "height")]
    return [int(value) for value in values] if all(isinstance(value, int) for value in values) else None


def _compare(record: RunRecord, before: Image.Image, after: Image.Image) -> _Comparison:
    moved = [
        spoken(at(stage, "title"))
        for stage in record.listed("recipe", "stages")
        if at(stage, "class") == "geometric" and at(stage, "name") not in ("crop", "resize")
    ]
    crops = [stage for stage in record.listed("recipe", "stages") if at(stage, "name") == "crop"]
    box = _crop_of(record)
    if moved:
        return _Comparison(before, after, 1.0, f"the picture was moved or reshaped by: {', '.join(moved)}.")
    if len(crops) > 1:
        return _Comparison(before, after, 1.0, "the picture was cropped more than once.")
    if box is not None:
        left, top, width, height = box
        if min(left, top) < 0 or left + width > before.width or top + height > before.height:
            return _Comparison(before, after, 1.0, "the region of interest does not lie within the source frame.")
        before = before.crop((left, top, left + width, top + height))
    scale_x, scale_y = after.width / before.width, after.height / before.height
    if abs(scale_x - scale_y) > 0.01 * scale_x or scale_x < 1:
        reason = f"width changed by {scale_x:.3f} and height by {scale_y:.3f}; the pictures do not lie on one another."
        return _Comparison(before, after, 1.0, reason)
    return _Comparison(before, after, scale_x, None)


def _detail_box(pair: _Comparison) -> tuple[int, int, int, int]:
    """The detail (x, y, width, height) in elements of the source."""
    printed = TEXT_WIDTH - (2 * _GAP if pair.scale > 1 else _GAP)
    # Before alone, then twice the size of after; the first column stays wide enough for its caption.
    share = printed / (1 + 2 * pair.scale) if pair.scale > 1 else printed / 2
    if pair.scale > 1 and share < _NARROWEST:
        share = (printed - _NARROWEST) / (2 * pair.scale)
    width = min(pair.before.width, int(share / _CELL))
    height = min(pair.before.height, int(_DETAIL_HEIGHT / pair.scale / _CELL))
    return (*shots.busiest(pair.before, width, height), width, height)


def _detail(pair: _Comparison, box: tuple[int, int, int, int], beside: Image.Image | None) -> PictureRow:
    scale, (x, y, width, height) = pair.scale, box
    small = pair.before.crop((x, y, x + width, y + height))
    edges = [round(x * scale), round(y * scale), round((x + width) * scale), round((y + height) * scale)]
    large = pair.after.crop((edges[0], edges[1], min(edges[2], pair.after.width), min(edges[3], pair.after.height)))
    place = f"left {x}, top {y}, {width} × {height} elements"
    row = [Picture(shots.exact(small), width * _CELL, height * _CELL, f"Before, 1:1: {place}.")]
    printed = large.width * _CELL, large.height * _CELL
    if beside is not None and beside.size == pair.after.size:
        shown = beside.crop((edges[0], edges[1], min(edges[2], beside.width), min(edges[3], beside.height)))
        row.append(Picture(shots.exact(shown), *printed, "Without what invents, 1:1: the same place."))
    elif scale > 1:
        repeated = small.resize(large.size, Image.Resampling.NEAREST)
        caption = f"Before, each element repeated to the same zoom ({scale:g} times)."
        row.append(Picture(shots.exact(repeated), *printed, caption))
    row.append(Picture(shots.exact(large), *printed, f"After, 1:1: {large.width} × {large.height} elements."))
    return PictureRow(row, _GAP, narrowest=_NARROWEST)


def _difference(pair: _Comparison, tallest: float) -> list[Flowable]:
    if pair.reason is not None:
        return [paragraph(words("pictures", "no_difference").format(reason=pair.reason), SMALL)]
    measured = shots.difference(pair.before, pair.after)
    reduced, side = shots.darkest(measured.image, TEXT_WIDTH * 0.78, tallest)
    image, width, height = shots.whole(reduced, TEXT_WIDTH * 0.78, tallest)
    limit = 255 // measured.gain
    block = f" Each printed element shows the largest difference of {side} × {side} elements." if side > 1 else ""
    caption = (
        f"Difference, amplified {measured.gain} times. In grey levels: mean of absolute values "
        f"{measured.mean_absolute:.2f}, 99th percentile {measured.percentile_99}, largest {measured.largest}; "
        f"beyond {limit} and black here: {percent(measured.clipped_share)} of the area; "
        f"different at all: {percent(measured.changed_share)}.{block}"
    )
    return [PictureRow([Picture(image, width, height, caption)], _GAP)]


def _fractions(box: tuple[int, int, int, int], size: tuple[int, int]) -> tuple[float, float, float, float]:
    return box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]


def _still(record: RunRecord, still: Any, tallest: float) -> list[Flowable]:
    after_name, before_name = spoken(at(still, "after")), spoken(at(still, "before"))
    before, after = shots.read_picture(record, before_name), shots.read_picture(record, after_name)
    pair = _compare(record, before.convert("RGB"), after.convert("RGB"))
    box = None if pair.reason is not None else _detail_box(pair)
    shown = [("Before", before_name, pair.before), ("After", after_name, pair.after)]
    beside = None
    if (beside_name := at(still, "beside")) is not None:
        beside = shots.read_picture(record, spoken(beside_name)).convert("RGB")
        shown.insert(1, ("Without what invents", spoken(beside_name), beside))
    share = (TEXT_WIDTH - _GAP * (len(shown) - 1)) / len(shown)
    row = []
    for title, name, picture in shown:
        image, width, height = shots.whole(picture, share, _WHOLE_HEIGHT)
        caption = f"{title}: {name}, {picture.width} × {picture.height} elements."
        row.append(Picture(image, width, height, caption, box and _fractions(box, pair.before.size)))
    frame = spoken(at(still, "frame"))
    pts = at(still, "pts")
    if pts is None:
        pts = next(
            (at(one, "pts") for one in record.listed("risk", "frames") if at(one, "frame") == at(still, "frame")), None
        )
    when = "" if pts is None else f" (PTS {pts}, {record.seconds(pts)})"
    story: list[Flowable] = [
        keep_room(430),
        Heading(f"Frame {frame}{when}", f"frame-{frame}", 1),
        PictureRow(row, _GAP),
    ]
    if box is not None:
        story.append(_detail(pair, box, beside))
    return story + _difference(pair, tallest)


def _about_beside(record: RunRecord) -> list[Flowable]:
    """What stands beside the pictures of a generative run, or why nothing does."""
    if not record.generative:
        return []
    told = record.get("beside")
    if told is None or at(told, "why_none") is not None:
        why = "the record of this run does not have one" if told is None else spoken(at(told, "why_none"))
        return [paragraph(words("pictures", "no_beside").format(reason=why))]
    changed = [
        f"{spoken(at(stage, 'name'))} left out" if at(stage, "shown_as") is None else
        f"{spoken(at(stage, 'name'))} replaced by {spoken(at(stage, 'shown_as'))}"
        for stage in items(at(told, "stages"))
        if at(stage, "shown_as") != at(stage, "name")
    ]  # fmt: skip
    return [paragraph(words("pictures", "beside").format(stages="; ".join(changed)))]


def pictures(record: RunRecord) -> list[Flowable]:
    """Before and after for every still of the run."""
    stills = record.listed("stills")
    if not stills:
        return [paragraph(words("notes", "stills_none"))]
    intro = " ".join(words("pictures", key) for key in ("intro", "detail", "difference"))
    story: list[Flowable] = [paragraph(intro), *_about_beside(record)]
    aspect = record.get("output", "geometry", "sample_aspect")
    if aspect not in (None, "1:1"):
        story.append(paragraph(f"{words('pictures', 'square')} The file asks for a sample aspect of {aspect}.", SMALL))
    for number, still in enumerate(stills):
        if number:
            story.append(PageBreak())
        # The first frame shares its page with the introduction.
        story += _still(record, still, _DIFFERENCE_HEIGHT if number else _DIFFERENCE_HEIGHT * 0.6)
    return story + combined(record)
