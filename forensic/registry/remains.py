"""What removals of models leave in the models store when they are broken off, and how it is cleared.

A removal renames a model's folder to ``.ID.N.removed``, and deletes it under that name; its line
``model.remove-started`` names that folder (``set_aside``) and every file by name, size and SHA-256. Only what such a
line names is ever deleted: anything else by such a name is somebody's, and is left alone. Files are deleted one by
one by name, never a folder with all that is in it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.errors import PolicyRefused, StorageFailed
from forensic.hashes import sha256_file
from forensic.registry.card import ID_PATTERN
from forensic.registry.external.shelf import external_root, told
from forensic.registry.packs.store import REMOVE_STARTED, noted

_MOST_FILES = 256
_LEFT = re.compile(rf"\.({ID_PATTERN})\.[0-9]+\.removed")


@dataclass(frozen=True)
class Rest:
    """What a removal that was broken off has left: the folder, and the files in it, all of which are on record."""

    place: Path
    names: list[str]
    files: list[dict[str, Any]]
    """``name``, ``size`` in bytes and ``sha256`` of each of ``names``."""

    @property
    def facts(self) -> dict[str, Any]:
        """For the record."""
        return {"folder": self.place.name, "files": self.files}

    def clear(self) -> None:
        """Look at the folder again and delete these very files, and no other.

        Raises ``StorageFailed``; ``PolicyRefused`` (``model.remove-changed``, ``model.remove-link``,
        ``model.remove-foreign``) if it holds anything else by now; then nothing of it is deleted.
        """
        try:
            require_unchanged(self.place, self.files)
        except StorageFailed:
            if not self.place.exists():
                return  # another process cleared it
            raise
        delete(self.place, self.names)


@dataclass(frozen=True)
class Beside:
    """What lies beside a model's folder by the names of remains: ``rests`` of its removals, and what is somebody's."""

    rests: list[Rest]
    left_alone: list[str]

    @property
    def facts(self) -> dict[str, Any]:
        """For the record: what is going to be cleared, and names of folders that are no removal's."""
        return {
            **({"unfinished_removal": [rest.facts for rest in self.rests]} if self.rests else {}),
            **({"left_alone": self.left_alone} if self.left_alone else {}),
        }

    def clear(self) -> dict[str, bool]:
        """Delete the rests, and say so for the record. Raises as :meth:`Rest.clear`."""
        for rest in self.rests:
            rest.clear()
        return {"unfinished_removal_cleared": True} if self.rests else {}


def rests_of(folder: Path, store: Path) -> list[Rest]:
    """What removals of the model that belongs into ``folder``, in ``store``, left beside it when they were broken off.

    Raises ``StorageFailed``; ``PolicyRefused`` (``model.remove-foreign``, ``model.remove-link``) for anything else by
    such a name.
    """
    return [_rest(place, folder.name, store) for place in _by_name(folder)]


def beside(folder: Path, store: Path) -> Beside:
    """As :func:`rests_of`, but what is no removal's is told, not refused: a model can lie beside it."""
    rests, left_alone = [], []
    for place in _by_name(folder):
        try:
            rests.append(_rest(place, folder.name, store))
        except PolicyRefused:
            left_alone.append(place.name)
    return Beside(rests, left_alone)


def broken_off(store: Path) -> list[str]:
    """Ids of models of whose removal something is left in ``store``, by the names that it has, sorted."""
    left = [*_left_in(store), *_left_in(external_root(store))]
    return sorted({found[1] for place in left if (found := _LEFT.fullmatch(place.name))})


def _by_name(folder: Path) -> list[Path]:
    return [place for place in _left_in(folder.parent) if place.name.startswith(f".{folder.name}.")]


