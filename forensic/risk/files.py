"""Risk files of a run: three PNGs for every mapped frame, four for a generative one, and ``regions.json``.

``NNNNNN.risk.png``     16-bit gray, output resolution: risk in units of 1/256 grey level, rounded
                        up; 65534 is the largest, 65535 means not assessed.
``NNNNNN.level.png``    8-bit gray, output resolution, every pixel with its tile's level:
                        0 LOW, 1 MEDIUM, 2 HIGH, 255 not assessed.
``NNNNNN.overlay.png``  8-bit RGB for the eye, with legend.
``NNNNNN.invented.png`` 8-bit gray, output resolution, generative output only: where it invents
                        (:data:`forensic.risk.invention.MEANING`).

Each PNG carries its status in a tEXt chunk, so that it says UNCALIBRATED, or what it was calibrated
for, wherever it turns up.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from forensic.errors import InternalError, StorageFailed
from forensic.frames.frame import CodedFrame
from forensic.frames.stageclass import StageClass
from forensic.hashes import canonical_json, sha256_bytes
from forensic.media.opencv import opencv
from forensic.risk.assessment import STATUS, RiskAssessment
from forensic.risk.calibration.artefact import Calibration
from forensic.risk.invention import MEANING, Invention
from forensic.risk.overlay import GENERATIVE_LABEL, draw_overlay, title_of
from forensic.risk.quantiles import NOT_ASSESSED_UNIT, to_units
from forensic.risk.selection import Selection
from forensic.risk.tiles import TILE, Level, to_pixels

SCHEMA = "tag:forensic-tool,2026:risk/v1"
INVENTED = "UNCALIBRATED MAP OF INVENTED DETAIL - NO MARK IS NO PROOF"
_HEADER_END = 33  # signature (8 bytes) and the IHDR chunk (25 bytes)


@dataclass(frozen=True)
class RiskPaths:
    """Where the pictures of one mapped frame go; the run folder's layout names them."""

    risk: Path
    level: Path
    overlay: Path
    invented: Path | None = None


def _text_chunk(keyword: str, text: str) -> bytes:
    """A PNG tEXt chunk (ISO/IEC 15948, clause 11.3.3.2)."""
    body = b"tEXt" + keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _png(picture: np.ndarray, title: str, description: str) -> bytes:
    """``picture`` (gray uint8/uint16 or RGB uint8) as PNG; the same pixels and text give the same bytes."""
    stored = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR) if picture.ndim == 3 else picture
    # One filter for all rows and the fastest level: half the time of the defaults at a similar size.
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    done, data = cv2.imencode(".png", stored, options)
    if not done:
        raise InternalError("risk.png", "OpenCV could not encode a PNG.")
    encoded = data.tobytes()
    return (
        encoded[:_HEADER_END]
        + _text_chunk("Title", title)
        + _text_chunk("Description", description)
        + encoded[_HEADER_END:]
    )


