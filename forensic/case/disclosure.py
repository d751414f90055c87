"""What a record has to tell of an exhibit's history: every ledger entry about its bytes (docs/custody.md, section 4).

Writer and verifier share this definition, as they share the ledger's format. Light: ``forensic verify`` needs it.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from forensic.hashes import canonical_json, sha256_bytes
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED, STARTED, TERMINAL

FORMAT = 1
BEGUN = "acquisition.started"
ENDS = frozenset({ACQUIRED, "exhibit.presented-again", "acquisition.failed", "acquisition.cancelled"})
BY_DIGEST = frozenset({"acquisition.failed", "acquisition.cancelled", "custody.acknowledged", "custody.failed"})
"""Events that may name no exhibit, or another one, and are found by the digest in their data."""

_LONGEST = 4096
_FAILED = ("run.refused", "run.failed", "run.cancelled", "run.interrupted", "run.resumed", "exhibit.changed",
           "acquisition.failed", "acquisition.cancelled", "reproduction.failed", "reproduction.cancelled",
           "report.failed", "custody.failed")  # fmt: skip

Kept = TypeVar("Kept")


def told(entry: LedgerEntry) -> dict[str, Any]:
    """The entry as a record tells it: where it stands, who wrote it, and the short facts of its data."""
    return {
        "seq": entry.seq,
        "hash": entry.hash,
        "utc": entry.utc,
        "event": entry.event,
        "case": entry.case,
        "exhibit": entry.exhibit,
        "run": entry.run,
        "actor": dict(entry.actor),
        "data": _facts(entry.event, entry.data),
    }


def told_digest(item: Any) -> bytes:
    """SHA-256 of an item's canonical form, to compare a record's with the ledger's."""
    return bytes.fromhex(sha256_bytes(canonical_json(item)))


