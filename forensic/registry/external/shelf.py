"""Where a laboratory's own models lie, and how their cards and files are read: every doubt is a refusal.

They lie in the models store (:mod:`forensic.registry.packs.store`), in ``external.models/ID/``: the card and, beside
it, the files that it names. ``external.models`` is no model's id, so that no fetched weights can come to lie there.
A card is used only if the store's own record has a line ``model.added`` with its digest: a folder that was copied there
or made by hand was never enrolled, and a card that was edited is another card. So is one that was removed since.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forensic.errors import ForensicError, PolicyRefused
from forensic.hashes import sha256_bytes
from forensic.registry.card import ID_PATTERN
from forensic.registry.cards import CARD_FILE, MAXIMUM_CARD_BYTES, model_ids, reasons
from forensic.registry.external.card import ExternalCard
from forensic.registry.packs.store import (
    FETCHED,
    JOURNAL,
    REMOVE_STARTED,
    REMOVED,
    default_store,
    noted,
    stands,
    was_undone,
)

FOLDER = "external.models"
ADDED = "model.added"
MAXIMUM_FILE_BYTES = 4 << 30
MOST_TOLD = 300
"""Characters of somebody's text that a message or the record of an attempt takes over."""
_AGAIN = "Enrol the model again from a trusted copy: `forensic models add`."


@dataclass(frozen=True)
class ExternalCheck:
    """Verdict on one enrolled model: ``card`` if it could be read, and why it is not usable if not ``ok``."""

    model_id: str
    ok: bool
    card: ExternalCard | None = None
    code: str = ""
    message: str = ""
    to_be_fetched: bool = False  # as for models whose weights are fetched; these never are


def external_root(store: Path | None = None) -> Path:
    """The folder of the enrolled models in ``store`` (the user's if None); it need not exist."""
    return (default_store() if store is None else store) / FOLDER


def external_ids(store: Path | None = None) -> list[str]:
    """Ids of the enrolled models, sorted; their cards are not read."""
    try:
        return sorted(entry.name for entry in external_root(store).iterdir() if re.fullmatch(ID_PATTERN, entry.name))
    except OSError:
        return []


def load_external(model_id: str, store: Path | None = None) -> ExternalCard:
    """Read and validate the card of an enrolled model, which must be on the store's record; its files are not touched.

    Raises as :func:`read_card`, ``PolicyRefused`` (``model.external-unrecorded``, ``model.external-removed``) and
    ``StorageFailed``.
    """
    try:
        card = read_card(model_id, store)
    except PolicyRefused as error:
        line = removal_of(model_id, store) if error.code == "model.external-unknown" else None
        if line is None:
            raise
        raise PolicyRefused(
            "model.external-removed",
            f"Model {model_id} was taken out of the models store on {line.get('utc')} (card SHA-256 "
            f"{line.get('card_sha256', 'unknown')}). What was made with it verifies as before, and cannot be computed "
            f"again.",
            "To compute it again, enrol the very same model by the same id and with the same --card; the digests of "
            "its files are on the record.",
        ) from error
    if not is_recorded(card.card_sha256, store):
        raise PolicyRefused(
            "model.external-unrecorded",
            f"Model {model_id} is on no record: {JOURNAL} in the models store has no line {ADDED} with the SHA-256 of "
            f"this card, {card.card_sha256}. Its folder was copied or made by hand, its card was changed, or its "
            f"enrolment or removal was broken off.",
            _AGAIN,
        )
    return card


def is_recorded(card_sha256: str, store: Path | None = None) -> bool:
    """Whether the store's own record says that a card with this digest was enrolled, and not that it was removed since,
    or that was begun and not ended with the model in its place.

    Raises ``StorageFailed``.
    """
    return stands(default_store() if store is None else store, ADDED, "card_sha256", card_sha256)


def removal_of(model_id: str, store: Path | None = None) -> dict[str, Any] | None:
    """The last line of the store's record by which the model was removed, or that was begun; None if it was enrolled or
    fetched since, never removed, or the removal ended with the model in its place. Raises ``StorageFailed``.
    """
    found = before = begun = None
    for line in noted(default_store() if store is None else store):
        event = line.get("event")
        if line.get("model") != model_id:
            continue
        if event in (ADDED, FETCHED):
            found = begun = None
        elif event == REMOVE_STARTED:
            before, found, begun = found, line, line
        elif event == REMOVED:
            found, begun = line, None
        elif was_undone(begun, line):
            found, begun = before, None
    return found


