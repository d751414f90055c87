"""The attack on the list of digests is the same attack whatever digest the list happens to begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from forensic.case.validating.attacking import change_digest


@pytest.mark.parametrize("digit", "0123456789abcdef")
@pytest.mark.parametrize(("place", "line"), [(0.0, 0), (0.5, 1), (1.0, 2)])
def test_one_digit_of_one_line_becomes_another_digit(tmp_path: Path, digit: str, place: float, line: int) -> None:
    before = [f"{digit * 64}  {name}\n" for name in ("frames.jsonl", "output.mkv", "report.pdf")]
    path = tmp_path / "manifest.sha256"
    path.write_text("".join(before), "utf-8")
    path.chmod(0o444)
    change_digest(path, place)
    after = path.read_text("utf-8").splitlines(keepends=True)
    assert [number for number, one in enumerate(after) if one != before[number]] == [line]
    assert after[line][1:] == before[line][1:] and after[line][0] in "0123456789abcdef"
