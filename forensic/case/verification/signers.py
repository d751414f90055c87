"""What a ledger says about who signs and who approved, gathered entry by entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forensic.case.approvalterms import GIVEN, USED, WITHDRAWN
from forensic.case.identities import IdentityRegister
from forensic.case.lognames import ANCHORING
from forensic.ledger.entry import LedgerEntry
from forensic.ledger.order import ACQUIRED, STARTED

_BRING_EVIDENCE = frozenset({ACQUIRED, "run.finished", "report.issued", "bundle.issued"})


@dataclass
class Signing:
    """Identities as they are at the end, and every entry about approvals by its number.

    ``signed``: ids of the keys that signed any entry. ``overs``: number of an approval to the entries that used
    or withdrew it. ``started``: run to the entry on its start. ``brought``: id of a key to the last entry that it
    signed and that brought or disclosed evidence. ``last``: the last entry but for those that only anchor others,
    which no timestamped checkpoint can ever contain: it is they that tell of it.
    """

    register: IdentityRegister = field(default_factory=IdentityRegister)
    introduced: dict[str, int] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)
    given: dict[int, LedgerEntry] = field(default_factory=dict)
    overs: dict[int, list[LedgerEntry]] = field(default_factory=dict)
    started: dict[str, LedgerEntry] = field(default_factory=dict)
    brought: dict[str, LedgerEntry] = field(default_factory=dict)
    last: LedgerEntry | None = None

    def admit(self, entry: LedgerEntry) -> None:
        """Add what the next entry says."""
        self.register.take(entry)
        self.signed.add(entry.actor["key_id"])
        for key in self.register.known.keys() - self.introduced.keys():
            self.introduced[key] = entry.seq
        if self.last is None or not entry.event.startswith(ANCHORING):
            self.last = entry
        if entry.event in _BRING_EVIDENCE:
            self.brought[entry.actor["key_id"]] = entry
        if entry.event == STARTED and entry.run is not None:
            self.started.setdefault(entry.run, entry)
        if entry.event == GIVEN:
            self.given[entry.seq] = entry
        elif entry.event in (USED, WITHDRAWN):
            named: Any = entry.data.get("approval")
            seq = named.get("seq") if isinstance(named, dict) else None
            if type(seq) is int:
                self.overs.setdefault(seq, []).append(entry)

    def approval(self, named: Any) -> LedgerEntry | None:
        """The entry that gave the approval which a record names, whatever stands there."""
        seq = named.get("seq") if isinstance(named, dict) else None
        return self.given.get(seq) if type(seq) is int else None

    def vouching(self) -> list[LedgerEntry]:
        """The entries whose signers answer for the whole: ``last``, and of every other key that brought evidence its
        last such entry."""
        if self.last is None:
            return []
        own = self.last.actor["key_id"]
        return [self.last, *(entry for key, entry in sorted(self.brought.items()) if key != own)]