def _store(path: Path, data: bytes) -> str:
    """Write ``data`` completely or not at all; return its SHA-256. Raises ``StorageFailed`` (``risk.write``)."""
    partial = path.with_name(path.name + ".part")
    try:
        partial.unlink(missing_ok=True)  # left by a crash, or a link that was planted: what it leads to stays
        with partial.open("xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError as error:
        raise StorageFailed(
            "risk.write", f"Cannot write {path.name}: {error.strerror or error}.", "Check space and permissions."
        ) from error
    return sha256_bytes(data)


def write_maps(
    paths: RiskPaths, assessment: RiskAssessment, output: CodedFrame, invention: Invention | None = None
) -> dict[Path, str]:
    """Write the three pictures of ``assessment`` of ``output``, the frame as written to the run; and ``invention``.

    Returns the SHA-256 of the bytes that were written, by path.

    Raises ``InternalError`` (``risk.frame-mismatch``) for another frame or one whose class has
    risen since, or for an ``invention`` of another size or without a path; ``StorageFailed`` (``risk.write``).
    """
    opencv()  # as in assess
    if (output.timing.index, (output.geometry.height, output.geometry.width)) != (assessment.frame, assessment.shape):
        raise InternalError("risk.frame-mismatch", f"Frame {output.timing.index} is not the one that was assessed.")
    if output.stage_class > assessment.stage_class:
        raise InternalError("risk.frame-mismatch", f"Frame {output.timing.index} was assessed at a lower class.")
    about = f"frame {assessment.frame}, output class {assessment.stage_class.label}"
    if assessment.stage_class >= StageClass.GENERATIVE:
        about += f", {GENERATIVE_LABEL}"
    status, title = assessment.status, title_of(assessment.status)
    if assessment.risk is None:
        units = np.full(assessment.shape, NOT_ASSESSED_UNIT, dtype=np.uint16)
    else:
        units, _ = to_units(assessment.risk)
    risk = _png(units, title, f"{status} risk, 1/256 grey level per unit, 65535 not assessed; {about}")
    written = {paths.risk: _store(paths.risk, risk)}
    levels = to_pixels(assessment.levels, assessment.shape)
    meaning = ", ".join(f"{int(level)} {level.label}" for level in Level)
    level = _png(np.ascontiguousarray(levels), title, f"{status} risk level, {meaning}; {about}")
    written[paths.level] = _store(paths.level, level)
    overlay = _png(draw_overlay(assessment, output), title, f"{status} risk overlay; {about}")
    written[paths.overlay] = _store(paths.overlay, overlay)
    if invention is not None:
        if paths.invented is None or invention.marks.shape != assessment.shape:
            raise InternalError("risk.frame-mismatch", "The map of what was invented is not this frame's.")
        marks = ", ".join(f"{sample} {words}" for sample, words in MEANING.items())
        told = f"{invention.facts['status']} map of where detail was invented, {marks}; {about}"
        written[paths.invented] = _store(paths.invented, _png(invention.marks, INVENTED, told))
    return written


PARTLY = "PARTLY CALIBRATED: SOME FRAMES HAVE NO LOW LABEL"


def _status(frames: Sequence[Mapping[str, Any]]) -> str:
    """The one status that all frames have; UNCALIBRATED where any frame is, else that they differ."""
    found = {str(frame["summary"].get("status", STATUS)) for frame in frames}
    if len(found) == 1:
        return found.pop()
    return STATUS if not found or STATUS in found else PARTLY


def _cited(calibration: Calibration) -> dict[str, Any]:
    return {"sha256": calibration.sha256, "artefact": calibration.model_dump(mode="json", by_alias=True)}


def risk_record(
    frames: Sequence[Mapping[str, Any]],
    selection: Selection,
    files: Mapping[int, Mapping[str, str]] | None = None,
    calibration: Calibration | None = None,
    *,
    refused: str | None = None,
) -> dict[str, Any]:
    """The run's risk record from the frames' records (:meth:`RiskAssessment.to_record`).

    ``files``: names of the pictures by frame, added to each frame's entry where given. ``calibration``: the
    one that the frames were judged by, which then stands in the record, whole. ``refused``: why the one that the
    model's card names was not used.
    ``forward_model``, ``thresholds`` and ``combination`` stand at the top if all frames share them, else null: every
    frame's summary has its own.
    """

    def shared(key: str) -> Any:
        values = [frame["summary"].get(key) for frame in frames]
        return values[0] if values and all(value == values[0] for value in values) else None

    status = _status(frames)
    return {
        "schema": SCHEMA,
        "status": status,
        "statement": title_of(status),
        "selection": {"frames": list(selection.frames), "rule": selection.rule},
        "forward_model": shared("forward_model"),
        "thresholds": shared("thresholds"),
        "combination": shared("combination"),
        "tile": TILE,
        **({} if calibration is None else {"calibration": _cited(calibration)}),
        **({} if refused is None else {"calibration_refused": refused}),
        "frames": [
            {**frame, **({"files": dict(files[frame["frame"]])} if files and frame["frame"] in files else {})}
            for frame in frames
        ],
    }


def write_regions(path: Path, record: Mapping[str, Any]) -> str:
    """Write ``regions.json``: the canonical JSON (RFC 8785) of :func:`risk_record`. Returns its SHA-256.

    Raises ``StorageFailed`` (``risk.write``).
    """
    return _store(path, canonical_json(dict(record)))
