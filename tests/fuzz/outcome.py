"""What may come of an input, and what must not."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


class Finding(Exception):
    """``hang``, ``traceback`` or ``tampering``: what must not be."""

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what}: {detail}")
        self.what = what


class TookTooLong(BaseException):
    """The clock ran out; passes through every ``except Exception``."""


@dataclass
class Tally:
    """Inputs of one kind and what came of them; ``findings`` has the input's number with each."""

    kind: str
    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        common = ", ".join(f"{word} {count}" for word, count in self.outcomes.most_common(6))
        return f"{self.kind}: {self.tried} inputs, {len(self.findings)} findings ({common})"
