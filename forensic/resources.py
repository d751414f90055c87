"""Where the shipped data lies: model cards and weights, policies, report wording and fonts.

Installed, it lies in ``forensic/_data`` (put there by the wheel build); in a checkout, at the top
level beside our own ``pyproject.toml``. Nothing else in the package looks for files of its own.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

from forensic.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


@cache
def data_root() -> Path:
    """Folder that holds ``models/``, ``policies/`` and ``reports/``.

    Raises ``InternalError`` (``resources.missing``) when the installation is damaged.
    """
    installed = _PACKAGE / "_data"
    if installed.is_dir():
        return installed
    checkout = _PACKAGE.parent
    try:
        project = tomllib.loads((checkout / "pyproject.toml").read_text("utf-8"))
        ours = project["project"]["name"] == "forensic-video"
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        ours = False
    if not ours:
        raise InternalError(
            "resources.missing", "The files shipped with forensic were not found.", "Install the package again."
        )
    return checkout


def models_dir() -> Path:
    """Folder of model cards and weights."""
    return data_root() / "models"


def policies_dir() -> Path:
    """Folder of policy files and their schema."""
    return data_root() / "policies"


def reports_dir() -> Path:
    """Folder of report wording and fonts."""
    return data_root() / "reports"


def recipes_dir() -> Path:
    """Folder of the built-in recipes (they are policy of a kind: which stages, in which order, why)."""
    return policies_dir() / "recipes"


def validation_dir() -> Path:
    """Folder of the validation suites."""
    return policies_dir() / "validation"
