"""The audit against damage: arbitrary files, and every small change, found without ever raising."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensic.ledger.audit import audit
from forensic.ledger.entry import Head
from tests.ledger.forging import tampering

# Files that are no ledger ----------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"\0", b"garbage" * 1000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_garbage_is_a_finding(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    result = audit(path, (1, "0" * 64))
    assert not result.ok
    assert result.findings[0].check in ("L1", "L2")
    assert result.failed_checks()[-1] == "L12"


def test_an_absent_file_a_folder_and_an_impossible_name_are_findings(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.sqlite", tmp_path, tmp_path / "nul\0", tmp_path / ("x" * 5000)):
        assert audit(path).failed_checks() == ("L1",)


@pytest.mark.parametrize("size", [1, 100, 4096, 4097, 12_000])
def test_a_truncated_file_is_a_finding(victim: Path, pristine: tuple[bytes, Head], size: int) -> None:
    victim.write_bytes(pristine[0][:size])
    assert not audit(victim).ok


# Properties ------------------------------------------------------------------------------------

STATEMENTS_FOR = {
    "entry": (
        "SELECT CAST(entry AS BLOB) FROM entries WHERE seq = ?",
        "UPDATE entries SET entry = CAST(? AS TEXT) WHERE seq = ?",
    ),
    "entry_hash": (
        "SELECT CAST(entry_hash AS BLOB) FROM entries WHERE seq = ?",
        "UPDATE entries SET entry_hash = CAST(? AS TEXT) WHERE seq = ?",
    ),
    "envelope": (
        "SELECT CAST(envelope AS BLOB) FROM entries WHERE seq = ?",
        "UPDATE entries SET envelope = CAST(? AS TEXT) WHERE seq = ?",
    ),
}
COLUMNS = ("seq", *STATEMENTS_FOR)


@given(data=st.data())
def test_any_changed_byte_of_any_column_is_found(
    tmp_path_factory: pytest.TempPathFactory, pristine: tuple[bytes, Head], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.sqlite"
    path.write_bytes(pristine[0])
    seq, column = data.draw(st.integers(1, 8)), data.draw(st.sampled_from(COLUMNS))
    with tampering(path) as connection:
        if column == "seq":
            change: Any = data.draw(st.integers(9, 2**63 - 1))
            connection.execute("UPDATE entries SET seq = ? WHERE seq = ?", (change, seq))
        else:
            read, write = STATEMENTS_FOR[column]
            text = bytearray(connection.execute(read, (seq,)).fetchone()[0])
            at = data.draw(st.integers(0, len(text) - 1))
            text[at] ^= data.draw(st.integers(1, 255))
            connection.execute("PRAGMA ignore_check_constraints=ON")
            connection.execute(write, (bytes(text), seq))
    assert not audit(path, pristine[1]).ok


@given(data=st.data())
def test_any_deletion_swap_truncation_or_repetition_is_found(
    tmp_path_factory: pytest.TempPathFactory, pristine: tuple[bytes, Head], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "mutated.sqlite"
    path.write_bytes(pristine[0])
    with tampering(path) as connection:
        stored = connection.execute("SELECT entry, entry_hash, envelope FROM entries ORDER BY seq").fetchall()
        changed = data.draw(
            st.lists(st.sampled_from(range(8)), max_size=12).filter(lambda order: order != list(range(8)))
            | st.permutations(range(8)).filter(lambda order: order != list(range(8)))
            | st.integers(0, 7).map(lambda length: list(range(length)))
        )
        connection.execute("DELETE FROM entries")
        connection.executemany(
            "INSERT INTO entries VALUES (?, ?, ?, ?)", [(n, *stored[index]) for n, index in enumerate(changed, 1)]
        )
    assert not audit(path, pristine[1]).ok


@given(data=st.data())
def test_any_damage_to_the_file_is_found_or_harmless_and_never_raises(
    tmp_path_factory: pytest.TempPathFactory, pristine: tuple[bytes, Head], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.sqlite"
    content = bytearray(pristine[0])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1) | st.integers(0, 200))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.just(len(content)) | st.integers(0, len(content)))])
    result = audit(path, pristine[1])
    if result.ok:  # then every entry must still read exactly as it was written
        assert (result.entries, result.head) == (8, pristine[1])
