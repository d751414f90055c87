"""What this process wrote into the folder of a run, by digests of the bytes it had in memory.

A record signs these, and not what lies in the folder when it closes: others may be able to write there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from forensic.case.layout import RunFolder
from forensic.case.regularfile import digest_regular
from forensic.case.storage import is_folder, storage, write_file
from forensic.errors import VerificationFailed
from forensic.hashes import sha256_bytes

_ALWAYS_HASHED = 64 << 20
"""Up to so many bytes a file is hashed again: it may have been changed within one tick of the file system's clock."""
_MOST_NAMES = 5


class Written:
    """Digests by name of all that belongs into ``folder``."""

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._digests: dict[str, str] = {}
        self._status: dict[str, os.stat_result] = {}

    @property
    def digests(self) -> Mapping[str, str]:
        """SHA-256 in hexadecimal by name, in the order of the names."""
        return dict(sorted(self._digests.items()))

    def add(self, path: Path, sha256: str, status: os.stat_result | None = None) -> None:
        """``path`` was written with this digest; ``status``, if known, is its descriptor's before it was hashed."""
        name = self._folder.name(path)
        self._digests[name] = sha256
        if status is not None:
            self._status[name] = status

    def add_all(self, written: Mapping[Path, str]) -> None:
        """:meth:`add` for several."""
        for path, sha256 in written.items():
            self.add(path, sha256)

    def write(self, path: Path, data: bytes) -> None:
        """Write ``data`` durably as ``path`` and add it. Raises ``StorageFailed``."""
        write_file(path, data)
        self.add(path, sha256_bytes(data))

    def check(self) -> None:
        """Compare the folder with the list. No link is followed.

        A large file of known status counts as unchanged while device, inode, size and times are as they were.
        Raises ``VerificationFailed`` (``run.disturbed``) if a file was added, removed or changed.
        """
        root = self._folder.root
        with storage(root, "checking"):
            found = {self._folder.name(path): path for path in self._folder.files()} if is_folder(root) else {}
            added = sorted(found.keys() - self._digests.keys())
            gone = sorted(self._digests.keys() - found.keys())
            names = sorted(self._digests.keys() & found.keys())
            changed = [name for name in names if not self._is_ours(name, found[name])]
        said = [
            f"{what}: {', '.join(ascii(name) for name in names[:_MOST_NAMES])}"
            + (f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else "")
            for what, names in (("added", added), ("gone", gone), ("changed", changed))
            if names
        ]
        if said:
            raise VerificationFailed(
                "run.disturbed",
                f"Files in {root} are not those that this run wrote ({'; '.join(said)}). Its record was not signed.",
                "Find out who or what else writes there, then give the command again.",
            )

    def _is_ours(self, name: str, path: Path) -> bool:
        before = self._status.get(name)
        if before is not None and before.st_size > _ALWAYS_HASHED and _same_file(before, path.lstat()):
            return True
        return digest_regular(path) == self._digests[name]


def _same_file(one: os.stat_result, other: os.stat_result) -> bool:
    """Whether both are of one file that nobody wrote to in between; False where the platform numbers no files."""
    keys = ("st_mode", "st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns")
    return one.st_ino != 0 and all(getattr(one, key) == getattr(other, key) for key in keys)