def _left_in(root: Path) -> list[Path]:
    try:
        return sorted(place for place in root.iterdir() if _LEFT.fullmatch(place.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageFailed("storage.failed", f"Reading {root} failed: {error.strerror or error}.") from error


def _rest(place: Path, model_id: str, store: Path) -> Rest:
    """What lies in ``place``, if all of it is named by the record of a removal; files that it names may be gone."""
    require_no_link(place)
    begun = [
        line
        for line in noted(store)
        if line.get("event") == REMOVE_STARTED
        and line.get("model") == model_id
        and line.get("set_aside") == place.name
        and isinstance(line.get("files"), list)
    ]
    if not begun or not place.is_dir():
        raise PolicyRefused(
            "model.remove-foreign",
            f"{place} has the name of what a removal of {model_id} left, but the store's record has none that did.",
            "Look at it and move it away; then give the command again.",
        )
    names = files_in(place)
    files = [digested(place, name) for name in names]
    recorded = [line["files"] for line in begun]
    if odd := [file for file in files if not any(file in named for named in recorded)]:
        raise foreign(place, odd[0]["name"], "as the record of its removal names it")
    return Rest(place, names, files)


def require_unchanged(place: Path, files: list[dict[str, Any]]) -> None:
    """Raise ``PolicyRefused`` (``model.remove-changed``, and as :func:`files_in`) unless exactly ``files`` are in
    ``place``, with these digests; ``StorageFailed``.
    """
    now = [digested(place, name) for name in files_in(place)]
    if odd := [file for file in (*now, *files) if file not in now or file not in files]:
        raise PolicyRefused(
            "model.remove-changed",
            f"{told(odd[0]['name'])} in {place} is not as it was when the model's files were put on record: something "
            f"else writes there.",
            "Nothing of it was deleted. See what it is; then give the command again.",
        )


def delete(place: Path, names: list[str]) -> None:
    """Delete these files in ``place``, then its folders, which must be empty by then. Raises ``StorageFailed``."""
    try:
        for name in names:
            (place / name).unlink(missing_ok=True)
        inner = [path for path in place.rglob("*") if path.is_dir() and not path.is_symlink()]
        for folder in (*sorted(inner, key=lambda path: -len(path.parts)), place):
            folder.rmdir()
    except FileNotFoundError:
        return  # another process cleared it
    except OSError as error:
        raise failed(place, error) from error


def files_in(folder: Path) -> list[str]:
    """Names of the regular files in the folder, sorted. Raises ``PolicyRefused`` for links (``model.remove-link``) and
    whatever else lies there (``model.remove-foreign``); ``StorageFailed``.
    """
    found, open_folders = [], [folder]
    while open_folders:
        try:
            entries = sorted(open_folders.pop().iterdir())
        except OSError as error:
            raise failed(folder, error) from error
        for entry in entries:
            require_no_link(entry)
            if entry.is_dir():
                open_folders.append(entry)
            elif entry.is_file():
                found.append(entry.relative_to(folder).as_posix())
            else:
                raise foreign(folder, entry.name)
        if len(found) + len(open_folders) > _MOST_FILES:
            raise foreign(folder, f"more than {_MOST_FILES} files")
    return sorted(found)


def digested(folder: Path, name: str) -> dict[str, Any]:
    """Name, size in bytes and SHA-256 of a file, for the record. Raises ``StorageFailed``."""
    path = folder / name
    try:
        return {"name": told(name), "size": path.stat().st_size, "sha256": sha256_file(path)}
    except OSError as error:
        raise failed(path, error) from error


def require_no_link(path: Path) -> None:
    """Raise ``PolicyRefused`` (``model.remove-link``) for a link."""
    if path.is_symlink():
        raise PolicyRefused(
            "model.remove-link",
            f"{path} is a link: what it leads to is not this program's to delete.",
            "Take the link away yourself.",
        )


def foreign(folder: Path, name: str, which: str = "of that model") -> PolicyRefused:
    """The refusal of a file that is not the model's."""
    return PolicyRefused(
        "model.remove-foreign",
        f"{folder} holds {told(name)}, which is no file {which}.",
        "Look at it and move it away; then give the command again.",
    )


def failed(path: Path, error: OSError) -> StorageFailed:
    """The failure of the file system at ``path``."""
    return StorageFailed(
        "storage.failed", f"Removing {path} failed: {error.strerror or error}.",
        "See what is in the folder, and to its permissions; then give the command again.",
    )  # fmt: skip
