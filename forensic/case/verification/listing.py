"""What a folder holds, and whether it is the files that its list names, and no others."""

from __future__ import annotations

import stat
from pathlib import Path, PurePosixPath

from forensic.case.filelist import read_manifest_file
from forensic.case.layout import SignedFolder
from forensic.case.regularfile import digest_regular
from forensic.case.verification.checks import Verification


def check_listing(verification: Verification, folder: SignedFolder) -> dict[str, str] | None:
    """M1 to M4: listed digests of the files that are there.

    None if nothing further should be opened: no list, or links and devices among the files.
    """
    try:
        listed = read_manifest_file(folder.manifest)
    except (OSError, ValueError) as error:
        verification.record("M1", "manifest.sha256 can be read", False, str(error))
        return None
    verification.record("M1", "manifest.sha256 can be read", True, f"{len(listed)} files")
    present = {folder.name(path): path for path in folder.files() if path != folder.manifest}
    missing, added = sorted(listed.keys() - present.keys()), sorted(present.keys() - listed.keys())
    verification.record("M2", "no listed file is missing", not missing, ", ".join(missing[:5]))
    verification.record("M3", "no file is there that is not listed", not added, ", ".join(added[:5]))
    links = [name for name, path in present.items() if path.is_symlink() or not path.is_file()]
    regular = verification.record("M4", "all are regular files", not links, ", ".join(links[:5]))
    return {name: listed[name] for name in listed.keys() & present.keys()} if regular else None


def check_digests(verification: Verification, listed: dict[str, str], digests: dict[str, str]) -> None:
    """M5: what was ``listed`` is what the files' ``digests`` are now."""
    changed = sorted(name for name, digest in digests.items() if digest != listed[name])
    verification.record("M5", "every file has its listed digest", not changed, ", ".join(changed[:5]))


def check_files(verification: Verification, folder: SignedFolder) -> dict[str, str] | None:
    """M1 to M5: digests of the files that are there, None if nothing further should be opened."""
    listed = check_listing(verification, folder)
    if listed is None:
        return None
    digests = {name: digest_regular(folder.root / name) for name in listed}
    check_digests(verification, listed, digests)
    return digests


def entries_of(folder: Path) -> tuple[set[str], set[str]]:
    """Names in ``folder``: real folders, and everything else (files, links, pipes)."""
    try:
        modes = {path.name: path.lstat().st_mode for path in folder.iterdir()}
    except (FileNotFoundError, NotADirectoryError):
        return set(), set()
    folders = {name for name, mode in modes.items() if stat.S_ISDIR(mode)}
    return folders, set(modes) - folders


def told_place(value: object) -> PurePosixPath:
    """A place as an entry of the ledger names it, whichever system wrote it."""
    return PurePosixPath(str(value).replace("\\", "/"))


def lies_in(folder: Path, place: PurePosixPath) -> bool:
    """Whether ``place`` names something directly in ``folder`` of a workspace: relative to that, or absolutely."""
    here = {PurePosixPath(folder.name), *(told_place(one) for one in (folder.absolute(), folder.resolve()))}
    return place.parent in here


def some_of(names: list[str]) -> str:
    """The first five, and how many more."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
