"""Output and its hashes; pictures before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, PageBreak

from forensic.report import pictures as shots
from forensic.report.blocks import Content, Heading, Picture, PictureRow, facts, keep_room, paragraph, table
from forensic.report.record import RunRecord
from forensic.report.sections.exhibit import colour_rows
from forensic.report.sections.summary import frames_text, geometry_text
from forensic.report.theme import SMALL, SUBHEADING, TEXT_WIDTH
from forensic.report.typeset import mono
from forensic.report.values import at, bytes_size, flatten, items, spoken
from forensic.report.wording import words

_GAP = 9.0
_CELL = 0.2 * mm  # printed size of one picture element in a detail
_DETAIL_HEIGHT = 52 * mm
_WHOLE_HEIGHT = 62 * mm


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
        ("Picture", geometry_text(at(result, "geometry"))),
        ("Sample aspect", spoken(at(result, "geometry", "sample_aspect"))),
        *colour_rows(at(result, "colour")),
        ("Time base", f"{spoken(at(result, 'time_base'))} s"),
        ("Frames", frames_text(record)),
        ("Merkle root of its frames", mono(spoken(at(frames, "merkle_root")))),
        ("List of frame hashes", mono(spoken(at(frames, "manifest")))),
        ("Attestation", ["attestation.json, SHA-256 ", mono(record.attestation_sha256)]),
    ]
    story: list[Flowable] = [paragraph(words("notes", "output_lossless")), facts(rows)]
    if at(result, "codec"):
        story += [keep_room(60), paragraph("Coding", SUBHEADING), facts(list(flatten(at(result, "codec"))), 0.32)]
    story += [keep_room(60), paragraph("Other tracks of the exhibit", SUBHEADING)]
    tracks = [("carried", one) for one in record.listed("tracks", "carried")]
    tracks += [("not carried", one) for one in record.listed("tracks", "not_carried")]
    if not tracks:
        story.append(paragraph(words("notes", "tracks_none")))
    else:
        rows_ = [
            [state, _facts_line(track), spoken(at(track, "reason")) if state != "carried" else ""]
            for state, track in tracks
        ]
        story.append(table(["State", "Track", "Reason"], rows_, (0.14, 0.46, 0.4)))
    return story


def _facts_line(track: Any) -> str:
    shown = {key: value for key, value in track.items() if key != "reason"} if isinstance(track, Mapping) else track
    return "; ".join(f"{name}: {value}" for name, value in flatten(shown))


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
        return [int(value) for value in roi]
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


def _detail(pair: _Comparison) -> PictureRow:
    before, after, scale = pair.before, pair.after, pair.scale
    enlarged = scale > 1
    units = 1 + 2 * scale if enlarged else 2.0
    gaps = _GAP * (2 if enlarged else 1)
    width = min(before.width, int((TEXT_WIDTH - gaps) / units / _CELL))
    height = min(before.height, int(_DETAIL_HEIGHT / scale / _CELL))
    x, y = shots.busiest(before, width, height)
    small = before.crop((x, y, x + width, y + height))
    edges = [round(x * scale), round(y * scale), round((x + width) * scale), round((y + height) * scale)]
    large = after.crop((edges[0], edges[1], min(edges[2], after.width), min(edges[3], after.height)))
    place = f"left {x}, top {y}, {width} × {height} elements"
    row = [Picture(shots.exact(small), width * _CELL, height * _CELL, f"Before, 1:1. {place}.")]
    printed = large.width * _CELL, large.height * _CELL
    if enlarged:
        repeated = small.resize(large.size, Image.Resampling.NEAREST)
        row.append(
            Picture(shots.exact(repeated), *printed, f"Before, elements repeated {scale:g} times to the same zoom.")
        )
    row.append(Picture(shots.exact(large), *printed, f"After, 1:1: {large.width} × {large.height} elements."))
    return PictureRow(row, _GAP)


def _difference(pair: _Comparison) -> list[Flowable]:
    if pair.reason is not None:
        return [paragraph(words("pictures", "no_difference").format(reason=pair.reason), SMALL)]
    measured = shots.difference(pair.before, pair.after)
    share = (TEXT_WIDTH - _GAP) / 2
    image, width, height = shots.whole(measured.image, share, _WHOLE_HEIGHT)
    limit = 128 // shots.GAIN
    caption = (
        f"Difference, gain {shots.GAIN}. In grey levels: mean of absolute values {measured.mean_absolute:.2f}, "
        f"99th percentile {measured.percentile_99}, largest {measured.largest}; "
        f"beyond ±{limit} and clipped here: {100 * measured.clipped_share:.2f} % of the area."
    )
    return [PictureRow([Picture(image, width, height, caption)], _GAP)]


def _still(record: RunRecord, still: Any) -> list[Flowable]:
    after_name, before_name = spoken(at(still, "after")), spoken(at(still, "before"))
    before, after = shots.read_picture(record, before_name), shots.read_picture(record, after_name)
    pair = _compare(record, before.convert("RGB"), after.convert("RGB"))
    share = (TEXT_WIDTH - _GAP) / 2
    row = []
    for title, name, picture in (("Before", before_name, pair.before), ("After", after_name, pair.after)):
        image, width, height = shots.whole(picture, share, _WHOLE_HEIGHT)
        row.append(Picture(image, width, height, f"{title}: {name}, {picture.width} × {picture.height} elements."))
    frame = spoken(at(still, "frame"))
    pts = at(still, "pts")
    if pts is None:
        pts = next(
            (at(one, "pts") for one in record.listed("risk", "frames") if at(one, "frame") == at(still, "frame")), None
        )
    when = "" if pts is None else f" (PTS {pts}, {record.seconds(pts)})"
    story: list[Flowable] = [
        keep_room(470),
        Heading(f"Frame {frame}{when}", f"frame-{frame}", 1),
        PictureRow(row, _GAP),
    ]
    if pair.reason is None:
        story.append(_detail(pair))
    return story + _difference(pair)


def pictures(record: RunRecord) -> list[Flowable]:
    """Before and after for every still of the run."""
    stills = record.listed("stills")
    if not stills:
        return [paragraph(words("notes", "stills_none"))]
    sentence = words("pictures", "difference").format(gain=shots.GAIN, limit=128 // shots.GAIN)
    story: list[Flowable] = [paragraph(f"{words('pictures', 'intro')} {words('pictures', 'detail')} {sentence}")]
    aspect = record.get("output", "geometry", "sample_aspect")
    if aspect not in (None, "1:1"):
        story.append(paragraph(f"{words('pictures', 'square')} The file asks for a sample aspect of {aspect}.", SMALL))
    for number, still in enumerate(stills):
        if number:
            story.append(PageBreak())
        story += _still(record, still)
    return story
