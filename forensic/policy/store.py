"""Policy files: found by name or path, read once, hashed, checked against the schema, or refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cedarpy

from forensic import resources
from forensic.errors import PolicyRefused
from forensic.hashes import sha256_bytes
from forensic.policy.rules import PolicyRule, hidden_character, invalid, read_rules

SUFFIX = ".cedar"
SCHEMA_NAME = "schema.cedarschema"
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_MAXIMUM_BYTES = 1 << 18


@dataclass(frozen=True)
class Policy:
    """A policy that was read, hashed and validated.

    ``name`` is the bare name of a policy from the policies folder (``forensic``) or, for a file
    given by path, its file name with the suffix (``forensic.cedar``), so that one cannot pass for
    the other. ``sha256`` and ``schema_sha256`` are over the files' bytes, in hexadecimal.
    """

    name: str
    origin: Literal["named", "file"]
    text: str
    sha256: str
    schema_text: str
    schema_sha256: str
    rules: tuple[PolicyRule, ...]

    @property
    def summary(self) -> str:
        """The opening comment of the file, up to its first empty line, or an empty string."""
        lines: list[str] = []
        for line in self.text.splitlines():
            comment = line.strip().removeprefix("//").strip()
            if not line.strip().startswith("//") or not comment:
                break
            lines.append(comment)
        return " ".join(lines)


def _folder(policies_dir: Path | None) -> Path:
    return resources.policies_dir() if policies_dir is None else policies_dir


def policy_names(policies_dir: Path | None = None) -> list[str]:
    """Names of the policies in ``policies_dir`` (default: the shipped folder), sorted.

    Raises ``PolicyRefused`` (``policy.unreadable``) if the folder cannot be listed.
    """
    folder = _folder(policies_dir)
    try:
        files = [entry for entry in folder.iterdir() if entry.suffix == SUFFIX and entry.is_file()]
    except OSError as error:
        raise _unreadable(f"folder {folder}", error) from error
    return sorted(entry.stem for entry in files if _NAME.fullmatch(entry.stem))


def _unreadable(what: str, why: object) -> PolicyRefused:
    return PolicyRefused(
        "policy.unreadable",
        f"The policy {what} cannot be read: {why}.",
        "Without a readable policy nothing is permitted.",
    )


def _read(path: Path) -> tuple[str, str]:
    """Text and digest of the bytes of ``path``, read exactly once."""
    try:
        if not path.is_file():
            raise _unreadable(f"file {path.name!r}", "it is missing or not a regular file")
        with path.open("rb") as stream:
            data = stream.read(_MAXIMUM_BYTES + 1)
    except (OSError, ValueError) as error:
        raise _unreadable(f"file {path.name!r}", error) from error
    if len(data) > _MAXIMUM_BYTES:
        raise _unreadable(f"file {path.name!r}", f"it is larger than {_MAXIMUM_BYTES} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _unreadable(f"file {path.name!r}", f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    if hidden := hidden_character(text, allowed="\t\r\n\u200c\u200d"):
        raise invalid(f"{path.name} holds the hidden character {hidden}.", "Remove it: it can hide what a rule does.")
    return text, sha256_bytes(data)


def _locate(name_or_path: str | Path, folder: Path) -> tuple[str, Literal["named", "file"], Path]:
    text = str(name_or_path)
    if isinstance(name_or_path, str) and _NAME.fullmatch(text):
        path = folder / (text + SUFFIX)
        if not path.is_file():
            raise _unknown(text, folder)
        # A link in the policies folder must not bring in a file that lies elsewhere.
        if path.resolve().parent != folder.resolve():
            raise _unreadable(f"{text!r}", "its file leads outside the policies folder")
        return text, "named", path
    path = Path(text)
    if path.suffix != SUFFIX or hidden_character(path.name):
        raise _unknown(text, folder)
    return path.name, "file", path


def _unknown(text: str, folder: Path) -> PolicyRefused:
    try:
        known = ", ".join(policy_names(folder)) or "none"
    except PolicyRefused:
        known = "none"
    return PolicyRefused(
        "policy.unknown",
        f"There is no policy {text!r}.",
        f"Known policies: {known}. A policy of your own is given as the path of a {SUFFIX} file.",
    )


def load_policy(name_or_path: str | Path, policies_dir: Path | None = None) -> Policy:
    """Read and validate a policy by name, or by the path of a ``.cedar`` file.

    The schema is always ``schema.cedarschema`` of ``policies_dir`` (default: the shipped folder).
    Raises ``PolicyRefused``: ``policy.unknown`` (no such name; names hold no path),
    ``policy.unreadable`` (missing, not UTF-8, larger than 256 KiB, or a link out of the folder),
    ``policy.invalid`` (Cedar or the schema rejects it, rules without name or explanation, hidden
    characters). Source: Cedar policy language 4, strict validation.
    """
    folder = _folder(policies_dir)
    name, origin, path = _locate(name_or_path, folder)
    schema_text, schema_sha256 = _read(folder / SCHEMA_NAME)
    text, sha256 = _read(path)
    rules = read_rules(text)
    try:
        schema = cedarpy.Schema.from_str(schema_text)
    except ValueError as error:
        raise invalid(f"Cedar cannot read the schema: {error}.", "Restore the schema that was shipped.") from error
    result = cedarpy.validate_policies(text, schema)
    if not result.validation_passed:
        problems = "; ".join(error.error for error in result.errors) or "no reason given"
        raise invalid(f"{path.name} does not fit the schema: {problems}.")
    return Policy(name, origin, text, sha256, schema_text, schema_sha256, rules)
