"""Where fetched weights lie: outside the installation, outside every workspace, one folder for a user.

``FORENSIC_MODEL_STORE`` names it; else it is the folder where the system keeps a user's data of programs.
Weights lie in ``ID/DIGEST/FILE``, DIGEST being the first 16 digits of their SHA-256, so that versions of a
card do not disturb each other. ``fetches.jsonl`` beside them has a line for every attempt to fetch, enrol or remove.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensic.errors import StorageFailed

if TYPE_CHECKING:
    from forensic.registry.card import ModelCard

VARIABLE = "FORENSIC_MODEL_STORE"
JOURNAL = "fetches.jsonl"
FETCHED, REMOVED, REMOVE_STARTED = "model.fetched", "model.removed", "model.remove-started"
REMOVE_REFUSED, REMOVE_FAILED, REMOVE_CANCELLED = (
    "model.remove-refused", "model.remove-failed", "model.remove-cancelled",
)  # fmt: skip
"""Events: weights came into the store; a model was taken out of it, and that was begun; it ended otherwise.
What is put back by hand afterwards is on no record."""


def default_store(environment: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """The models store of this user; it need not exist.

    Linux: ``$XDG_DATA_HOME/forensic/models``, else ``~/.local/share/forensic/models``; macOS:
    ``~/Library/Application Support/forensic/models``; Windows: ``%LOCALAPPDATA%\\forensic\\models``.
    """
    environment = os.environ if environment is None else environment
    if environment.get(VARIABLE):
        return Path(environment[VARIABLE])
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or "~").expanduser()
    if platform == "win32":
        base = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif platform == "darwin":
        base = home / "Library" / "Application Support"
    else:
        given = Path(environment.get("XDG_DATA_HOME") or "")
        base = given if given.is_absolute() else home / ".local" / "share"  # relative ones are invalid by its rules
    return base / "forensic" / "models"


def stored_weights(card: ModelCard, store: Path | None = None) -> Path:
    """Where the weights of a card with a pack lie once they have been fetched."""
    root = default_store() if store is None else store
    return root / card.id / card.weights.sha256[:16] / card.weights.file


def keep_weights(card: ModelCard, data: bytes, store: Path) -> Path:
    """Write weights to their place, durably and whole or not at all. Raises ``StorageFailed`` (``storage.failed``)."""
    path = stored_weights(card, store)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            with os.fdopen(os.open(partial, flags, 0o666), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(path)
            sync_folder(path.parent)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _failed(path, error) from error
    return path


def note(store: Path, record: Mapping[str, Any]) -> None:
    """Add a line to the store's own record of what was fetched. Raises ``StorageFailed`` (``storage.failed``)."""
    path = store / JOURNAL
    line = json.dumps(record, ensure_ascii=True, sort_keys=True) + "\n"
    try:
        store.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags, 0o666), "ab") as stream:
            stream.write(line.encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise _failed(path, error) from error


def noted(store: Path) -> Iterator[dict[str, Any]]:
    """The lines of the store's own record; what is no such line is passed over. Raises ``StorageFailed``."""
    path = store / JOURNAL
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageFailed("storage.failed", f"Reading {path} failed: {error.strerror or error}.") from error
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # half a line, after the power failed
            continue
        if isinstance(record, dict):
            yield record


def stands(store: Path, event: str, name: str, digest: str) -> bool:
    """Whether the store's record has a line ``event`` with ``digest`` under ``name``, and none since by which the model
    was removed, or that was begun and not ended with the model in its place. Raises ``StorageFailed``.
    """
    there, model = False, None
    before, begun = False, None
    for line in noted(store):
        if line.get("event") == event and line.get(name) == digest:
            there, model, begun = True, line.get("model"), None
        elif line.get("model") != model:
            continue
        elif line.get("event") == REMOVE_STARTED:
            there, before, begun = False, there, line
        elif line.get("event") == REMOVED:
            there, begun = False, None
        elif was_undone(begun, line):
            there, begun = before, None
    return there


def was_undone(begun: Mapping[str, Any] | None, line: Mapping[str, Any]) -> bool:
    """Whether ``line`` says that the removal which ``begun`` began has ended with the model in its place.

    They are of one attempt if they name the same folder (``set_aside``, drawn anew by every attempt): a refusal of a
    later attempt says nothing of one that was broken off.
    """
    return (
        begun is not None
        and line.get("event") in (REMOVE_REFUSED, REMOVE_FAILED, REMOVE_CANCELLED)
        and line.get("taken_out") is False
        and isinstance(line.get("set_aside"), str)
        and line["set_aside"] == begun.get("set_aside")
    )


def sync_folder(folder: Path) -> None:
    """Make a rename in ``folder`` durable. Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(
        "storage.failed",
        f"Writing {path} failed: {error.strerror or error}.",
        "Free space or name another folder: --store, or the variable " + VARIABLE + ".",
    )
