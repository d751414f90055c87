"""Enrol a laboratory's own model: read, examined by a trial, and kept with its card in the models store, whole or not
at all.
"""

from __future__ import annotations

import os
import shutil
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from forensic.errors import BadInput, ForensicError, PolicyRefused, StorageFailed
from forensic.registry.cards import CARD_FILE, MAXIMUM_CARD_BYTES, reasons
from forensic.registry.external.card import (
    COMPUTED,
    SCHEMA,
    ExternalCard,
    LaboratoryCard,
    card_text,
    class_statement,
)
from forensic.registry.external.engine import ExternalEngine, make_engine
from forensic.registry.external.material import Material, read_material, told_name
from forensic.registry.external.shelf import (
    external_root,
    is_recorded,
    parse_external,
    read_card,
    require_free_id,
    verify_external,
)
from forensic.registry.packs.store import VARIABLE

_UNEXAMINED = (
    "The laboratory's own model: this program has examined neither what it was trained on nor what it invents."
)
_UNCALIBRATED = "Uncalibrated: the risk map of its output is HIGH everywhere, by rule and not by measurement."


@dataclass(frozen=True)
class Enrolled:
    """The card as it was kept, whether it is new, and files that were left where they are."""

    card: ExternalCard
    new: bool
    left_out: tuple[str, ...]


class Enrolment:
    """A model that was brought, read whole and not yet computed: what is to be kept of it, and where."""

    def __init__(self, who: str, model_id: str, store: Path, said: LaboratoryCard, material: Material) -> None:
        self._who, self._model_id, self._store = who, model_id, store
        self._said, self._material = said, material
        self._place = external_root(store) / model_id
        self._partial = self._place.with_name(f".{model_id}.{os.getpid()}.partial")
        self._made: tuple[int, int] | None = None

    @property
    def left_out(self) -> tuple[str, ...]:
        """Files that are left where they are."""
        return self._material.left_out

    def present(self) -> ExternalCard | None:
        """The card of this very model where it is kept already, all of it sound; nothing is computed."""
        try:
            card = read_card(self._model_id, self._store)
            if (card.folder / CARD_FILE).read_bytes() != self._card(card):
                return None
            verify_external(card)
        except (ForensicError, OSError):
            return None  # none, another, or damaged: what it is comes out when this one is to be kept
        return card

    def keep(self) -> Enrolled:
        """Make the engine, try it once, and keep files and card. The card is not on record yet, and not usable.

        Raises as :func:`enrol`. Whatever ends it or comes after it, :meth:`withdraw` undoes it.
        """
        engine = make_engine(self._material.engine, self._material.files, self._who)
        text = self._card(engine)
        parse_external(text, self._model_id)  # what is kept can be read again
        if self._place.is_symlink() or self._place.exists():
            return Enrolled(_same(self._place, text, self._model_id, self._store), False, self.left_out)
        self._write({**self._material.files, CARD_FILE: text})
        return Enrolled(read_card(self._model_id, self._store), True, self.left_out)

    def withdraw(self) -> bool:
        """Remove the folder that :meth:`keep` made, and no other. False if it made none, or that is gone.

        Raises ``StorageFailed``.
        """
        try:
            if self._made is None or _identity(self._place) != self._made:
                return False
            self._place.rename(self._partial)  # at once: half a folder is never a model
            shutil.rmtree(self._partial)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise _failed(self._place, error) from error
        return True

    def _card(self, computed: ExternalEngine | ExternalCard) -> bytes:
        """The card's file, for what was ``computed`` (or for what a card says of that)."""
        return card_text(_table(self._model_id, self._said, self._material, computed)).encode("utf-8")

    def _write(self, files: dict[str, bytes]) -> None:
        """Write ``files`` into their place, which does not exist: under another name first, then renamed."""
        partial = self._partial
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            try:
                self._made = _identity(partial)
                for name, data in files.items():
                    target = partial / name
                    target.parent.mkdir(exist_ok=True)
                    with target.open("xb") as stream:
                        stream.write(data)
                        stream.flush()
                        os.fsync(stream.fileno())
                partial.rename(self._place)
            except BaseException:
                shutil.rmtree(partial, ignore_errors=True)
                raise
        except OSError as error:
            raise _failed(self._place, error) from error


