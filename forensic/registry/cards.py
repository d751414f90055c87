"""Find, read and check model cards without loading torch. Every doubt is a refusal.

``models/<id>/card.toml`` describes the weights beside it. A model is usable only if the card can be
read, says nothing that this version does not understand, names a known class, and the digest on it
is that of the weights file. Weights of a weight pack lie in the models store, once the user has
fetched them; nothing here fetches anything.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from forensic import resources
from forensic.errors import ForensicError, PolicyRefused
from forensic.frames.stageclass import StageClass
from forensic.hashes import sha256_bytes
from forensic.registry.card import ID_PATTERN, ModelCard
from forensic.registry.packs.store import stored_weights

CARD_FILE = "card.toml"
CALIBRATION_FILE = "calibration.json"
HELD_OUT_FILE = "evaluation.csv"
MAXIMUM_CARD_BYTES = 1 << 20
MAXIMUM_WEIGHTS_BYTES = 1 << 30
NOT_FETCHED = "model.pack-not-fetched"
_REINSTALL = "Restore the model's folder from a trusted copy, or install the package again."


@dataclass(frozen=True)
class CardCheck:
    """Verdict on one model folder: ``card`` if it could be read, and why not usable if not ``ok``."""

    model_id: str
    ok: bool
    card: ModelCard | None = None
    code: str = ""
    message: str = ""
    remedy: str = ""

    @property
    def to_be_fetched(self) -> bool:
        """Whether nothing is wrong, except that the user has not fetched the weights (yet)."""
        return self.code == NOT_FETCHED


def model_ids(models_dir: Path | None = None) -> list[str]:
    """Names of the model folders that hold a card, sorted; the cards are not read.

    Raises ``PolicyRefused`` (``model.folder-missing``) if there is no readable models folder.
    """
    return [folder.name for folder in _folders(models_dir) if (folder / CARD_FILE).is_file()]


def load_card(model_id: str, models_dir: Path | None = None) -> ModelCard:
    """Read and validate the card of ``model_id``. The weights are not touched.

    Raises ``PolicyRefused``: ``model.id-invalid``, ``model.card-missing``, ``model.card-invalid``,
    ``model.class-unknown`` (absent too), ``model.digest-missing``, ``model.id-mismatch``.
    """
    if not re.fullmatch(ID_PATTERN, model_id):
        raise PolicyRefused(
            "model.id-invalid",
            f"{model_id!r} is not a model id.",
            "An id has lower-case letters, digits and hyphens; see `forensic models list`.",
        )
    folder = _root(models_dir) / model_id
    data = _read_card(folder)
    card = _parse_card(data, model_id)
    if card.id != model_id:
        raise PolicyRefused(
            "model.id-mismatch", f"The card in folder {model_id} belongs to model {card.id}.", _REINSTALL
        )
    return card.came_from(folder, sha256_bytes(data))


def weights_path(card: ModelCard, store: Path | None = None) -> Path:
    """Where the weights of ``card`` have to lie: beside it, or for a weight pack in ``store`` (the user's if None)."""
    return card.folder / card.weights.file if card.weights.pack is None else stored_weights(card, store)


def read_weights(card: ModelCard, store: Path | None = None) -> bytes:
    """Read the weights file once and return it if, and only if, these very bytes have the card's digest.

    Raises ``PolicyRefused``: ``model.weights-missing``, ``model.weights-unreadable``,
    ``model.digest-mismatch`` or, for a weight pack, ``model.pack-not-fetched``.
    """
    path, remedy = weights_path(card, store), _REINSTALL
    if card.weights.pack is not None:
        remedy = f"Fetch them with `forensic models fetch {card.id}`, or with --from FILE where there is no network."
        if not path.is_symlink() and not path.exists():
            raise PolicyRefused(
                NOT_FETCHED,
                f"The weights of model {card.id} are not shipped and have not been fetched: they are in "
                f"{card.weights.pack.file} of the package {card.weights.pack.distribution}.",
                remedy,
            )
    if path.is_symlink() or not path.is_file():
        raise PolicyRefused(
            "model.weights-missing", f"Model {card.id} has no weights file {card.weights.file}.", remedy
        )
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_WEIGHTS_BYTES + 1)
    except OSError as error:
        raise PolicyRefused(
            "model.weights-unreadable", f"The weights of model {card.id} cannot be read: {error.strerror}.", remedy
        ) from error
    if len(data) > MAXIMUM_WEIGHTS_BYTES:
        raise PolicyRefused("model.weights-unreadable", f"The weights of model {card.id} exceed 1 GiB.", remedy)
    found = sha256_bytes(data)
    if found != card.weights.sha256:
        raise PolicyRefused(
            "model.digest-mismatch",
            f"The weights of model {card.id} have SHA-256 {found}; its card says {card.weights.sha256}.",
            remedy,
        )
    return data


