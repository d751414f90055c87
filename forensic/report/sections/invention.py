"""Where a generative stage invents: the run's marks over what the recording itself gives, and the strongest places."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image
from reportlab.lib.units import mm
from reportlab.platypus import Flowable

from forensic.report import pictures as shots
from forensic.report.blocks import Content, Picture, PictureRow, keep_room, paragraph, table
from forensic.report.record import RunRecord
from forensic.report.theme import SMALL, SUBHEADING, TEXT_WIDTH
from forensic.report.values import at, items, percent, spoken
from forensic.report.wording import words

_HEIGHT = 92 * mm
_LINES = 90  # of the pattern across the picture
_VERMILLION = np.array([213.0, 94.0, 0.0])
_BY_CONTRAST, _BY_SPREAD = 85, 170  # samples of the map, as its own text chunk and docs/generative-risk.md say
_MARKS = (0, _BY_CONTRAST, _BY_SPREAD, _BY_CONTRAST + _BY_SPREAD)


def over(beside: Image.Image, marks: np.ndarray) -> Image.Image:
    """The picture in grey; marked by contrast: rising lines, by spread: falling ones, by both: crossed, on a tint.

    ``marks``: uint8 (rows, columns) of 0, 85, 170 and 255, of the size of ``beside``.
    """
    grey = 40.0 + 0.8 * np.asarray(beside.convert("L")).astype(np.float64)
    canvas = np.repeat(grey[..., None], 3, axis=-1)
    rows, columns = np.arange(marks.shape[0])[:, None], np.arange(marks.shape[1])[None, :]
    period = max(6, marks.shape[1] // _LINES)
    width = max(1, period // 5)
    rising, falling = (rows + columns) % period < width, (rows - columns) % period < width
    contrast, spread = np.isin(marks, (_BY_CONTRAST, 255)), np.isin(marks, (_BY_SPREAD, 255))
    canvas[contrast | spread] = 0.65 * canvas[contrast | spread] + 0.35 * _VERMILLION
    canvas[(contrast & rising) | (spread & falling)] = 0.0
    return Image.fromarray(np.rint(np.clip(canvas, 0, 255)).astype(np.uint8))


def _beside(record: RunRecord, frame: Any) -> str | None:
    """Name of the picture beside the still of the frame."""
    for still in record.listed("stills"):
        if at(still, "frame") == at(frame, "frame") and isinstance(at(still, "beside"), str):
            return str(at(still, "beside"))
    return None


def _picture(record: RunRecord, frame: Any) -> list[Flowable]:
    name, beside = at(frame, "files", "invented"), _beside(record, frame)
    if not isinstance(name, str):
        return []
    marks = np.asarray(shots.read_picture(record, name).convert("L"))
    ground = None if beside is None else shots.read_picture(record, beside)
    if not np.isin(marks, _MARKS).all() or (ground is not None and ground.size != marks.shape[::-1]):
        return [paragraph(words("invention", "unreadable").format(name=name), SMALL)]
    shown = over(ground or Image.new("L", marks.shape[::-1], 200), marks)
    image, width, height = shots.whole(shown, TEXT_WIDTH, _HEIGHT)
    return [PictureRow([Picture(image, width, height, words("invention", "caption").format(name=name))])]


def invented(record: RunRecord, frame: Any) -> list[Flowable]:
    """What the frame's summary and map say of where it invents; nothing for other runs."""
    told = at(frame, "summary", "invention")
    if told is None:
        return []
    spread = at(told, "spread")
    variants = items(at(spread, "variants"))
    if spread is None:
        made = words("invention", "no_spread")
    else:
        by_seed = all(spoken(one).startswith("seed") for one in variants)
        made = words("invention", "seeds" if by_seed else "mirrors").format(
            count=len(variants), limit=spoken(at(spread, "marked_from")), share=percent(at(spread, "share"))
        )
    contrast = at(told, "contrast")
    story: list[Flowable] = [
        keep_room(190),
        paragraph(f"{words('invention', 'heading')} ({spoken(at(told, 'status'))})", SUBHEADING),
        paragraph(
            words("invention", "contrast").format(
                share=percent(at(contrast, "share")), more=percent(at(contrast, "share_with_more_contrast"))
            )
        ),
        paragraph(made),
        *_picture(record, frame),
    ]
    rows: list[list[Content]] = [
        [
            f"{spoken(at(one, 'x'))}, {spoken(at(one, 'y'))}",
            f"{spoken(at(one, 'w'))} × {spoken(at(one, 'h'))}",
            spoken(at(one, "tiles")),
            spoken(at(one, "spread_p90")),
            spoken(at(one, "contrast_differs_p90")),
        ]
        for one in items(at(told, "regions"))
    ]
    if rows:
        header = ["Left, top", "Size", "Tiles", "Spread, grey levels", "Contrast differs (0 to 1)"]
        story.append(table(header, rows, (0.2, 0.2, 0.14, 0.22, 0.24)))
    about = [words("invention", "about").format(tiles=spoken(at(told, "tiles")))]
    if rest := at(told, "regions_not_listed"):
        about.insert(0, words("invention", "rest").format(count=spoken(rest)))
    return [*story, paragraph(" ".join(about), SMALL)]
