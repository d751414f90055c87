"""Numbered checks and the verdict they add up to. The specification is docs/formats/verification.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class Verdict(IntEnum):
    """The ladder. Each rung includes the ones below it."""

    FAILED = 0
    INTEGRITY_ONLY = 1
    SIGNED = 2
    TIMESTAMPED = 3
    WITNESSED = 4
    REPRODUCED = 5

    @property
    def label(self) -> str:
        """As printed."""
        return self.name.replace("_", " ")

    @property
    def meaning(self) -> str:
        """What the rung says, in one sentence."""
        return _MEANING[self]


_RUNGS = (Verdict.SIGNED, Verdict.TIMESTAMPED, Verdict.WITNESSED, Verdict.REPRODUCED)
_MEANING = {
    Verdict.FAILED: "At least one check failed: do not rely on this material.",
    Verdict.INTEGRITY_ONLY: "The material agrees with itself, but nothing here is signed.",
    Verdict.SIGNED: "Unchanged since it was signed with the key whose fingerprint is shown.",
    Verdict.TIMESTAMPED: "Also existed at the time stated by a timestamp authority that you named as trusted.",
    Verdict.WITNESSED: "Also part of a ledger whose history a witness that you named as trusted has seen grow.",
    Verdict.REPRODUCED: "Also computed again from the exhibit, just now on this machine, with every frame identical.",
}

NOT_PROVED = (
    "who or what is shown: no statement about identity is made",
    "that the original recording is authentic, complete or correctly timed: only what happened after acquisition",
    "who signed, beyond possession of the key: compare the fingerprint with one obtained from the laboratory itself",
    "that enhanced detail is correct: risk maps are UNCALIBRATED unless they state their calibration",
)


@dataclass(frozen=True)
class Check:
    """One numbered check. ``number`` and ``title`` are those of the specification."""

    number: str
    title: str
    passed: bool
    detail: str = ""


@dataclass
class Verification:
    """All checks made on one target, in order."""

    target: str
    kind: str
    checks: list[Check] = field(default_factory=list)
    signers: dict[str, str] = field(default_factory=dict)
    not_checked: list[str] = field(default_factory=list)
    signed: bool = False
    reached: dict[Verdict, str] = field(default_factory=dict)
    """Rungs above SIGNED whose own condition holds, each with what showed it; see ``reach``."""

    def record(self, number: str, title: str, passed: bool, detail: str = "") -> bool:
        """Add a check; returns ``passed`` so that a caller can stop at the first that matters."""
        self.checks.append(Check(number, title, passed, detail))
        return passed

    def absorb(self, other: Verification, name: str) -> None:
        """Add the checks of a part, its name in front of each title."""
        for check in other.checks:
            self.checks.append(Check(check.number, f"{name}: {check.title}", check.passed, check.detail))
        self.signers.update(other.signers)

    def reach(self, rung: Verdict, shown_by: str) -> None:
        """Note that the condition of ``rung`` holds. The verdict climbs to it only over every rung below."""
        self.reached.setdefault(rung, shown_by)

    @property
    def verdict(self) -> Verdict:
        """FAILED unless there are checks and all passed; then the highest rung with none missing below it."""
        if not self.checks or not all(check.passed for check in self.checks):
            return Verdict.FAILED
        verdict = Verdict.INTEGRITY_ONLY
        for rung in _RUNGS:
            if not (self.signed if rung is Verdict.SIGNED else rung in self.reached):
                break
            verdict = rung
        return verdict

    @property
    def not_proved(self) -> tuple[str, ...]:
        """What even this verdict does not prove."""
        if self.verdict >= Verdict.TIMESTAMPED:
            return NOT_PROVED
        return (*NOT_PROVED, "when it was signed, beyond the signer's own clock: no trusted timestamp was verified")

    def to_record(self) -> dict[str, Any]:
        """JSON-able result."""
        return {
            "target": self.target,
            "kind": self.kind,
            "verdict": self.verdict.label,
            "meaning": self.verdict.meaning,
            "checks": [
                {"number": check.number, "title": check.title, "passed": check.passed, "detail": check.detail}
                for check in self.checks
            ],
            "signers": [{"sha256": key, "subject": subject} for key, subject in sorted(self.signers.items())],
            "reached": {rung.label: shown_by for rung, shown_by in sorted(self.reached.items())},
            "not_checked": self.not_checked,
            "not_proved": list(self.not_proved),
        }
