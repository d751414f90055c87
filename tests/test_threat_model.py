"""Every row of docs/threat-model.md names tests, and they exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENT = ROOT / "docs" / "threat-model.md"


def _rows() -> list[list[str]]:
    text = DOCUMENT.read_text("utf-8").partition("## Attacks, defences, tests")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("| ")][2:]  # below heading and rule
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def _named(cell: str) -> list[tuple[str, str]]:
    """File and test of every name in a cell: ``file::test``, or short names after the area in bold."""
    named, area = [], ""
    for bold, plain in re.findall(r"\*\*(\w+)\*\*|`([^`]+)`", cell):
        if bold:
            area = bold
        elif "/" in plain:
            file, _, name = plain.partition("::")
            named.append((file, name))
        else:
            named.append((f"tests/attacks/test_{area}.py", f"test_{plain}"))
    return named


def _tests_in(file: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.FunctionDef)}


def test_the_table_is_there_and_whole() -> None:
    rows = _rows()
    assert len(rows) >= 25
    assert all(len(row) == 4 and all(row) for row in rows)


@pytest.mark.parametrize("row", _rows(), ids=lambda row: row[1][:60])
def test_every_row_names_tests_that_exist(row: list[str]) -> None:
    named = _named(row[3])
    assert named, row
    for file, name in named:
        assert (ROOT / file).is_file(), file
        found = _tests_in(ROOT / file)
        assert name in found if name else any(test.startswith("test_") for test in found), f"{file}::{name}"


def test_no_attack_test_is_skipped_or_expected_to_fail() -> None:
    for file in sorted((ROOT / "tests" / "attacks").glob("test_*.py")):
        assert not re.search(r"xfail|pytest\.skip|mark\.skip(?!if)", file.read_text("utf-8")), file.name