def read_card(model_id: str, store: Path | None = None) -> ExternalCard:
    """The card that lies in ``store`` for ``model_id``, be it on record or not: for enrolling alone.

    Raises ``PolicyRefused``: ``model.id-invalid``, ``model.id-taken`` (a model of this program has that id),
    ``model.external-unknown``, ``model.card-invalid``, ``model.id-mismatch``.
    """
    require_free_id(model_id)
    folder = external_root(store) / model_id
    path = folder / CARD_FILE
    if path.is_symlink() or not path.is_file():
        known = ", ".join(external_ids(store)) or "none"
        raise PolicyRefused(
            "model.external-unknown",
            f"No model {model_id} of the laboratory's own is enrolled here.",
            f"Enrol it with `forensic models add`. Enrolled: {known}.",
        )
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_CARD_BYTES + 1)
    except OSError as error:
        raise _invalid(model_id, f"cannot be read: {error.strerror}") from error
    if len(data) > MAXIMUM_CARD_BYTES:
        raise _invalid(model_id, "exceeds 1 MiB")
    card = parse_external(data, model_id)
    if card.id != model_id:
        raise PolicyRefused("model.id-mismatch", f"The card in folder {model_id} belongs to model {card.id}.", _AGAIN)
    return card.came_from(folder, sha256_bytes(data))


def parse_external(data: bytes, name: str) -> ExternalCard:
    """The card in ``data``. Raises ``PolicyRefused`` (``model.card-invalid``)."""
    try:
        return ExternalCard.model_validate(tomllib.loads(data.decode("utf-8")))
    except ValidationError as error:
        raise _invalid(name, f"is not valid: {reasons(error)}") from error
    except (ValueError, RecursionError) as error:
        raise _invalid(name, f"is not TOML: {error}") from error


def read_files(card: ExternalCard) -> dict[str, bytes]:
    """Every file of the model, read once: returned if, and only if, these very bytes have the card's digests.

    Raises ``PolicyRefused``: ``model.weights-missing``, ``model.weights-unreadable``, ``model.digest-mismatch``.
    """
    found = {}
    for file in card.files:
        path = card.folder / file.name
        if path.is_symlink() or path.parent.is_symlink() or not path.is_file():
            raise PolicyRefused("model.weights-missing", f"Model {card.id} has no file {file.name}.", _AGAIN)
        try:
            with path.open("rb") as stream:
                data = stream.read(min(file.size, MAXIMUM_FILE_BYTES) + 1)
        except OSError as error:
            raise PolicyRefused(
                "model.weights-unreadable", f"{file.name} of model {card.id} cannot be read: {error.strerror}.", _AGAIN
            ) from error
        digest = sha256_bytes(data)
        if digest != file.sha256:
            raise PolicyRefused(
                "model.digest-mismatch",
                f"{file.name} of model {card.id} does not have the SHA-256 on its card, {file.sha256}: it was changed.",
                _AGAIN,
            )
        found[file.name] = data
    return found


def verify_external(card: ExternalCard) -> None:
    """Check every file against the card; raises as :func:`read_files` does."""
    read_files(card)


def verify_all_external(store: Path | None = None) -> list[ExternalCheck]:
    """Check every enrolled model, sorted by id. Never raises ``ForensicError``."""
    checks = []
    for model_id in external_ids(store):
        card = None
        try:
            card = load_external(model_id, store)
            verify_external(card)
        except ForensicError as error:
            checks.append(ExternalCheck(model_id, False, card, error.code, error.message))
        else:
            checks.append(ExternalCheck(model_id, True, card))
    return checks


def require_free_id(model_id: str) -> None:
    """Raise ``PolicyRefused`` for what is no id (``model.id-invalid``) or a shipped model's (``model.id-taken``)."""
    if not re.fullmatch(ID_PATTERN, model_id):
        raise PolicyRefused(
            "model.id-invalid",
            f"{told(model_id)!r} is not a model id.",
            "An id has lower-case letters, digits and hyphens.",
        )
    if model_id in model_ids():
        raise PolicyRefused(
            "model.id-taken",
            f"Model {model_id} is this program's own: no other may go by that id.",
            "Choose another id.",
        )


def told(text: str) -> str:
    """``text`` as it can be recorded: bytes that are no text are written out, and what exceeds the bound is counted."""
    whole = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return whole if len(whole) <= MOST_TOLD else f"{whole[:MOST_TOLD]}… ({len(whole)} characters)"


def _invalid(name: str, what: str) -> PolicyRefused:
    return PolicyRefused("model.card-invalid", f"The card of model {name} {what}.", _AGAIN)
