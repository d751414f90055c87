"""The ledger's entries that a record tells, put together to what happened: a run, an acquisition, a handing over."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from forensic.report.record import RunRecord
from forensic.report.values import at, spoken
from forensic.report.wording import words, words_of

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?(Z|[+-]\d\d:\d\d)", re.ASCII)
ACQUIRED = "exhibit.acquired"
ENDS = ("run.finished", "run.failed", "run.cancelled", "run.refused")


@dataclass
class Happening:
    """Entries that belong together, in order. ``kind`` is ``run``, ``reproduction``, ``acquisition`` or the event."""

    kind: str
    events: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def run(self) -> str | None:
        """Run that it is about."""
        return next((run for event in self.events if isinstance(run := at(event, "run"), str)), None)

    @property
    def exhibit(self) -> Any:
        """Exhibit that the entries name; an id that is known only later counts."""
        return next((one for event in self.events if (one := at(event, "exhibit")) is not None), None)

    @property
    def numbers(self) -> str:
        """Numbers of the entries: the first and the last."""
        first, last = spoken(at(self.events[0], "seq")), spoken(at(self.events[-1], "seq"))
        return first if first == last else f"{first} to {last}"

    def fact(self, *keys: str) -> Any:
        """The value of ``keys`` in the data of the first entry that has it."""
        return next((value for one in self.events if (value := at(one, "data", *keys)) is not None), None)

    def named(self, *events: str) -> Mapping[str, Any] | None:
        """The last entry of one of these events."""
        return next((one for one in reversed(self.events) if at(one, "event") in events), None)


def history(record: RunRecord) -> list[Happening]:
    """What happened to the exhibit's bytes, in the order in which it began; empty for a record without a list."""
    found: list[Happening] = []
    runs: dict[Any, Happening] = {}
    begun: dict[Any, Happening] = {}
    for event in record.listed("custody", "events"):
        if not isinstance(event, Mapping):
            continue
        name, started = str(at(event, "event")), _hashable(at(event, "data", "started"))
        run = _hashable(at(event, "run"))
        if name.startswith("reproduction."):
            same = begun.get(started) if name != "reproduction.started" else None
            kind = "reproduction"
        elif run is not None:
            same, kind = runs.get(run), "run"
        elif name.startswith("acquisition.") or (name.startswith("exhibit.") and started is not None):
            same, kind = begun.get(started) if name != "acquisition.started" else None, "acquisition"
        else:
            same, kind = None, name
        happening = same or Happening(kind)
        if same is None:
            found.append(happening)
        if kind == "run":
            runs[run] = happening
        if name.endswith(".started"):
            begun[_hashable(at(event, "seq"))] = happening
        happening.events.append(event)
    return found


def _hashable(value: Any) -> str | int | None:
    return value if isinstance(value, (str, int)) else None


def ended(happening: Happening, record: RunRecord) -> str:
    """How a run, a reproduction or an acquisition ended, in words."""
    if happening.run == record.run_id and happening.kind == "run":
        return words("custody", "this_run")
    outcomes = words_of("outcomes")
    for event in reversed(happening.events):
        name = str(at(event, "event"))
        if name == ACQUIRED and at(event, "data", "shares_copy_with") and not at(event, "data", "copy_restored"):
            name = "exhibit.shared"
        if name in outcomes:
            return outcomes[name].format_map(_Facts(event))
    return words("custody", "no_end")


class _Facts(dict[str, str]):
    """Values of an entry's data by name, as text, for a sentence of the wording file."""

    def __init__(self, event: Mapping[str, Any]) -> None:
        super().__init__()
        self._data = at(event, "data")

    def __missing__(self, key: str) -> str:
        return spoken(at(self._data, key))


def moment(value: Any) -> str:
    """A time with its zone, to the second: ``2026-03-01 12:00:41 UTC``; what is no such time as it is."""
    text = spoken(value)
    found = _TIME.fullmatch(text)
    return text if found is None else f"{found[1]} {found[2]} {'UTC' if found[3] == 'Z' else found[3]}"


def parties(data: Any) -> Iterable[str]:
    """Who is named in an act of custody: from whom, to whom, by whom."""
    for key in ("from", "to", "by"):
        named = [spoken(one) for part in ("person", "organisation") if (one := at(data, key, part)) not in (None, "")]
        if named:
            yield f"{words('custody', key)} {', '.join(named)}"


def remarks(data: Any) -> Iterable[str]:
    """What was stated besides: reason, seal, place, note."""
    for key in ("reason", "seal", "location", "note"):
        value = at(data, key)
        if value not in (None, ""):
            yield f"{words('custody', key)}: {spoken(value)}"