def _facts(event: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Plain values of the top level; of custody events all but the signed statement; of some events one level more."""
    if event.startswith("custody."):
        return {key: value for key, value in data.items() if key != "statement"}
    facts = {
        key: value[:_LONGEST] if isinstance(value, str) else value
        for key, value in data.items()
        if value is None or isinstance(value, (str, int, float, bool))
    }
    if event == STARTED:
        request, recipe = _object(data.get("request")), _object(data.get("recipe"))
        facts |= {key: request.get(key) for key in ("mode", "purpose", "reason", "question", "roi")}
        facts |= {"recipe": recipe.get("name"), "frames": data.get("frames")}
        facts["plan_sha256"] = sha256_bytes(
            canonical_json([recipe.get("stages"), data.get("frames"), request.get("roi")])
        )
    elif event == ACQUIRED:
        facts["frames"] = _object(data.get("frames")).get("count")
    elif event == "policy.decided":
        decision = _object(data.get("decision"))
        facts |= {"allowed": decision.get("allowed"), "policy": _object(decision.get("policy")).get("name")}
    return facts


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class ExhibitBytes:
    """Whose history is asked for: the exhibit, its case, the digest of its bytes."""

    exhibit: str
    case: str | None
    sha256: str


@dataclass(frozen=True)
class Told(Generic[Kept]):
    """All entries about a subject up to a head, by number; which of them are acquisitions without an end."""

    exhibits: list[dict[str, Any]]
    entries: dict[int, Kept]
    unended: list[int]
    counts: dict[str, int]
    last: dict[str, int]


@dataclass
class _Start:
    """An ``acquisition.started``; ``end`` is the number of the entry that ended it."""

    case: str | None
    path: Any
    session: str
    end: int | None = None


@dataclass
class History(Generic[Kept]):
    """An index over ledger entries, fed in order, that answers which of them are about some bytes.

    ``keep`` says what is remembered of an entry. Memory grows by that and a few numbers for each entry that
    names an exhibit or belongs to an acquisition, and by eight bytes for each that names a case.
    """

    keep: Callable[[LedgerEntry], Kept]
    _kept: dict[int, Kept] = field(default_factory=dict)
    _by_exhibit: dict[str, array[int]] = field(default_factory=dict)
    _by_case: dict[str, array[int]] = field(default_factory=dict)
    _by_digest: dict[str, array[int]] = field(default_factory=dict)
    _acquired: dict[str, list[tuple[int, str, str | None, Any]]] = field(default_factory=dict)
    _bytes_unknown: list[tuple[int, str | None, Any]] = field(default_factory=list)
    _starts: dict[int, _Start] = field(default_factory=dict)

    def admit(self, entry: LedgerEntry) -> None:
        """Take in the next entry."""
        digest, path = entry.data.get("sha256"), entry.data.get("path")
        if entry.case is not None:
            self._by_case.setdefault(entry.case, array("q")).append(entry.seq)
        if entry.exhibit is not None:
            self._by_exhibit.setdefault(entry.exhibit, array("q")).append(entry.seq)
        if entry.event == BEGUN:
            self._starts[entry.seq] = _Start(entry.case, path, entry.time["session"])
        elif entry.event in ENDS:
            self._end(entry)
        if entry.event == ACQUIRED and isinstance(digest, str) and entry.exhibit is not None:
            self._acquired.setdefault(digest, []).append((entry.seq, entry.exhibit, entry.case, path))
        elif entry.event in BY_DIGEST:
            if isinstance(digest, str):
                self._by_digest.setdefault(digest, array("q")).append(entry.seq)
            elif entry.event in ENDS:
                self._bytes_unknown.append((entry.seq, entry.case, path))
        if entry.exhibit is not None or entry.event == BEGUN or entry.event in BY_DIGEST:
            self._kept[entry.seq] = self.keep(entry)

    def _end(self, entry: LedgerEntry) -> None:
        """Note which start this ends: the one it names; of older programs the latest of its process on that path."""
        named = entry.data.get("started")
        start = self._starts.get(named) if isinstance(named, int) else None
        if start is None and named is None:
            same = (self._starts[seq] for seq in reversed(self._starts))
            path, session = entry.data.get("path"), entry.time["session"]
            start = next((one for one in same if (one.path, one.session, one.end) == (path, session, None)), None)
        if start is not None and start.end is None:
            start.end = entry.seq

    @property
    def known(self) -> Collection[int]:
        """Numbers of the entries that are remembered."""
        return self._kept.keys()

    def begun_after(self, seq: int) -> bool:
        """Whether an acquisition began after entry ``seq`` and has no end."""
        return any(number > seq and start.end is None for number, start in self._starts.items())

    def about(self, subject: ExhibitBytes, until: int) -> Told[Kept]:
        """Every entry about the subject's bytes with a number up to ``until``."""
        acquired = [one for one in self._acquired.get(subject.sha256, ()) if one[0] <= until]
        cases = {subject.exhibit: subject.case} | {exhibit: case for _, exhibit, case, _ in acquired}
        paths = [path for _, _, _, path in acquired if path is not None]
        found: set[int] = set()
        for exhibit in cases:
            found.update(_up_to(self._by_exhibit.get(exhibit), until))
        found.update(_up_to(self._by_digest.get(subject.sha256), until))
        # Bytes that nobody knows, in the same case or from the same place, may have been these.
        found |= {
            seq for seq, case, path in self._bytes_unknown if seq <= until and (case == subject.case or path in paths)
        }
        unended = []
        for seq, start in self._starts.items():
            if seq > until:
                continue
            if start.end is None or start.end > until:
                if seq in found or start.case == subject.case or start.path in paths:
                    unended.append(seq)
            elif start.end in found:
                found.add(seq)
        found.update(unended)
        of_case = _up_to(self._by_case.get(subject.case or ""), until)
        of_exhibit = _up_to(self._by_exhibit.get(subject.exhibit), until)
        return Told(
            [{"id": exhibit, "case": case} for exhibit, case in cases.items()],
            {seq: self._kept[seq] for seq in sorted(found)},
            unended,
            {"ledger": until, "case": len(of_case), "exhibit": len(of_exhibit)},
            {"case": of_case[-1] if of_case else 0, "exhibit": of_exhibit[-1] if of_exhibit else 0},
        )


def _up_to(numbers: array[int] | None, until: int) -> Sequence[int]:
    return () if numbers is None else numbers[: bisect_right(numbers, until)]


def custody_record(history: Told[dict[str, Any]]) -> dict[str, Any]:
    """What the record of a run says under ``custody``."""
    return {
        "format": FORMAT,
        "exhibits": history.exhibits,
        "entries": history.counts,
        "last": history.last,
        "unended": history.unended,
        "events": list(history.entries.values()),
    }


def other_attempts(
    items: Iterable[Mapping[str, Any]], unended: Iterable[int], exhibit: str, own_run: str
) -> list[dict[str, Any]]:
    """Everything else that was tried on the bytes, and everything that went wrong with them, oldest first.

    Other runs that finished, were refused, failed, were cancelled, interrupted, resumed or never ended; changes
    found in the copy; acquisitions that failed or never ended; reproductions that did not reproduce.
    """
    listed, open_acquisitions = list(items), set(unended)
    recipes = {item["run"]: item["data"].get("recipe") for item in listed if item["event"] == STARTED}
    ended = {item["run"] for item in listed if item["event"] in TERMINAL}
    closed = {item["data"].get("started") for item in listed if item["event"].startswith("reproduction.")}
    attempts: list[dict[str, Any]] = []
    spoken_of: set[Any] = set()
    for item in listed:
        if item["run"] == own_run and item["event"].startswith("run."):
            continue
        attempt = _attempt(item, recipes, closed, open_acquisitions)
        if attempt is not None:
            attempts.append(_worded(item, *attempt, exhibit))
            spoken_of.add(item["run"])
    for item in listed:
        run = item["run"]
        if item["event"] == STARTED and run != own_run and run not in ended and run not in spoken_of:
            why = "the process ended without a word (killed, power lost) or is still running"
            attempts.append(_worded(item, "started, not finished", why, exhibit))
    return sorted(attempts, key=lambda one: one["seq"])


def _attempt(
    item: Mapping[str, Any], recipes: Mapping[Any, Any], closed: set[Any], unended: set[int]
) -> tuple[str, str] | None:
    """Event and reason, if the item is an attempt to be told."""
    event, data = str(item["event"]), item["data"]
    if event == "run.finished":
        return event, f"recipe {recipes.get(item['run'])}, class {data.get('stage_class')}, finished"
    if event == "exhibit.changed":
        return event, f"{data.get('file')} was found changed since acquisition"
    if event == BEGUN and item["seq"] in unended:
        return "acquisition started, not finished", f"{data.get('path')}: it has no end on record"
    if event == "reproduction.started" and item["seq"] not in closed:
        return "reproduction started, not finished", "it has no end on record"
    if event == "reproduction.finished" and not str(data.get("verdict")).startswith("REPRODUCED"):
        return event, str(data.get("verdict"))
    return (event, str(data.get("reason", ""))) if event in _FAILED else None


def _worded(item: Mapping[str, Any], event: str, reason: str, exhibit: str) -> dict[str, Any]:
    other = item["exhibit"] not in (exhibit, None)
    return {
        "seq": item["seq"],
        "run": item["run"],
        "event": event,
        "utc": item["utc"],
        "reason": f"as exhibit {item['exhibit']}: {reason}" if other else reason,
    }
