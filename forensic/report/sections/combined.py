"""How many frames a picture was made of, and how far two halves of them differ: with what that shows and does not."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from forensic.errors import BadInput
from forensic.report import pictures as shots
from forensic.report.blocks import Content, Heading, Picture, PictureRow, keep_room, paragraph, table
from forensic.report.greyscale import GreyScale, GreyScales
from forensic.report.record import RunRecord
from forensic.report.theme import SMALL, SUBHEADING, TEXT_WIDTH
from forensic.report.values import at, items, percent, spoken
from forensic.report.wording import word_list, words

_GAP = 9.0
_HEIGHT = 58 * mm
_LIMITS = (8, 16, 32, 64, 128, 255)
_UNITS = 256


def combined(record: RunRecord) -> list[Flowable]:
    """The part on combined frames, after the pictures; empty for a run whose stages combine none."""
    told = record.get("fusion")
    if told is None:
        return []
    if at(told, "units_per_grey_level") != _UNITS or at(told, "units_per_frame") != _UNITS:
        raise BadInput("report.record", "The units of the files on combined frames are not known.")
    stage = f"{spoken(at(told, 'stage', 'position'))}, {spoken(at(told, 'stage', 'name'))}"
    story: list[Flowable] = [
        keep_room(260),
        Heading(words("combined", "heading"), "combined", 1),
        paragraph(words("combined", "intro").format(stage=stage)),
        *(paragraph(text) for text in word_list("combined", "meaning")),
    ]
    if at(told, "halves_of") != "result":
        story.append(paragraph(words("combined", "before_model"), SMALL))
    if items(at(told, "not_told")):
        others = ", ".join(spoken(one) for one in items(at(told, "not_told")))
        story.append(paragraph(words("combined", "not_told").format(stages=others), SMALL))
    for frame in items(at(told, "frames")):
        story += _frame(record, frame)
    return story


def _numbers(record: RunRecord, name: Any) -> np.ndarray:
    return np.asarray(shots.read_picture(record, spoken(name))).astype(np.float32) / np.float32(_UNITS)


def _frame(record: RunRecord, frame: Any) -> list[Flowable]:
    number, files = spoken(at(frame, "frame")), at(frame, "files")
    shots.check_file(record, spoken(at(files, "weights")))
    window = len(items(at(frame, "window")))
    share = (TEXT_WIDTH - _GAP) / 2
    effective = _numbers(record, at(files, "effective"))
    most = max(2, window)
    grey = np.clip((effective - 1.0) / np.float32(most - 1) * np.float32(255.0), 0, 255).astype(np.uint8)
    picture, width, height = shots.whole(Image.fromarray(grey), share, _HEIGHT)
    ticks = sorted({1, (most + 1) // 2, most})
    about = words("combined", "effective").format(
        file=spoken(at(files, "effective")),
        mean=f"{float(at(frame, 'effective_frames') or 0):.2f}",
        alone=percent(at(frame, "single_frame_share")),
    )
    row = [Picture(picture, width, height, about)]
    scales = [GreyScale(words("combined", "effective_scale"), 1.0, float(most), ticks, dark_first=True)]
    split, rows = at(frame, "split_half"), []
    if split is not None:
        even, odd = (_numbers(record, at(files, kind)) for kind in ("even", "odd"))
        apart = np.abs(even - odd)
        limit = next((one for one in _LIMITS if float(at(split, "p99") or 0.0) <= one / 2), _LIMITS[-1])
        shown = Image.fromarray((255 - np.minimum(apart * np.float32(255.0 / limit), 255)).astype(np.uint8))
        reduced, side = shots.darkest(shown, share, _HEIGHT)
        picture, width, height = shots.whole(reduced, share, _HEIGHT)
        block = f" {words('combined', 'block').format(side=side)}" if side > 1 else ""
        names = {kind: spoken(at(files, kind)) for kind in ("even", "odd")}
        row.append(Picture(picture, width, height, words("combined", "halves").format(**names) + block))
        scales.append(
            GreyScale(words("combined", "halves_scale"), 0.0, float(limit), (0, limit / 2, limit), dark_first=False)
        )
        keys = ("mean", "p50", "p90", "p99", "max")
        cells: list[list[Content]] = [["Difference of the halves", *(f"{float(at(split, key)):.2f}" for key in keys)]]
        heads = ["In grey levels of the 8-bit scale", "Mean", "p50", "p90", "p99", "Largest"]
        rows = [table(heads, cells, (0.4, *([0.12] * len(keys))))]
    story: list[Flowable] = [
        keep_room(220),
        paragraph(f"Frame {number}", SUBHEADING),
        PictureRow(row, _GAP),
        GreyScales(scales, _GAP),
        *rows,
    ]
    if split is None:
        why = spoken(at(frame, "no_split_half"))
        story.append(paragraph(words("combined", "no_halves").format(reason=why), SMALL))
    return story
