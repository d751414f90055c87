"""The report's words, kept as data in ``reports/wording`` so that a lawyer can read and change them."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from forensic.errors import InternalError
from forensic.hashes import sha256_bytes
from forensic.resources import reports_dir

FILES = ("report.toml", "verification.toml")


@cache
def _load(name: str) -> dict[str, Any]:
    try:
        return tomllib.loads((reports_dir() / "wording" / name).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InternalError("report.wording", f"The wording file {name} cannot be read: {error}.") from error


def _find(name: str, path: tuple[str, ...]) -> Any:
    value: Any = _load(name)
    for key in path:
        if not isinstance(value, dict) or key not in value:
            raise InternalError("report.wording", f"The wording file {name} lacks {'.'.join(path)}.")
        value = value[key]
    return value


def words(*path: str) -> str:
    """The sentence at ``path`` of ``report.toml``. Raises ``InternalError`` (``report.wording``)."""
    return str(_find("report.toml", path))


def words_of(*path: str) -> dict[str, str]:
    """The table of names and words at ``path`` of ``report.toml``."""
    return {str(key): str(text) for key, text in _find("report.toml", path).items()}


def word_list(*path: str) -> list[str]:
    """The list of sentences at ``path`` of ``report.toml``."""
    return [str(item) for item in _find("report.toml", path)]


def glossary() -> dict[str, str]:
    """Terms and their explanations, in the file's order."""
    return words_of("glossary")


def verification(*path: str) -> Any:
    """An entry of ``verification.toml``."""
    return _find("verification.toml", path)


def wording_digests() -> dict[str, str]:
    """SHA-256 of each wording file as used."""
    return {name: sha256_bytes((reports_dir() / "wording" / name).read_bytes()) for name in FILES}


def validation(*path: str) -> Any:
    """An entry of ``validation.toml``: words of the report of a validation, which no report of a run uses."""
    return _find("validation.toml", path)


def calibration(*path: str) -> Any:
    """An entry of ``calibration.toml``: words of the report of a laboratory's calibration."""
    return _find("calibration.toml", path)
