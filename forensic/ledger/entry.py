"""One ledger entry: its canonical form, strictly read. The specification is docs/formats/ledger.md."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from forensic.errors import BadInput
from forensic.hashes import parse_canonical, sha256_bytes

CHAINED = 1
"""Version of entries of the older form, which name their predecessor and nothing else."""
VERSION = 2
PAYLOAD_TYPE = "application/vnd.forensic.ledger-entry+json"
CLOCK_SOURCE = "system clock; synchronisation not verified"
MAX_ENTRY_BYTES = 4 << 20
"""Longest canonical entry. Bulk data belongs in files whose digest the entry names."""
MAX_ENVELOPE_BYTES = 8 << 20

_CHAINED_KEYS = {"v", "seq", "prev", "time", "actor", "event", "case", "exhibit", "run", "data"}
_KEYS = {CHAINED: _CHAINED_KEYS, VERSION: _CHAINED_KEYS | {"tree", "thread", "tally"}}
_LINKED = ("case", "exhibit", "run")
_TIME_KEYS = {"utc", "source", "monotonic_ns_since_previous", "session", "clock_regression"}
_SHA256 = re.compile(r"[0-9a-f]{64}")
_EVENT = re.compile(r"[a-z]+(-[a-z]+)*(\.[a-z]+(-[a-z]+)*)+")
_UTC = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z", re.ASCII)


class Head(NamedTuple):
    """The last entry of a chain: its number and its hash (64 hexadecimal digits)."""

    seq: int
    hash: str


GENESIS = Head(0, "0" * 64)
"""What the first entry names as its predecessor."""


class TreeHead(NamedTuple):
    """Size and RFC 9162 root (64 hexadecimal digits) of the Merkle tree over the entries before one."""

    size: int
    root: str


class Thread(NamedTuple):
    """Number of the last earlier entry with the same case, exhibit, run: 0 if none, None if the field is null."""

    case: int | None
    exhibit: int | None
    run: int | None


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """An entry as it stands in the ledger; ``canonical`` is the hashed text, ``hash`` its SHA-256.

    ``tree``, ``thread`` and ``tally`` (root of the tally over the entries up to and with this one, 64
    hexadecimal digits) are None in an entry of version 1.
    """

    seq: int
    hash: str
    prev: str
    utc: str
    event: str
    case: str | None
    exhibit: str | None
    run: str | None
    data: dict[str, Any]
    actor: dict[str, str]
    time: dict[str, Any]
    canonical: bytes
    version: int
    tree: TreeHead | None
    thread: Thread | None
    tally: str | None

    @property
    def head(self) -> Head:
        """This entry as a citable head."""
        return Head(self.seq, self.hash)

    def to_json(self) -> dict[str, Any]:
        """The whole entry as a JSON-ready dict, with its hash under ``entry_hash``."""
        entry: dict[str, Any] = parse_canonical(self.canonical)
        return {**entry, "entry_hash": self.hash}


def format_utc(moment: dt.datetime) -> str:
    """ISO 8601 in UTC with exactly six decimals and ``Z``, so that text order is time order."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_entry(canonical: bytes) -> LedgerEntry:
    """Read one entry strictly: canonical bytes, exactly the specified keys, types and forms.

    Raises ``BadInput`` (``canonical.invalid``, ``ledger.entry``).
    """
    value = parse_canonical(canonical)
    version = value.get("v") if isinstance(value, dict) else None
    if not _is_count(version) or version not in _KEYS:
        raise _invalid("its version is unknown")
    if set(value) != _KEYS[version]:
        raise _invalid("it does not have exactly the specified keys")
    if not _is_count(value["seq"]) or value["seq"] < 1:
        raise _invalid("seq is not a positive integer")
    if not _matches(_SHA256, value["prev"]):
        raise _invalid("prev is not a SHA-256")
    if not _matches(_EVENT, value["event"]):
        raise _invalid("event is not a dotted lower-case name")
    for key in ("case", "exhibit", "run"):
        if value[key] is not None and not _is_identifier(value[key]):
            raise _invalid(f"{key} is neither null nor a non-empty text without control characters")
    if not isinstance(value["data"], dict):
        raise _invalid("data is not an object")
    _check_actor(value["actor"])
    _check_time(value["time"])
    if version == VERSION:
        _check_links(value)
    return LedgerEntry(
        seq=value["seq"],
        hash=sha256_bytes(canonical),
        prev=value["prev"],
        utc=value["time"]["utc"],
        event=value["event"],
        case=value["case"],
        exhibit=value["exhibit"],
        run=value["run"],
        data=value["data"],
        actor=value["actor"],
        time=value["time"],
        canonical=canonical,
        version=version,
        tree=TreeHead(**value["tree"]) if version == VERSION else None,
        thread=Thread(**value["thread"]) if version == VERSION else None,
        tally=value.get("tally"),
    )


def _check_links(value: Mapping[str, Any]) -> None:
    tree, thread = value["tree"], value["thread"]
    if not isinstance(tree, dict) or set(tree) != {"size", "root"}:
        raise _invalid("tree does not have exactly the keys size and root")
    if not _is_count(tree["size"]) or tree["size"] != value["seq"] - 1 or not _matches(_SHA256, tree["root"]):
        raise _invalid("tree's size is not that of the entries before or its root not a SHA-256")
    if not isinstance(thread, dict) or set(thread) != set(_LINKED):
        raise _invalid("thread does not have exactly the keys case, exhibit and run")
    for key in _LINKED:
        before = thread[key]
        if (before is None) != (value[key] is None):
            raise _invalid(f"thread's {key} is not null exactly where {key} is")
        if before is not None and not (_is_count(before) and 0 <= before < value["seq"]):
            raise _invalid(f"thread's {key} is not the number of an earlier entry")
    if not _matches(_SHA256, value["tally"]):
        raise _invalid("tally is not a SHA-256")


def _check_actor(actor: Any) -> None:
    if not isinstance(actor, dict) or set(actor) != {"subject", "key_id"}:
        raise _invalid("actor does not have exactly the keys subject and key_id")
    if not isinstance(actor["subject"], str) or not _matches(_SHA256, actor["key_id"]):
        raise _invalid("actor's subject is not text or its key_id not a SHA-256")


def _check_time(time: Any) -> None:
    if not isinstance(time, dict) or set(time) != _TIME_KEYS:
        raise _invalid("time does not have exactly the specified keys")
    elapsed = time["monotonic_ns_since_previous"]
    if elapsed is not None and not (_is_count(elapsed) and elapsed >= 0):
        raise _invalid("monotonic_ns_since_previous is neither null nor a count")
    if not isinstance(time["clock_regression"], bool) or not isinstance(time["source"], str):
        raise _invalid("clock_regression is not a boolean or source not a text")
    if not _matches(_UTC, time["utc"]):
        raise _invalid("utc is not of the form 2026-01-31T12:00:00.000000Z")
    try:
        dt.datetime.fromisoformat(time["utc"])
    except ValueError as error:
        raise _invalid("utc is not a date that exists") from error
    try:
        plain = str(uuid.UUID(time["session"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise _invalid("session is not a UUID") from error
    if plain != time["session"]:
        raise _invalid("session is not a UUID in its usual form")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and value != "" and all(c >= " " and c != "\x7f" for c in value)


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _invalid(reason: str) -> BadInput:
    return BadInput("ledger.entry", f"Not a valid ledger entry: {reason}.")
