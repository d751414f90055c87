"""Film grain tables of libaom (``filmgrn1``), which encoders take with ``--film-grain-table``: written and read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from forensic.errors import BadInput
from forensic.grain.parameters import LARGEST_LAG, GrainParameters, Points, neighbours

_MAGIC = "filmgrn1"
LARGEST_FILE = 1 << 20
_LAST = 9223372036854775807


def format_table(parameters: GrainParameters, seed: int) -> str:
    """One entry for all time, with the seed that it begins with."""
    one = parameters
    lines = [
        _MAGIC,
        f"E 0 {_LAST} 1 {seed} 1",
        f"\tp {one.lag} {one.ar_shift} {one.grain_shift} {one.scaling_shift} {int(one.chroma_from_luma)} "
        f"{int(one.overlap)} {one.cb_mult} {one.cb_luma_mult} {one.cb_offset} {one.cr_mult} {one.cr_luma_mult} "
        f"{one.cr_offset}",
    ]
    for name, points in (("sY", one.luma_points), ("sCb", one.cb_points), ("sCr", one.cr_points)):
        lines.append("\t" + " ".join([name, str(len(points)), *(f"{level} {scaling}" for level, scaling in points)]))
    for name, values in (("cY", one.luma_coefficients), ("cCb", one.cb_coefficients), ("cCr", one.cr_coefficients)):
        lines.append("\t" + " ".join([name, *map(str, values)]))
    return "\n".join(lines) + "\n"


def parse_table(data: bytes) -> tuple[GrainParameters, int]:
    """Parameters and seed of a table's first entry that has parameters.

    Raises ``BadInput`` (``grain.table``) for what is no such table, and ``UsageError`` (``grain.parameters``) for
    numbers that the bitstream cannot hold.
    """
    if len(data) > LARGEST_FILE:
        raise _wrong(f"it is larger than {LARGEST_FILE} bytes")
    try:
        lines = data.decode("ascii").splitlines()
    except UnicodeDecodeError:
        raise _wrong("it is not plain text") from None
    if not lines or lines[0].strip() != _MAGIC:
        raise _wrong(f"it does not begin with {_MAGIC!r}")
    rows = iter(line.split() for line in lines[1:] if line.strip())
    for row in rows:
        name, values = row[0], row[1:]
        if name != "E" or len(values) != 5:
            raise _wrong("an entry was expected")
        _, _, applied, seed, given = _numbers(values)
        if given:
            if not 0 <= seed <= 65535:
                raise _wrong("a seed has more than 16 bits")
            found = _entry(rows)
            if applied:
                return found, seed
    raise _wrong("no entry has parameters of grain that is applied")


def _entry(rows: Iterator[list[str]]) -> GrainParameters:
    lag, ar, grain, scaling, from_luma, overlap, *mixing = _row(rows, "p", 12)
    if not 0 <= lag <= LARGEST_LAG or from_luma not in (0, 1) or overlap not in (0, 1):
        raise _wrong("its first row of parameters is out of range")
    points = [_points(rows, name) for name in ("sY", "sCb", "sCr")]
    count = len(neighbours(lag))
    luma, cb, cr = (tuple(_row(rows, name, count + more)) for name, more in (("cY", 0), ("cCb", 1), ("cCr", 1)))
    names = ("cb_mult", "cb_luma_mult", "cb_offset", "cr_mult", "cr_luma_mult", "cr_offset")
    mixed: dict[str, Any] = dict(zip(names, mixing, strict=True))
    return GrainParameters(
        points[0], points[1], points[2], scaling, lag, luma, cb, cr, ar, grain, bool(from_luma),
        overlap=bool(overlap), **mixed,
    )  # fmt: skip


def _row(rows: Iterator[list[str]], name: str, count: int | None) -> list[int]:
    row = next(rows, None)
    if row is None or row[0] != name or (count is not None and len(row) != count + 1):
        raise _wrong(f"row {name!r} is missing or has another length")
    return _numbers(row[1:])


def _points(rows: Iterator[list[str]], name: str) -> Points:
    values = _row(rows, name, None)
    if not values or len(values) != 1 + 2 * values[0]:
        raise _wrong(f"row {name!r} has another number of points than it says")
    return tuple(zip(values[1::2], values[2::2], strict=True))


def _numbers(values: list[str]) -> list[int]:
    if not all(value.removeprefix("-").isdigit() and len(value) <= 20 for value in values):
        raise _wrong("something stands where a whole number should")
    return [int(value) for value in values]


def _wrong(problem: str) -> BadInput:
    return BadInput("grain.table", f"This film grain table cannot be read: {problem}.")
