"""``settings.toml`` of a workspace: the timestamp authority. It is configuration, not evidence.

Whoever can write to the workspace can change it; it therefore decides whom to ask, never whom a verifier trusts.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.case.layout import WorkspaceLayout
from forensic.case.regularfile import read_regular
from forensic.errors import UsageError
from forensic.signing.tsa import DEFAULT_TIMEOUT_S, TimestampAuthority

_LIMIT = 1 << 20
_LONGEST_WAIT_S = 300.0


@dataclass(frozen=True)
class TimestampSettings:
    """``[timestamp]``: address, seconds to wait, and files (PEM or DER) with its roots and revocation lists."""

    url: str | None = None
    timeout_s: float = DEFAULT_TIMEOUT_S
    roots: tuple[Path, ...] = ()
    lists: tuple[Path, ...] = ()


def timestamp_settings(layout: WorkspaceLayout) -> TimestampSettings:
    """Read ``settings.toml``; a workspace without one has no timestamp authority.

    Raises ``UsageError`` (``settings.invalid``) for anything but the known tables, keys and types.
    """
    try:
        document = tomllib.loads(read_regular(layout.settings, _LIMIT).decode("utf-8"))
    except FileNotFoundError:
        return TimestampSettings()
    except OSError as error:
        raise _invalid(layout, f"it cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise _invalid(layout, str(error)) from error
    table = document.get("timestamp", {})
    if set(document) - {"timestamp"} or not isinstance(table, dict):
        raise _invalid(layout, "the only table is [timestamp]")
    if unknown := set(table) - {"url", "timeout_s", "roots", "crls"}:
        raise _invalid(layout, f"[timestamp] has no key {sorted(unknown)[0]!r}; it has url, timeout_s, roots and crls")
    url, wait = table.get("url"), table.get("timeout_s", DEFAULT_TIMEOUT_S)
    if url is not None and not isinstance(url, str):
        raise _invalid(layout, "url is not text")
    if isinstance(wait, bool) or not isinstance(wait, int | float) or not 0 < wait <= _LONGEST_WAIT_S:
        raise _invalid(layout, f"timeout_s is not a number of seconds up to {_LONGEST_WAIT_S:g}")
    return TimestampSettings(url, float(wait), _files(layout, table, "roots"), _files(layout, table, "crls"))


def _files(layout: WorkspaceLayout, table: dict[str, Any], key: str) -> tuple[Path, ...]:
    """Names are relative to the workspace."""
    names = table.get(key, [])
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise _invalid(layout, f"{key} is not a list of file names")
    return tuple(layout.root / name for name in names)


def timestamp_authority(layout: WorkspaceLayout, url: str | None = None) -> TimestampAuthority | None:
    """The authority to ask: at ``url``, else the configured one; None if there is none.

    Raises ``UsageError`` (``settings.invalid``, ``timestamp.url``, ``timestamp.roots``).
    """
    settings = timestamp_settings(layout)
    address = url or settings.url
    if address is None:
        return None
    from forensic.signing.timestamp import read_roots

    return TimestampAuthority(address, settings.timeout_s, read_roots(_contents(layout, settings.roots)))


def timestamp_lists(layout: WorkspaceLayout) -> list[bytes]:
    """The configured revocation lists about the timestamp authority. Raises ``UsageError`` (``settings.invalid``)."""
    return _contents(layout, timestamp_settings(layout).lists)


def _contents(layout: WorkspaceLayout, files: tuple[Path, ...]) -> list[bytes]:
    try:
        return [read_regular(file, _LIMIT << 4) for file in files]
    except OSError as error:
        raise _invalid(layout, f"{error.filename} cannot be read: {error.strerror}") from error


def _invalid(layout: WorkspaceLayout, reason: str) -> UsageError:
    return UsageError(
        "settings.invalid", f"{layout.settings} cannot be used: {reason}.", "See docs/formats/timestamps.md."
    )
