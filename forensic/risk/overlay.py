"""Overlay picture: the output in grey, MEDIUM and HIGH tiles marked by colour *and* pattern.

The colours are those of Okabe and Ito that people with colour vision deficiency tell apart;
stripes against crosshatch keep the levels apart in a grey print. The legend stands below the
picture, so that a pixel (x, y) of the output is at (k x, k y) of the overlay, with k = 1 except
for outputs under 480 pixels wide, which are enlarged by a whole number to be readable.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from forensic.frames.colour import to_rgb
from forensic.frames.frame import CodedFrame
from forensic.frames.layout import LAYOUTS, PixelLayout
from forensic.frames.stageclass import StageClass
from forensic.risk.assessment import STATUS, RiskAssessment
from forensic.risk.calibration.judging import WITH_LOW, class_of
from forensic.risk.tiles import TILE, Level, to_pixels

TITLE = "UNCALIBRATED RISK MAP - NOT A PROBABILITY"
GENERATIVE_LABEL = "AI-GENERATED DETAIL - NOT EVIDENCE"
NARROWEST = 480
_YELLOW, _VERMILLION, _BLACK, _WHITE = (240, 228, 66), (213, 94, 0), (0, 0, 0), (255, 255, 255)
_PAPER, _INK = (250, 250, 250), (20, 20, 20)


def title_of(status: str) -> str:
    """What stands over a map of that status."""
    if status == STATUS:
        return TITLE
    if status in WITH_LOW:
        return f"RISK MAP, {status} - NOT A PROBABILITY"
    return f"RISK MAP {status} - NOT A PROBABILITY"


@dataclass(frozen=True)
class _Scale:
    """Sizes of the drawing in overlay pixels, from the overlay's width."""

    zoom: int
    unit: int  # line thickness
    text: int  # height of legend text

    @classmethod
    def of(cls, width: int) -> _Scale:
        zoom = max(1, -(-NARROWEST // width))
        across = width * zoom
        return cls(zoom, max(1, round(across / 960)), max(12, round(across / 66)))


def _grey(output: CodedFrame) -> np.ndarray:
    """The picture as seen, in grey: uint8 (rows, columns)."""
    layout = output.geometry.layout
    if layout.family == "rgb":
        return np.asarray(cv2.cvtColor(to_rgb(output.planes, layout, output.colour), cv2.COLOR_RGB2GRAY))
    alone = LAYOUTS.get("gray" if layout.bits == 8 else f"gray{layout.bits}le")
    full = bool(output.colour.full_range) if layout.family == "yuv" else output.colour.full_range
    plane = alone or PixelLayout("gray", "gray", layout.bits)
    return np.asarray(to_rgb(output.planes[:1], plane, replace(output.colour, full_range=full))[..., 0])


def _tiled(block: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The periodic pattern ``block`` (boolean) over ``shape``."""
    down, across = (-(-length // side) for length, side in zip(shape, block.shape, strict=True))
    return np.tile(block, (down, across))[: shape[0], : shape[1]]


def _stripes(period: int, width: int, *, rising: bool) -> np.ndarray:
    """One period of diagonal lines, boolean (period, period): ``width`` of every ``period`` pixels."""
    rows = np.arange(period)[:, None]
    columns = np.arange(period)[None, :]
    return np.asarray((columns + (rows if rising else -rows)) % period < width)


def _pattern(level: Level, unit: int, *, open_weave: bool) -> tuple[np.ndarray, np.ndarray]:
    """One period of a level's pattern: masks (coloured, black). ``open_weave`` leaves more of the picture."""
    if level is Level.MEDIUM:
        lines = _stripes(12 * unit, 2 * unit, rising=True)
        return lines, _stripes(12 * unit, 3 * unit, rising=True) & ~lines
    if level is Level.HIGH:
        period, width = (24 * unit, unit) if open_weave else (8 * unit, 2 * unit)
        lines = _stripes(period, width, rising=True) | _stripes(period, width, rising=False)
    else:
        lines = np.zeros((6 * unit, 6 * unit), dtype=bool)
        lines[: 2 * unit, : 2 * unit] = True
    return np.zeros_like(lines), lines


_TINT = {Level.MEDIUM: (_YELLOW, 0.22), Level.HIGH: (_VERMILLION, 0.55), Level.NOT_ASSESSED: ((150, 150, 150), 0.5)}
_LINE = {Level.MEDIUM: _YELLOW, Level.HIGH: _BLACK, Level.NOT_ASSESSED: _BLACK}


def _paint(canvas: np.ndarray, level: Level, where: np.ndarray, unit: int, *, open_weave: bool = False) -> None:
    """Mark ``where`` (boolean) on ``canvas`` (uint8 RGB, in place) as ``level``."""
    if not where.any():
        return
    colour, strength = _TINT[level]
    ramp = np.arange(256, dtype=np.float64)[:, None] * (1 - strength) + np.array(colour) * strength
    table = np.rint(ramp).astype(np.uint8).reshape(1, 256, 3)
    mask = where.astype(np.uint8)
    cv2.copyTo(cv2.LUT(canvas, table), mask, canvas)
    lines, edge = _pattern(level, unit, open_weave=open_weave)
    canvas[_tiled(edge, where.shape) & where] = _BLACK
    canvas[_tiled(lines, where.shape) & where] = _LINE[level]


def _outline(canvas: np.ndarray, where: np.ndarray, colour: tuple[int, int, int], unit: int) -> None:
    """Draw the inner border of ``where`` (boolean)."""
    mask = where.astype(np.uint8)
    side = 2 * unit + 1
    inner = cv2.erode(mask, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=(1.0,))
    canvas[(mask > 0) & (inner == 0)] = colour


def _text_box(text: str, size: int, weight: int) -> tuple[int, int, int]:
    """(width, rise above the baseline, drop below it) of ``text`` in pixels."""
    x, y, width, height = cv2.getTextSize((0, 0), text, (0, 0), cv2.FontFace("sans"), size, weight)
    return x + width, max(0, -y), max(0, y + height)


def _write(
    canvas: np.ndarray, text: str, at: tuple[int, int], size: int, weight: int, colour: tuple[int, int, int]
) -> None:
    """Draw ``text`` with its baseline's left end ``at`` (x, y)."""
    cv2.putText(canvas, text, at, colour, cv2.FontFace("sans"), size, weight)


def _number_regions(canvas: np.ndarray, assessment: RiskAssessment, scale: _Scale) -> None:
    """Write each listed region's number beside its worst tile, clear of earlier numbers where possible."""
    rows, columns = canvas.shape[:2]
    size = max(11, round(scale.text * 0.8))
    taken: list[tuple[int, int, int, int]] = []
    for region in assessment.regions:
        text = str(region.number)
        width, rise, _ = _text_box(text, size, 700)
        pad = 2 * scale.unit
        wide, tall = width + 2 * pad, rise + 2 * pad
        left, top = region.worst_tile.x * scale.zoom, region.worst_tile.y * scale.zoom
        right, bottom = left + TILE * scale.zoom, top + TILE * scale.zoom
        gap = scale.unit
        corners = [(left - wide - gap, top - tall - gap), (right + gap, top - tall - gap)]
        corners += [(left - wide - gap, bottom + gap), (right + gap, bottom + gap)]
        corners += [(left, top - tall - gap), (right + gap, top), (left - wide - gap, top), (left, bottom + gap)]
        places = [(min(max(x, 0), columns - wide), min(max(y, 0), rows - tall)) for x, y in corners]
        free = [
            (x, y)
            for x, y in places
            if all(x + wide <= a or a + w <= x or y + tall <= b or b + t <= y for a, b, w, t in taken)
        ]
        x, y = (free or places)[0]
        taken.append((x, y, wide, tall))
        cv2.rectangle(canvas, (x, y), (x + wide - 1, y + tall - 1), _BLACK, -1)
        _write(canvas, text, (x + pad, y + pad + rise), size, 700, _WHITE)


def _generative_band(canvas: np.ndarray) -> None:
    """The label across the middle of the picture, beside whatever the picture itself has burned in."""
    rows, columns = canvas.shape[:2]
    size = max(10, min(columns // 20, rows // 6))
    while size > 10 and _text_box(GENERATIVE_LABEL, size, 700)[0] > columns * 0.96:
        size -= 1
    width, rise, drop = _text_box(GENERATIVE_LABEL, size, 700)
    middle = rows // 2
    cv2.rectangle(canvas, (0, middle - rise), (columns - 1, middle + rise + drop), _BLACK, -1)
    _write(canvas, GENERATIVE_LABEL, (max(0, (columns - width) // 2), middle + rise // 2), size, 700, _WHITE)


def _legend_entries(assessment: RiskAssessment) -> list[tuple[Level, str]]:
    limits = assessment.thresholds
    shares = assessment.summary()["levels"]
    words = {
        Level.LOW: f"LOW below {limits.medium:g}" if limits.medium else "no LOW label",
        Level.MEDIUM: f"MEDIUM {limits.medium:g} to {limits.high:g}",
        Level.HIGH: f"HIGH from {limits.high:g}, clipped or no input",
        Level.NOT_ASSESSED: "not assessed",
    }
    if assessment.stage_class >= StageClass.GENERATIVE:
        words[Level.HIGH] = "HIGH (all tiles: generative)"
    return [(level, f"{text} ({100 * shares[level.label]['share']:.1f} %)") for level, text in words.items()]


def _told(assessment: RiskAssessment) -> list[str]:
    """What the calibration permits to be said, or why there is no LOW."""
    judgement = assessment.judgement
    if judgement is None:
        return []
    if judgement.status not in WITH_LOW or judgement.stratum is None:
        return [f"No LOW label: {judgement.reason}."]
    return [*judgement.statements, f"Class S: {class_of(judgement.calibration, judgement.stratum)}"]


def _swatch(level: Level, side: int, unit: int, *, open_weave: bool) -> np.ndarray:
    """Sample of a level's marking, uint8 (side, 2 side, 3)."""
    tile = np.full((side, 2 * side, 3), 130, dtype=np.uint8)
    if level is not Level.LOW:
        _paint(tile, level, np.ones(tile.shape[:2], dtype=bool), unit, open_weave=open_weave)
    cv2.rectangle(tile, (0, 0), (2 * side - 1, side - 1), _INK, max(1, unit // 2))
    return tile


def _wrapped(text: str, size: int, weight: int, width: int) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and _text_box(f"{lines[-1]} {word}", size, weight)[0] <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _legend(assessment: RiskAssessment, width: int, scale: _Scale) -> np.ndarray:
    """The strip below the picture, uint8 (rows, ``width``, 3)."""
    generative = assessment.stage_class >= StageClass.GENERATIVE
    size, margin = scale.text, scale.text
    step = round(1.6 * size)
    paragraphs = [(title_of(assessment.status), 700)]
    if generative:
        paragraphs.append((GENERATIVE_LABEL, 700))
    paragraphs.append(
        (
            f"Frame {assessment.frame}, output class: {assessment.stage_class.label}. "
            f"Tiles of {TILE}x{TILE} output pixels; 90th percentile of the risk in grey levels."
            + ("" if generative else " Numbers stand beside the worst tile of a region."),
            400,
        )
    )
    if assessment.reason is not None:
        paragraphs.append((f"Not assessed: {assessment.reason}", 700))
    paragraphs += [(text, 400) for text in _told(assessment)]
    lines = [(line, weight) for text, weight in paragraphs for line in _wrapped(text, size, weight, width - 2 * margin)]
    meaning = "what is stated above" if assessment.status in WITH_LOW else "that these checks found little added"
    last = _wrapped(
        f"LOW means only {meaning}. It does not mean that the picture is true or complete.",
        size,
        400,
        width - 2 * margin,
    )
    entries, rows_of_entries, x = [], 0, margin
    for level, text in _legend_entries(assessment):
        wide = 2 * size + size // 2 + _text_box(text, size, 400)[0] + 2 * size
        if x > margin and x + wide - 2 * size > width - margin:
            rows_of_entries, x = rows_of_entries + 1, margin
        entries.append((level, text, x, rows_of_entries))
        x += wide
    count = len(lines) + rows_of_entries + 1 + len(last)
    strip = np.full((margin + count * step + margin // 2, width, 3), _PAPER, dtype=np.uint8)
    baseline = margin + size
    for line, weight in lines:
        _write(strip, line, (margin, baseline), size, weight, _INK)
        baseline += step
    for level, text, x, row in entries:
        bottom = baseline + row * step + size // 6
        sample = _swatch(level, size, scale.unit, open_weave=generative)
        strip[bottom - size : bottom, x : x + 2 * size] = sample
        _write(strip, text, (x + 2 * size + size // 2, baseline + row * step), size, 400, _INK)
    baseline += (rows_of_entries + 1) * step
    for line in last:
        _write(strip, line, (margin, baseline), size, 400, _INK)
        baseline += step
    cv2.rectangle(strip, (0, 0), (width - 1, max(1, scale.unit) - 1), _INK, -1)
    return strip


def draw_overlay(assessment: RiskAssessment, output: CodedFrame) -> np.ndarray:
    """The overlay of ``output`` (the frame that was assessed): uint8 RGB (rows, columns, 3), legend below."""
    scale = _Scale.of(output.geometry.width)
    grey = np.rint(24 + _grey(output).astype(np.float32) * 0.76).astype(np.uint8)
    levels = to_pixels(assessment.levels, assessment.shape)
    if scale.zoom > 1:
        grey = grey.repeat(scale.zoom, axis=0).repeat(scale.zoom, axis=1)
        levels = levels.repeat(scale.zoom, axis=0).repeat(scale.zoom, axis=1)
    picture = np.repeat(grey[..., None], 3, axis=-1)
    generative = assessment.stage_class >= StageClass.GENERATIVE
    for level in (Level.MEDIUM, Level.HIGH, Level.NOT_ASSESSED):
        # Where all is HIGH the label burned into the picture must stay readable.
        _paint(picture, level, levels == level, scale.unit, open_weave=generative)
    _outline(picture, levels == Level.MEDIUM, _YELLOW, max(1, scale.unit // 2))
    _outline(picture, levels == Level.HIGH, _VERMILLION, scale.unit)
    if generative:
        _generative_band(picture)
    else:
        _number_regions(picture, assessment, scale)
    return np.concatenate([picture, _legend(assessment, picture.shape[1], scale)], axis=0)
