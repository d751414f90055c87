"""The pairs that a laboratory gives: ``pairs.csv``, or files named NAME.reference.EXT and NAME.degraded.EXT."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from forensic.case.regularfile import read_regular
from forensic.errors import UsageError
from forensic.hashes import canonical_json, sha256_bytes

MANIFEST = "pairs.csv"
_NEEDED, _ALLOWED = {"reference", "degraded"}, {"recording", "reference", "degraded", "frame", "reference_frame"}
_MOST_BYTES = 16 << 20
_MOST_PAIRS = 3_000  # all are in one entry of the ledger, of 4 MiB at most, each with about 1200 bytes
_LONGEST = 500
_REFERENCE, _DEGRADED = "reference", "degraded"


@dataclass(frozen=True)
class Pair:
    """What was given of one pair: names of two files in the folder, and which frame of each; None: not stated."""

    recording: str
    reference: str
    degraded: str
    frame: int | None = None
    reference_frame: int | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


@dataclass(frozen=True)
class Given:
    """The folder and its pairs in the order given. ``sha256``: of ``pairs.csv``, or of the names where there is none.

    ``ignored``: what lies in a folder without ``pairs.csv`` and is not named as a pair is.
    """

    folder: Path
    named_by: str
    sha256: str
    pairs: tuple[Pair, ...]
    ignored: tuple[str, ...] = ()


def read_given(folder: Path, frame: int | None = None) -> Given:
    """Read what ``folder`` says its pairs are; opens no picture. ``frame``: of pairs that name none.

    Raises ``UsageError`` (``calibration.pairs``) for a folder that names none, or a manifest that is none.
    """
    manifest = folder / MANIFEST
    try:
        if manifest.exists() or manifest.is_symlink():
            data = read_regular(manifest, _MOST_BYTES)
            named_by, sha256, pairs = MANIFEST, sha256_bytes(data), tuple(_rows(data))
            ignored: tuple[str, ...] = ()
        else:
            names = sorted(path.name for path in folder.iterdir())
            strange = [name for name in names if not _is_utf8(name)]
            if strange:
                raise _wrong(f"the name {strange[0]!a} in the folder is not UTF-8")
            named_by, sha256 = "names", sha256_bytes(canonical_json(names))
            pairs = tuple(_named(names))
            used = {name for pair in pairs for name in (pair.reference, pair.degraded)}
            ignored = tuple(name for name in names if name not in used)
    except OSError as error:
        raise _wrong(f"{folder} cannot be read: {error.strerror}") from error
    except (UnicodeError, csv.Error) as error:
        raise _wrong(f"{MANIFEST} is no CSV in UTF-8: {error}") from error
    if not 0 < len(pairs) <= _MOST_PAIRS:
        raise _wrong(f"{folder} names {len(pairs)} pairs")
    if len(set(pairs)) != len(pairs):
        raise _wrong("a pair is named twice")
    settled = (replace(pair, frame=frame) if pair.frame is None else pair for pair in pairs)
    return Given(folder, named_by, sha256, tuple(settled), ignored)


def _rows(data: bytes) -> Iterator[Pair]:
    reader = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    columns = set(reader.fieldnames or ())
    if not columns >= _NEEDED or columns - _ALLOWED or len(columns) != len(reader.fieldnames or ()):
        raise _wrong(f"{MANIFEST} has the columns {', '.join(sorted(columns)) or 'none'}")
    for number, row in enumerate(reader, start=2):
        if None in row or None in row.values():
            raise _wrong(f"line {number} of {MANIFEST} has not as many cells as there are columns")
        cells = {name: str(value).strip() for name, value in row.items()}
        for name in ("reference", "degraded"):
            if not _is_name(cells[name]):
                raise _wrong(f"line {number} of {MANIFEST}: {cells[name]!r} is no file in the folder")
        if len(cells.get("recording", "")) > _LONGEST:
            raise _wrong(f"line {number} of {MANIFEST}: the name of the recording is longer than {_LONGEST} characters")
        yield Pair(
            cells.get("recording") or cells["degraded"], cells["reference"], cells["degraded"],
            _index(cells.get("frame", ""), number), _index(cells.get("reference_frame", ""), number),
        )  # fmt: skip


def _is_name(text: str) -> bool:
    """Whether it is a relative name that stays in the folder."""
    parts = PurePosixPath(text).parts
    return bool(parts) and len(text) <= _LONGEST and not text.startswith("/") and ".." not in parts and "\\" not in text


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _index(text: str, line: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise _wrong(f"line {line} of {MANIFEST}: {text!r} is no frame number")
    return int(text)


def _named(names: list[str]) -> Iterator[Pair]:
    """Pairs by name; a reference or recording without the other is a fault of the folder, not passed over."""
    found: dict[str, dict[str, str]] = {}
    for name in names:
        stem, dot, _ = name.rpartition(".")
        before, mark, kind = stem.rpartition(".")
        if dot and mark and before and kind in (_REFERENCE, _DEGRADED):
            sides = found.setdefault(before, {})
            if kind in sides:
                raise _wrong(f"{sides[kind]} and {name} are both the {kind} of {before}")
            sides[kind] = name
    for before, sides in sorted(found.items()):
        if len(sides) != 2:
            raise _wrong(f"{next(iter(sides.values()))} has no counterpart")
        yield Pair(before, sides[_REFERENCE], sides[_DEGRADED])


def _wrong(why: str) -> UsageError:
    return UsageError(
        "calibration.pairs",
        f"{why}.",
        f"Give a folder with {MANIFEST} (recording,reference,degraded[,frame][,reference_frame]), or with files called "
        "NAME.reference.EXT and NAME.degraded.EXT.",
    )
