"""A policies folder of one's own to attack, and a way to write a policy into a file."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from forensic import resources
from forensic.policy.store import Policy, load_policy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A writable copy of the shipped policies and their schema."""
    copy = tmp_path / "policies"
    copy.mkdir()
    for file in resources.policies_dir().glob("*.cedar*"):
        shutil.copyfile(file, copy / file.name)
    return copy


@pytest.fixture
def lab_policy(tmp_path: Path) -> Callable[[str], Policy]:
    """Write Cedar text into a file, as a laboratory would, and load it."""

    def load(text: str) -> Policy:
        file = tmp_path / "lab.cedar"
        file.write_text(text, "utf-8")
        return load_policy(file)

    return load
