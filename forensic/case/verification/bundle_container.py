"""Opening a bundle, folder or archive: a folder to read from, and the digest of every file in it."""

from __future__ import annotations

import shutil
import stat
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from forensic.case.regularfile import JSON_LIMIT, digest_regular, read_regular
from forensic.case.storage import create_file
from forensic.case.verification.bundle_archive import MOST_FILES, BundleArchive, refused
from forensic.case.verification.bundleform.description import is_original
from forensic.case.verification.bundleform.names import collisions, name_fault

_DEEPEST = 12


@dataclass(frozen=True)
class OpenedBag:
    """A bundle's files: their digests and lengths by name, and the folder ``root`` below which they lie.

    From an archive, originals are hashed on the way and not written out: they lie nowhere. ``top`` is the
    folder's name inside the archive, None for a bundle that is a folder.
    """

    root: Path
    digests: dict[str, str]
    sizes: dict[str, int]
    top: str | None

    def read(self, name: str, limit: int = JSON_LIMIT) -> bytes:
        """A file of the bag. Raises ``OSError`` if it is missing, no regular file or longer than ``limit``."""
        return read_regular(self.root / name, limit)

    def below(self, folder: str) -> list[str]:
        """Names that begin with ``folder``, sorted."""
        return sorted(name for name in self.digests if name.startswith(folder))


@contextmanager
def opened_bag(path: Path, scratch: Path | None = None) -> Iterator[OpenedBag]:
    """Open the bundle at ``path``, hashing every file once.

    An archive is written out into a folder of its own below ``scratch`` (by default where the system keeps
    temporary files) that only this user can read and that is removed afterwards. Raises ``BadInput``
    (``bundle.container``) for a container that is refused, and ``OSError``.
    """
    if path.is_dir():
        yield _folder(path)
        return
    private = tempfile.TemporaryDirectory(prefix="forensic-verify-", dir=scratch, ignore_cleanup_errors=True)
    with private as folder, BundleArchive(path) as archive:
        yield _unpacked(archive, Path(folder))


def _folder(root: Path) -> OpenedBag:
    names = sorted(islice(_walk(root, "", _DEEPEST), MOST_FILES + 1))
    if len(names) > MOST_FILES:
        raise refused(f"it holds more than {MOST_FILES} files")
    for name in names:
        if (fault := name_fault(name)) is not None:
            raise refused(f"the name {name[:200]!a} has {fault}")
    if found := collisions(names):
        raise refused(f"two names differ only in upper and lower case: {found[0]!a}")
    sizes = {name: (root / name).stat().st_size for name in names}
    with ThreadPoolExecutor() as pool:
        largest = sorted(names, key=lambda name: -sizes[name])
        digests = dict(zip(largest, pool.map(lambda name: digest_regular(root / name), largest), strict=True))
    return OpenedBag(root, digests, sizes, None)


def _walk(folder: Path, prefix: str, depth: int) -> Iterator[str]:
    """Names of all files below ``folder``. Raises ``BadInput`` for links, pipes, devices and empty folders."""
    if depth == 0:
        raise refused(f"folders lie more than {_DEEPEST} deep in it")
    empty = True
    for path in folder.iterdir():
        empty, name = False, prefix + path.name
        mode = path.lstat().st_mode
        if stat.S_ISDIR(mode):
            yield from _walk(path, f"{name}/", depth - 1)
        elif stat.S_ISREG(mode):
            yield name
        else:
            raise refused(f"{name[:200]!a} is {'a link' if stat.S_ISLNK(mode) else 'no regular file'}")
    if empty:
        raise refused(f"the folder {prefix[:200]!a} is empty")


def _unpacked(archive: BundleArchive, root: Path) -> OpenedBag:
    entries = {archive.name_in_bag(entry): entry for entry in archive.entries}
    needed = sum(entry.size for name, entry in entries.items() if not is_original(name))
    if needed > shutil.disk_usage(root).free:
        raise refused(f"unpacking it takes {needed} bytes, more than are free in {root.parent}")
    digests = {}
    for name, entry in entries.items():
        if is_original(name):
            digests[name] = archive.copy(entry, lambda _: None)
            continue
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        with create_file(root / name) as stream:
            digests[name] = archive.copy(entry, stream.write)
    return OpenedBag(root, digests, {name: entry.size for name, entry in entries.items()}, archive.top)
