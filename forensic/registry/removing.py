"""Takes a model out of the models store: one of the laboratory's own, or weights that were fetched.

Its folder is renamed first, and its files are deleted under the other name: there is the whole model or none. A removal
that is broken off leaves a folder ``.ID.N.removed``, which is no model's; the next removal, enrolment or fetching by
that id clears it. Files that are not the model's, and links, are refused before anything is touched: what they are, and
what they lead to, is not this program's to delete.
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.errors import ForensicError, PolicyRefused, StorageFailed, UsageError
from forensic.hashes import sha256_file
from forensic.registry.card import ID_PATTERN
from forensic.registry.cards import CARD_FILE, load_card, model_ids
from forensic.registry.external.card import ExternalCard
from forensic.registry.external.shelf import ADDED, external_root, is_recorded, read_card, removal_of, told
from forensic.registry.packs.store import REMOVE_STARTED, noted, sync_folder

_MOST_FILES = 256
#: Weights of any version of a card, and what writing them leaves when it is broken off.
_WEIGHTS = r"[0-9a-f]{16}/([A-Za-z0-9_.-]+\.safetensors|\.[A-Za-z0-9_.-]+\.safetensors\.[0-9]+\.partial)"
_LEFT = re.compile(rf"\.({ID_PATTERN})\.[0-9]+\.removed")


@dataclass
class Held:
    """A model in the store: where it lies, what is known of it (JSON-able), and remains of removals broken off."""

    model_id: str
    kind: str
    folder: Path
    facts: dict[str, Any]
    remains: list[Path]
    taken_out: bool = False

    def take_out(self) -> None:
        """Rename the folder away, durably: from here on there is no such model. Raises ``StorageFailed``."""
        if not self.folder.exists():
            return
        number = os.getpid()
        while (away := self.folder.with_name(f".{self.model_id}.{number}.removed")).exists():
            number += 1
        try:
            self.folder.rename(away)
            self.taken_out = True
            self.remains.append(away)
            sync_folder(away.parent)
        except OSError as error:
            raise _failed(self.folder, error) from error

    def clear(self) -> None:
        """Delete what was renamed away. Raises ``StorageFailed``."""
        for place in self.remains:
            try:
                shutil.rmtree(place)
            except FileNotFoundError:
                continue  # another process cleared it
            except OSError as error:
                raise _failed(place, error) from error


def held(model_id: str, store: Path, models_dir: Path | None = None) -> Held:
    """The model in ``store`` that can be removed by that id. Nothing is changed.

    Raises ``PolicyRefused``: ``model.id-invalid``, ``model.remove-shipped``, ``model.remove-link``,
    ``model.remove-foreign``, and as ``load_card``; ``UsageError`` (``model.remove-absent``); ``StorageFailed``.
    """
    if not re.fullmatch(ID_PATTERN, model_id):
        raise PolicyRefused("model.id-invalid", f"{told(model_id)!r} is not a model id.", "See: forensic models list")
    own = model_id in model_ids(models_dir)
    folder = (store if own else external_root(store)) / model_id
    if not own:
        _require_no_link(external_root(store))
    elif load_card(model_id, models_dir).weights.pack is None:
        raise PolicyRefused(
            "model.remove-shipped",
            f"Model {model_id} is part of this program's installation: it does not lie in the models store.",
            "Models that were enrolled (models add) or fetched (models fetch) can be removed.",
        )
    _require_no_link(folder)
    remains = _remains(folder)
    kind = "fetched" if own else "external"
    if not folder.is_dir():
        begun = removal_of(model_id, store) or {}
        if not remains and begun.get("event") != REMOVE_STARTED:
            what = "weights were not fetched" if own else "model is not enrolled"
            raise UsageError(
                "model.remove-absent", f"There is nothing to remove: the {what} ({model_id}).",
                "See: forensic models list",
            )  # fmt: skip
        known = {name: value for name, value in begun.items() if name not in ("event", "utc", "model")}
        return Held(model_id, kind, folder, {**known, "kind": kind, "broken_off_before": True}, remains)
    files = _files(folder)
    facts = _of_pack(model_id, files, models_dir) if own else _of_external(model_id, files, store)
    digests = [_digested(folder, name) for name in files]
    return Held(model_id, kind, folder, {"kind": kind, **facts, "files": digests}, remains)


def clear_remains(folder: Path) -> bool:
    """Delete what removals of the model that belongs into ``folder`` left when they were broken off; whether there was
    any. Raises ``StorageFailed``, ``PolicyRefused`` (``model.remove-link``).
    """
    remains = _remains(folder)
    Held(folder.name, "", folder, {}, remains).clear()
    return bool(remains)


def _remains(folder: Path) -> list[Path]:
    """What removals left beside ``folder``, a model's, when they were broken off."""
    left = [place for place in _left_in(folder.parent) if place.name.startswith(f".{folder.name}.")]
    for place in left:
        _require_no_link(place)
    return left


