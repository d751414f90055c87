"""What an ``exhibit.acquired`` entry of the ledger says, strictly read. Light: ``forensic verify`` needs it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from forensic.errors import PolicyRefused, VerificationFailed
from forensic.frames.colour import ColourSpec
from forensic.frames.frame import Geometry
from forensic.frames.layout import LAYOUTS
from forensic.frames.stageclass import StageClass

_LONGEST_SIDE = 16384
_SAFE = (1 << 53) - 1
_SHA256 = re.compile(r"[0-9a-f]{64}")
SUFFIX = re.compile(r"(\.[a-z0-9]{1,11})?")
_RATIO = re.compile(r"([1-9][0-9]{0,18})([:/])([1-9][0-9]{0,18})|([1-9][0-9]{0,18})")
_NO_REASON = "acquired before classes of exhibits were recorded"


@dataclass(frozen=True)
class AcquiredExhibit:
    """What an ``exhibit.acquired`` entry says, every field of the type and form that it must have."""

    sha256: str
    suffix: str
    size: int
    file_name: str
    acquisition_sha256: str
    manifest_sha256: str
    merkle_root: str
    frame_count: int
    geometry: Geometry
    colour: ColourSpec
    time_base: Fraction
    anomaly_counts: dict[str, int]
    stage_class: StageClass
    stage_class_reason: str


def parse_acquired(data: object) -> AcquiredExhibit:
    """Read the data of an ``exhibit.acquired`` entry (docs/formats/ledger.md, section 4.1).

    A valid signature says who wrote an entry, not that it makes sense: a digest becomes a folder name
    and a suffix a file name, so both are held to their exact form. Raises ``VerificationFailed``
    (``exhibit.record-invalid``). An entry without ``stage_class`` is of an older program: presentation.
    """
    record = _object(data, "data")
    frames = _object(record.get("frames"), "frames")
    counts = _object(record.get("anomaly_counts"), "anomaly_counts")
    reason = record.get("stage_class_reason", _NO_REASON)
    _text(record.get("path"), "path")
    if record.get("note", 0) is not None:
        _text(record.get("note"), "note")
    if not isinstance(record.get("defaults"), list):
        raise _invalid("defaults")
    for default in record["defaults"]:
        _text(default, "defaults")
    try:
        stage_class = StageClass.parse(record.get("stage_class", StageClass.PRESENTATION.label))
    except PolicyRefused as error:
        raise _invalid("stage_class") from error
    return AcquiredExhibit(
        sha256=_matching(_SHA256, record.get("sha256"), "sha256"),
        suffix=_matching(SUFFIX, record.get("suffix"), "suffix"),
        size=_count(record.get("size"), "size"),
        file_name=_text(record.get("file_name"), "file_name"),
        acquisition_sha256=_matching(_SHA256, record.get("acquisition_sha256"), "acquisition_sha256"),
        manifest_sha256=_matching(_SHA256, frames.get("manifest_sha256"), "frames.manifest_sha256"),
        merkle_root=_matching(_SHA256, frames.get("merkle_root"), "frames.merkle_root"),
        frame_count=_count(frames.get("count"), "frames.count"),
        geometry=_geometry(_object(record.get("geometry"), "geometry")),
        colour=_colour(_object(record.get("colour"), "colour")),
        time_base=_ratio(record.get("time_base"), "time_base"),
        anomaly_counts={_text(kind, "anomaly_counts"): _count(n, "anomaly_counts") for kind, n in counts.items()},
        stage_class=stage_class,
        stage_class_reason=_text(reason, "stage_class_reason"),
    )


def _invalid(what: str) -> VerificationFailed:
    return VerificationFailed(
        "exhibit.record-invalid",
        f"An exhibit.acquired entry of the ledger is malformed: {what}.",
        "No program of ours writes such an entry: ask who signed it.",
    )


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(what)
    return value


def _matching(pattern: re.Pattern[str], value: object, what: str) -> str:
    if not isinstance(value, str) or pattern.fullmatch(value) is None:
        raise _invalid(what)
    return value


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise _invalid(what)
    return value


def _count(value: object, what: str, least: int = 0, most: int = _SAFE) -> int:
    if type(value) is not int or not least <= value <= most:
        raise _invalid(what)
    return value


def _ratio(value: object, what: str) -> Fraction:
    found = _RATIO.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise _invalid(what)
    return Fraction(int(found[1] or found[4]), int(found[3] or 1))


def _geometry(record: dict[str, Any]) -> Geometry:
    width, height = (_count(record.get(side), f"geometry.{side}", 1, _LONGEST_SIDE) for side in ("width", "height"))
    layout = LAYOUTS.get(_text(record.get("pixel_format"), "geometry.pixel_format"))
    if layout is None:
        raise _invalid("geometry.pixel_format")
    aspect = record.get("sample_aspect")
    return Geometry(width, height, layout, None if aspect is None else _ratio(aspect, "geometry.sample_aspect"))


def _colour(record: dict[str, Any]) -> ColourSpec:
    fields = set(ColourSpec().to_record())
    # Entries made before the matrix for display was recorded lack that field.
    if set(record) not in (fields, fields - {"display_matrix"}):
        raise _invalid("colour")
    if record.get("display_matrix") is not None:
        _count(record["display_matrix"], "colour.display_matrix", 0, 255)
    for name in ("matrix", "primaries", "transfer"):
        _count(record[name], f"colour.{name}", 0, 255)
    if record["full_range"] is not None and not isinstance(record["full_range"], bool):
        raise _invalid("colour.full_range")
    _text(record["chroma_location"], "colour.chroma_location")
    return ColourSpec.from_record(record)
