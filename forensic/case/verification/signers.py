"""What a ledger says about who signs and who approved, gathered entry by entry."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from forensic.case.approvalterms import GIVEN, USED, WITHDRAWN
from forensic.case.identities import IdentityRegister
from forensic.ledger.entry import LedgerEntry


@dataclass
class Signing:
    """Identities as they are at the end, and every entry about approvals by its number.

    ``signed``: ids of the keys that signed any entry. ``overs``: number of an approval to the entries that used
    or withdrew it.
    """

    register: IdentityRegister = field(default_factory=IdentityRegister)
    introduced: dict[str, int] = field(default_factory=dict)
    signed: set[str] = field(default_factory=set)
    given: dict[int, LedgerEntry] = field(default_factory=dict)
    overs: dict[int, list[LedgerEntry]] = field(default_factory=dict)

    def admit(self, entry: LedgerEntry) -> None:
        """Add what the next entry says."""
        self.register.take(entry)
        self.signed.add(entry.actor["key_id"])
        for key in self.register.known.keys() - self.introduced.keys():
            self.introduced[key] = entry.seq
        if entry.event == GIVEN:
            self.given[entry.seq] = entry
        elif entry.event in (USED, WITHDRAWN):
            named: Any = entry.data.get("approval")
            seq = named.get("seq") if isinstance(named, dict) else None
            if isinstance(seq, int):
                self.overs.setdefault(seq, []).append(entry)