def broken_off(store: Path) -> list[str]:
    """Ids of models of whose removal something is left in ``store``, sorted."""
    left = [*_left_in(store), *_left_in(external_root(store))]
    return sorted({found[1] for place in left if (found := _LEFT.fullmatch(place.name))})


def _left_in(root: Path) -> list[Path]:
    try:
        return sorted(place for place in root.iterdir() if _LEFT.fullmatch(place.name))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageFailed("storage.failed", f"Reading {root} failed: {error.strerror or error}.") from error


def _files(folder: Path) -> list[str]:
    """Names of the regular files in the folder, sorted. Links and whatever else lies there are refused."""
    found, open_folders = [], [folder]
    while open_folders:
        try:
            entries = sorted(open_folders.pop().iterdir())
        except OSError as error:
            raise _failed(folder, error) from error
        for entry in entries:
            _require_no_link(entry)
            if entry.is_dir():
                open_folders.append(entry)
            elif entry.is_file():
                found.append(entry.relative_to(folder).as_posix())
            else:
                raise _foreign(folder, entry.name)
        if len(found) + len(open_folders) > _MOST_FILES:
            raise _foreign(folder, f"more than {_MOST_FILES} files")
    return sorted(found)


def _of_external(model_id: str, files: list[str], store: Path) -> dict[str, Any]:
    """What is known of an enrolled model, by its card or, where that cannot be used, by the record of its enrolment."""
    card: ExternalCard | None = None
    fault: dict[str, str] = {}
    try:
        card = read_card(model_id, store)
    except ForensicError as error:
        fault = {"card_fault": error.code}
    lines = [line for line in noted(store) if line.get("event") == ADDED and line.get("model") == model_id]
    recorded = lines[-1].get("files") if lines else None
    names = {CARD_FILE} | ({file.name for file in card.files} if card is not None else set())
    names |= (
        {str(file.get("name")) for file in recorded if isinstance(file, dict)} if isinstance(recorded, list) else set()
    )
    if odd := [name for name in files if name not in names]:
        raise _foreign(external_root(store) / model_id, odd[0])
    if card is None:
        return fault
    return {
        "model_version": card.version,
        "card_sha256": card.card_sha256,
        "weights_sha256": card.weights_sha256,
        "source": card.source.model_dump(mode="json", exclude_none=True),
        "on_record": is_recorded(card.card_sha256, store),
    }


def _of_pack(model_id: str, files: list[str], models_dir: Path | None) -> dict[str, Any]:
    card = load_card(model_id, models_dir)
    if odd := [name for name in files if not re.fullmatch(_WEIGHTS, name)]:
        raise _foreign(Path(model_id), odd[0])
    return {
        "model_version": card.version, "card_sha256": card.card_sha256, "weights_sha256": card.weights.sha256,
    }  # fmt: skip


def _digested(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        return {"name": told(name), "size": path.stat().st_size, "sha256": sha256_file(path)}
    except OSError as error:
        raise _failed(path, error) from error


def _require_no_link(path: Path) -> None:
    if path.is_symlink():
        raise PolicyRefused(
            "model.remove-link",
            f"{path} is a link: what it leads to is not this program's to delete.",
            "Take the link away yourself.",
        )


def _foreign(folder: Path, name: str) -> PolicyRefused:
    return PolicyRefused(
        "model.remove-foreign",
        f"{folder} holds {told(name)}, which is no file of that model.",
        "Look at it and move it away; then give the command again.",
    )


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        "storage.failed", f"Removing {path} failed: {error.strerror or error}.",
        "See to the folder's permissions, and give the command again.",
    )  # fmt: skip