def verify_card(card: ModelCard, store: Path | None = None) -> None:
    """Check the weights file against the card; raises as :func:`read_weights` does."""
    read_weights(card, store)


def verify_all(models_dir: Path | None = None, store: Path | None = None) -> list[CardCheck]:
    """Check every folder under the models folder, sorted by name. Never raises ``ForensicError``.

    A model whose weights are to be fetched is not usable, and says so (``to_be_fetched``). A folder without a card
    and a missing models folder are failed checks too, not omissions.
    """
    try:
        folders = _folders(models_dir)
    except ForensicError as error:
        return [_failed("", error)]
    return [_check(folder.name, folder.parent, store) for folder in folders]


def _check(name: str, root: Path, store: Path | None) -> CardCheck:
    card = None
    try:
        card = load_card(name, root)
        verify_card(card, store)
        _require_beside(card, CALIBRATION_FILE, card.calibration_sha256, "calibration")
        _require_beside(card, HELD_OUT_FILE, card.held_out_sha256, "held-out test")
    except ForensicError as error:
        return _failed(name, error, card)
    return CardCheck(name, True, card)


def _require_beside(card: ModelCard, name: str, sha256: str | None, what: str) -> None:
    """A model may be used without the calibration that its card names, or its test; then its risk maps are
    uncalibrated, or its reports without the test's numbers."""
    if sha256 is None:
        return
    path = card.folder / name
    try:
        with path.open("rb") as stream:
            found = sha256_bytes(stream.read(MAXIMUM_CARD_BYTES + 1))
    except OSError as error:
        found = f"none ({error.strerror})"
    if found != sha256:
        raise PolicyRefused(
            f"model.{what.replace(' ', '-')}-mismatch",
            f"The {what} of model {card.id} has SHA-256 {found}; its card says {sha256}.",
            _REINSTALL,
        )


def _failed(name: str, error: ForensicError, card: ModelCard | None = None) -> CardCheck:
    return CardCheck(name, False, card, error.code, error.message, error.remedy)


def _root(models_dir: Path | None) -> Path:
    return resources.models_dir() if models_dir is None else models_dir


def _folders(models_dir: Path | None) -> list[Path]:
    root = _root(models_dir)
    try:
        return sorted((entry for entry in root.iterdir() if entry.is_dir()), key=lambda entry: entry.name)
    except OSError as error:
        raise PolicyRefused(
            "model.folder-missing", f"The models folder cannot be read: {error.strerror}.", _REINSTALL
        ) from error


def _read_card(folder: Path) -> bytes:
    path = folder / CARD_FILE
    if not path.is_file():
        raise PolicyRefused("model.card-missing", f"Model {folder.name} has no {CARD_FILE}.", _REINSTALL)
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_CARD_BYTES + 1)
    except OSError as error:
        raise PolicyRefused(
            "model.card-invalid", f"The card of model {folder.name} cannot be read: {error.strerror}.", _REINSTALL
        ) from error
    if len(data) > MAXIMUM_CARD_BYTES:
        raise PolicyRefused("model.card-invalid", f"The card of model {folder.name} exceeds 1 MiB.", _REINSTALL)
    return data


def _parse_card(data: bytes, name: str) -> ModelCard:
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        raise PolicyRefused(
            "model.card-invalid", f"The card of model {name} is not TOML: {error}.", _REINSTALL
        ) from error
    _require_class(document, name)
    _require_digest(document, name)
    try:
        return ModelCard.model_validate(document)
    except ValidationError as error:
        raise PolicyRefused(
            "model.card-invalid", f"The card of model {name} is not valid: {reasons(error)}.", _REINSTALL
        ) from error


def _require_class(document: Mapping[str, Any], name: str) -> None:
    try:
        StageClass.parse(document.get("class"))
    except PolicyRefused as error:
        found = repr(document["class"]) if "class" in document else "no class"
        raise PolicyRefused(
            "model.class-unknown", f"The card of model {name} has {found}, so its class is not known.", error.remedy
        ) from error


def _require_digest(document: Mapping[str, Any], name: str) -> None:
    weights = document.get("weights")
    if not isinstance(weights, dict) or not weights.get("sha256"):
        raise PolicyRefused(
            "model.digest-missing", f"The card of model {name} gives no SHA-256 for its weights.", _REINSTALL
        )


def reasons(error: ValidationError) -> str:
    """What is wrong with a card, in words: the first five things."""
    found = [
        f"{'.'.join(str(part) for part in detail['loc']) or 'card'}: {detail['msg']}"
        for detail in error.errors(include_url=False, include_input=False)
    ]
    return "; ".join(found[:5]) + (f"; and {len(found) - 5} more" if len(found) > 5 else "")
