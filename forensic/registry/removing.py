"""Takes a model out of the models store: one of the laboratory's own, or weights that were fetched.

Its folder is renamed first, and its files are deleted under the other name: there is the whole model or none. Between
the two they are hashed again. A removal that is broken off leaves a folder ``.ID.N.removed``, which is no model's
(:mod:`forensic.registry.remains`). Files that are not the model's, and links, are refused before anything is touched:
what they are, and what they lead to, is not this program's to delete.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.errors import ForensicError, PolicyRefused, UsageError
from forensic.registry.card import ID_PATTERN
from forensic.registry.cards import CARD_FILE, load_card, model_ids
from forensic.registry.external.card import ExternalCard
from forensic.registry.external.shelf import ADDED, external_root, is_recorded, read_card, removal_of, told
from forensic.registry.packs.store import REMOVE_STARTED, noted, sync_folder
from forensic.registry.remains import (
    Rest,
    delete,
    digested,
    failed,
    files_in,
    foreign,
    require_no_link,
    require_unchanged,
    rests_of,
)

#: Weights of any version of a card, and what writing them leaves when it is broken off.
_WEIGHTS = r"[0-9a-f]{16}/([A-Za-z0-9_.-]+\.safetensors|\.[A-Za-z0-9_.-]+\.safetensors\.[0-9]+\.partial)"
#: What a line of an earlier attempt says of that attempt, not of the model.
_OF_ONE_ATTEMPT = frozenset({"event", "utc", "model", "unfinished_removal"})


@dataclass
class Held:
    """A model in the store: where it lies, what is known of it (JSON-able), and remains of removals broken off."""

    model_id: str
    kind: str
    folder: Path
    facts: dict[str, Any]
    rests: list[Rest]
    names: list[str] | None
    """Names of its files; None if it is out of its place since before."""
    away: Path
    taken_out: bool = False

    @property
    def is_out(self) -> bool:
        """Whether the model is out of its place, be that by this removal or since before."""
        return self.taken_out or not self.folder.exists()

    def take_out(self) -> None:
        """Rename the folder away, durably: from here on there is no such model. Then look at it again: what was put in,
        changed or taken away since its files were put on record is put back, whole.

        Raises ``StorageFailed``; ``PolicyRefused`` (``model.remove-changed``, and as :func:`held`).
        """
        if self.names is None or not self.folder.exists():
            return
        try:
            if self.away.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(self.away))
            self.folder.rename(self.away)
            self.taken_out = True
            sync_folder(self.away.parent)
        except OSError as error:
            raise failed(self.folder, error) from error
        try:
            require_unchanged(self.away, self.facts["files"])
        except PolicyRefused:
            self._put_back()
            raise

    def _put_back(self) -> None:
        if self.folder.exists():
            return  # another was enrolled meanwhile; where this one lies is in the reason
        try:
            self.away.rename(self.folder)
            self.taken_out = False
            sync_folder(self.folder.parent)
        except OSError as error:
            raise failed(self.away, error) from error

    def clear(self) -> None:
        """Delete what was renamed away, by this removal and by others. Raises as :meth:`Rest.clear`."""
        for rest in self.rests:
            rest.clear()
        if self.taken_out and self.names is not None:
            delete(self.away, self.names)


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
        require_no_link(external_root(store))
    elif load_card(model_id, models_dir).weights.pack is None:
        raise PolicyRefused(
            "model.remove-shipped",
            f"Model {model_id} is part of this program's installation: it does not lie in the models store.",
            "Models that were enrolled (models add) or fetched (models fetch) can be removed.",
        )
    require_no_link(folder)
    kind = "fetched" if own else "external"
    rests = rests_of(folder, store)
    away = folder.with_name(f".{model_id}.{secrets.randbits(48)}.removed")
    begins: dict[str, Any] = {"kind": kind, "set_aside": away.name}
    if rests:
        begins["unfinished_removal"] = [rest.facts for rest in rests]
    if not folder.is_dir():
        begun = removal_of(model_id, store) or {}
        if not rests and begun.get("event") != REMOVE_STARTED:
            what = "weights were not fetched" if own else "model is not enrolled"
            raise UsageError(
                "model.remove-absent", f"There is nothing to remove: the {what} ({model_id}).",
                "See: forensic models list",
            )  # fmt: skip
        known = {name: value for name, value in begun.items() if name not in _OF_ONE_ATTEMPT}
        return Held(model_id, kind, folder, {**known, **begins, "broken_off_before": True}, rests, None, away)
    files = files_in(folder)
    facts = _of_pack(model_id, files, models_dir) if own else _of_external(model_id, files, store)
    digests = [digested(folder, name) for name in files]
    return Held(model_id, kind, folder, {**begins, **facts, "files": digests}, rests, files, away)


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
        raise foreign(external_root(store) / model_id, odd[0])
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
        raise foreign(Path(model_id), odd[0])
    return {
        "model_version": card.version, "card_sha256": card.card_sha256, "weights_sha256": card.weights.sha256,
    }  # fmt: skip
