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
    load_external,
    parse_external,
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


def enrol(
    path: Path, model_id: str, store: Path, *, laboratory: Path | None = None, root: str | None = None
) -> Enrolled:
    """Enrol what lies at ``path`` as ``model_id`` in ``store``; ``laboratory`` is the laboratory's own card, if any.

    Raises as :func:`forensic.registry.external.material.read_material` and
    :func:`forensic.registry.external.engine.make_engine`; ``PolicyRefused`` (``model.id-invalid``, ``model.id-taken``,
    ``model.external-exists``), ``BadInput`` (``model.laboratory-card``), ``StorageFailed``.
    """
    require_free_id(model_id)
    said = LaboratoryCard() if laboratory is None else read_laboratory_card(laboratory)
    material = read_material(path, root)
    engine = make_engine(material.engine, material.files, told_name(path))
    text = card_text(_table(model_id, said, material, engine))
    parse_external(text.encode("utf-8"), model_id)  # what is kept can be read again
    place = external_root(store) / model_id
    if place.is_symlink() or place.exists():
        return Enrolled(_same(place, text, model_id, store), False, material.left_out)
    _keep(place, {**material.files, CARD_FILE: text.encode("utf-8")})
    return Enrolled(load_external(model_id, store), True, material.left_out)


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


def _table(model_id: str, said: LaboratoryCard, material: Material, engine: ExternalEngine) -> dict[str, object]:
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
        "licence": said.licence,
        "explanation": said.explanation,
        "training": said.training,
        "known_artefacts": said.known_artefacts or ["None stated by the laboratory. Detail may be invented anywhere."],
        "limitations": [_UNEXAMINED, _UNCALIBRATED, *said.limitations],
        "references": said.references,
        "source": material.source.model_dump(exclude_none=True),
        "files": [file.model_dump() for file in material.enrolled()],
    }
    return {name: value for name, value in table.items() if value is not None}


def _same(place: Path, text: str, model_id: str, store: Path) -> ExternalCard:
    """The card that is there, if it is this very one and its files are sound."""
    try:
        if (place / CARD_FILE).read_bytes() == text.encode("utf-8"):
            card = load_external(model_id, store)
            verify_external(card)
            return card
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


def _keep(place: Path, files: dict[str, bytes]) -> None:
    """Write ``files`` into ``place``, which does not exist: under another name first, then renamed."""
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            for name, data in files.items():
                target = partial / name
                target.parent.mkdir(exist_ok=True)
                with target.open("xb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
            partial.rename(place)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise _failed(place, error) from error


def _failed(place: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        "storage.failed",
        f"Writing {place} failed: {error.strerror or error}.",
        f"Free space or name another folder: --store, or the variable {VARIABLE}.",
    )