def read_model(
    path: Path, model_id: str, store: Path, *, laboratory: Path | None = None, root: str | None = None
) -> Enrolment:
    """Read what lies at ``path`` to be enrolled as ``model_id`` in ``store``; nothing is computed or kept yet.

    ``laboratory`` is the laboratory's own card, if any. Raises as
    :func:`forensic.registry.external.material.read_material`; ``PolicyRefused`` (``model.id-invalid``,
    ``model.id-taken``) and ``BadInput`` (``model.laboratory-card``).
    """
    require_free_id(model_id)
    said = LaboratoryCard() if laboratory is None else read_laboratory_card(laboratory)
    return Enrolment(told_name(path), model_id, store, said, read_material(path, root))


def enrol(
    path: Path, model_id: str, store: Path, *, laboratory: Path | None = None, root: str | None = None
) -> Enrolled:
    """Read, try and keep in one go, on no record: :func:`forensic.case.modeladd.add_model` puts it there.

    Raises as :func:`read_model` and :func:`forensic.registry.external.engine.make_engine`; ``PolicyRefused``
    (``model.external-exists``), ``StorageFailed``.
    """
    enrolment = read_model(path, model_id, store, laboratory=laboratory, root=root)
    try:
        return enrolment.keep()
    except BaseException:
        enrolment.withdraw()
        raise


def read_laboratory_card(path: Path) -> LaboratoryCard:
    """What the laboratory says of its model, a TOML file. Raises ``BadInput`` (``model.laboratory-card``)."""
    try:
        with path.open("rb") as stream:
            data = stream.read(MAXIMUM_CARD_BYTES + 1)
        if len(data) > MAXIMUM_CARD_BYTES:
            raise ValueError("it exceeds 1 MiB")
        return LaboratoryCard.model_validate(tomllib.loads(data.decode("utf-8")))
    except OSError as error:
        why = error.strerror or str(error)
    except ValidationError as error:
        why = reasons(error)
    except (ValueError, RecursionError) as error:
        why = f"it is not TOML ({error})"
    raise BadInput(
        "model.laboratory-card", f"The card {path.name} cannot be used: {why}.",
        "It may state title, version, class, class_declared_by, licence, explanation, training, known_artefacts, "
        "limitations, references.",
    )  # fmt: skip


def _table(
    model_id: str, said: LaboratoryCard, material: Material, engine: ExternalEngine | ExternalCard
) -> dict[str, object]:
    table = {
        "schema": SCHEMA,
        "id": model_id,
        "version": said.version,
        "title": said.title or f"{engine.architecture}, x{engine.scale} (the laboratory's own)",
        "class": "generative",
        "class_statement": class_statement(said.class_label, said.class_declared_by),
        "declared_class": said.class_label,
        "declared_by": said.class_declared_by,
        "engine": material.engine,
        "architecture": engine.architecture,
        "scale": engine.scale,
        "alignment": engine.alignment,
        "parameters": engine.parameters,
        "noise": engine.noise,
        "computed_precision": None if material.engine == "onnxruntime" else COMPUTED,
        "licence": said.licence,
        "explanation": said.explanation,
        "training": said.training,
        "known_artefacts": said.known_artefacts or ["None stated by the laboratory. Detail may be invented anywhere."],
        "limitations": [_UNEXAMINED, _UNCALIBRATED, *said.limitations],
        "references": said.references,
        "source": material.source.model_dump(exclude_none=True),
        "conditions": None if engine.conditions is None else engine.conditions.model_dump(),
        "files": [file.model_dump(exclude_none=True) for file in material.enrolled()],
    }
    return {name: value for name, value in table.items() if value is not None}


def _same(place: Path, text: bytes, model_id: str, store: Path) -> ExternalCard:
    """The card that is there, if it is this very one and its files are sound."""
    try:
        card = read_card(model_id, store)
        if (place / CARD_FILE).read_bytes() == text:
            verify_external(card)
            return card
        if not is_recorded(card.card_sha256, store):
            raise PolicyRefused("model.external-unrecorded", "it is on no record.")
    except OSError as error:
        raise _failed(place, error) from error
    except ForensicError as error:
        raise PolicyRefused(
            "model.external-exists", f"A model {model_id} is enrolled already, and is not sound: {error.message}",
            f"Look at {place} and move it away, or choose another id.",
        ) from error  # fmt: skip
    raise PolicyRefused(
        "model.external-exists",
        f"Another model {model_id} is enrolled already. Runs that were made with it name it by that id.",
        "Choose another id, for example with a number behind it.",
    )


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.lstat()
    return status.st_dev, status.st_ino


def _failed(place: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        "storage.failed",
        f"Writing {place} failed: {error.strerror or error}.",
        f"Free space or name another folder: --store, or the variable {VARIABLE}.",
    )
