"""Unpacking of the tests' own tar archives, also on Python 3.11 before 3.11.4, whose tarfile has no filters."""

from __future__ import annotations

import tarfile
from pathlib import Path


def unpack(archive: tarfile.TarFile, target: Path) -> None:
    """All members into ``target``: plain files and folders that stay inside, as the filter ``data`` has it."""
    if hasattr(tarfile, "data_filter"):
        archive.extractall(target, filter="data")
        return
    for member in archive.getmembers():
        inside = (target / member.name).resolve().is_relative_to(target.resolve())
        assert inside and (member.isfile() or member.isdir()), member.name
    archive.extractall(target)  # noqa: S202 - looked at above
