"""The record says which code ran, so that anybody can tell two builds of one version apart."""

from __future__ import annotations

import subprocess
from pathlib import Path

import forensic
from forensic.case.environment import environment, platform_key
from forensic.case.sourcecode import source_sha256

LINE = "find forensic -name '*.py' -not -path 'forensic/_data/*' | LC_ALL=C sort | xargs sha256sum | sha256sum"


def by_sha256sum(beside: Path) -> str:
    return subprocess.run(["sh", "-c", LINE], cwd=beside, capture_output=True, text=True, check=True).stdout.split()[0]


def test_the_digest_is_what_sha256sum_says_beside_the_package() -> None:
    package = Path(forensic.__file__).parent
    assert source_sha256() == by_sha256sum(package.parent)
    assert LINE in (Path(__file__).parents[2] / "docs" / "formats" / "attestation.md").read_text(encoding="utf-8")


def test_a_changed_a_new_and_a_renamed_file_change_it_and_shipped_data_does_not(tmp_path: Path) -> None:
    found = []
    for number, files in enumerate(
        [{"a.py": "1", "b/c.py": "2"}, {"a.py": "1", "b/c.py": "3"}, {"a.py": "1", "b/c.py": "2", "d.py": ""},
         {"a.py": "1", "b/d.py": "2"}, {"a.py": "1", "b/c.py": "2", "_data/models/train.py": "4"}]
    ):  # fmt: skip
        package = tmp_path / str(number) / "forensic"
        for name, text in files.items():
            (package / name).parent.mkdir(parents=True, exist_ok=True)
            (package / name).write_text(text, encoding="utf-8")
        found.append(source_sha256(package))
        assert found[-1] == by_sha256sum(package.parent)
    assert len(set(found[:4])) == 4 and found[4] == found[0]


def test_another_build_of_a_version_is_held_to_the_same_bytes() -> None:
    facts = environment(engines=())
    assert facts["source_sha256"] == source_sha256()
    assert platform_key(facts) == platform_key(facts | {"source_sha256": "0" * 64})
