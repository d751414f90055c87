"""Which package index the user has chosen: pip's own configuration is read, none is assumed.

Order and places as in pip's documentation ("Configuration"): files of the system, of the user, of the virtual
environment, the file that ``PIP_CONFIG_FILE`` names, then variables; what comes later wins.
"""

from __future__ import annotations

import configparser
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from forensic.errors import BadInput, UsageError

_KEYS = ("index-url", "extra-index-url", "cert")
_SECTIONS = ("global", "download")


@dataclass(frozen=True)
class Indexes:
    """Addresses of simple indexes (PEP 503, PEP 691), in order, and the file of authorities for TLS, if one is set."""

    urls: tuple[str, ...]
    authorities: Path | None


def configured_indexes(given: str | None = None, environment: Mapping[str, str] | None = None) -> Indexes:
    """The index ``given``, else those of pip's configuration.

    Raises ``UsageError`` (``model.pack-no-index``) where there is none, ``BadInput``
    (``model.pack-pip-configuration``) for a file that cannot be read as one.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, str] = {}
    for path in configuration_files(environment):
        found |= _read(path)
    for key in _KEYS:
        value = environment.get("PIP_" + key.upper().replace("-", "_"))
        if value:
            found[key] = value
    urls = (given,) if given else tuple(f"{found.get('index-url', '')} {found.get('extra-index-url', '')}".split())
    if not urls:
        raise UsageError(
            "model.pack-no-index",
            "No package index is configured: neither pip's configuration nor PIP_INDEX_URL names one, and none is "
            "assumed.",
            "Name one with --index-url URL (the address of its simple API), or bring the file and use --from FILE.",
        )
    return Indexes(urls, Path(found["cert"]) if found.get("cert") else None)


def configuration_files(environment: Mapping[str, str], platform: str = sys.platform) -> list[Path]:
    """Configuration files in pip's order, whether they are there or not."""
    named = environment.get("PIP_CONFIG_FILE")
    if named == os.devnull:
        return []
    return [*_usual_files(environment, platform), *([Path(named)] if named else [])]


def _usual_files(environment: Mapping[str, str], platform: str) -> Iterator[Path]:
    home = Path(environment.get("HOME") or environment.get("USERPROFILE") or "~").expanduser()
    if platform == "win32":
        yield Path(environment.get("PROGRAMDATA") or "C:/ProgramData") / "pip" / "pip.ini"
        yield home / "pip" / "pip.ini"
        yield Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / "pip" / "pip.ini"
        yield Path(sys.prefix) / "pip.ini"
        return
    if platform == "darwin":
        yield Path("/Library/Application Support/pip/pip.conf")
    else:
        for folder in reversed((environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)):
            yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    yield home / ".pip" / "pip.conf"
    if platform == "darwin" and (home / "Library" / "Application Support" / "pip").is_dir():
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    else:
        yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield Path(sys.prefix) / "pip.conf"


def _read(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text("utf-8"), str(path))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}  # not there, or not for us: as pip takes it
    except (OSError, UnicodeDecodeError, configparser.Error) as error:
        raise BadInput(
            "model.pack-pip-configuration",
            f"pip's configuration {path} cannot be read: {error}.",
            "Repair it, or use --index-url with PIP_CONFIG_FILE set to " + os.devnull + ".",
        ) from error
    return {
        key: parser[section][key]
        for section in _SECTIONS
        if parser.has_section(section)
        for key in _KEYS
        if parser[section].get(key)
    }
