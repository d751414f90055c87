"""What the engine answers: per stage a verdict with its determining rules, and the whole."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from forensic.errors import PolicyRefused


@dataclass(frozen=True)
class RuleRef:
    """A determining rule by name. Names that begin with ``built-in:`` are rules of the program.

    ``text`` is the rule's Cedar source (empty for built-in rules), ``detail`` what exactly set a
    built-in rule off.
    """

    id: str
    effect: str
    explanation: str
    remedy: str = ""
    text: str = ""
    detail: str = ""

    def because(self, detail: str) -> RuleRef:
        """This rule with what set it off."""
        return replace(self, detail=detail)

    @property
    def sentence(self) -> str:
        """Explanation, with the detail where there is one."""
        return f"{self.explanation} ({self.detail})" if self.detail else self.explanation

    def to_record(self) -> dict[str, str]:
        """JSON-able; ``text`` is left out because the policy's digest stands for it."""
        return {"id": self.id, "effect": self.effect, "explanation": self.explanation, "detail": self.detail}


@dataclass(frozen=True)
class StageVerdict:
    """Verdict on one stage. ``rules`` are those that decided, ``reason`` says why in plain words.

    ``request`` is the stage as it was asked about; ``cedar`` is the Cedar request and entities as
    evaluated, so that the decision can be repeated with any other Cedar implementation, or None
    where the facts were not even fit to be asked about.
    """

    stage: str
    allowed: bool
    rules: tuple[RuleRef, ...]
    reason: str
    request: dict[str, Any]
    cedar: dict[str, Any] | None

    @property
    def remedy(self) -> str:
        """What the examiner can do, from the rules that forbid; empty if allowed."""
        remedies = (rule.remedy for rule in self.rules if rule.effect == "forbid" and rule.remedy)
        return "" if self.allowed else " ".join(dict.fromkeys(remedies))

    def to_record(self) -> dict[str, Any]:
        """JSON-able record of this verdict."""
        return {
            "stage": self.stage,
            "allowed": self.allowed,
            "rules": [rule.to_record() for rule in self.rules],
            "reason": self.reason,
            "request": self.request,
            "cedar": self.cedar,
        }


@dataclass(frozen=True)
class PolicyDecision:
    """The decision on a whole recipe: allowed only if there are stages and every one is allowed."""

    policy: str
    origin: str
    policy_sha256: str
    schema_sha256: str
    engine: str
    context: dict[str, Any]
    verdicts: tuple[StageVerdict, ...]

    @property
    def allowed(self) -> bool:
        """True only if at least one stage was asked about and none was denied."""
        return bool(self.verdicts) and all(verdict.allowed for verdict in self.verdicts)

    def to_record(self) -> dict[str, Any]:
        """JSON-able record for the ledger: identical inputs give an identical record."""
        return {
            "allowed": self.allowed,
            "policy": {
                "name": self.policy,
                "origin": self.origin,
                "sha256": self.policy_sha256,
                "schema_sha256": self.schema_sha256,
            },
            "engine": self.engine,
            "context": self.context,
            "stages": [verdict.to_record() for verdict in self.verdicts],
        }

    def require(self) -> None:
        """Return if allowed; otherwise raise ``PolicyRefused`` (``policy.denied``).

        The message names every refused stage with its rules, the remedy what could be done.
        """
        if self.allowed:
            return
        if not self.verdicts:
            raise PolicyRefused(
                "policy.denied",
                f"Policy {self.policy!r} was asked about a recipe without any stage.",
                "Name at least one stage: a policy permits only what it is asked about.",
            )
        sentences, remedies = [], []
        for number, verdict in enumerate(self.verdicts, start=1):
            if not verdict.allowed:
                sentences.append(f"Stage {number} of {len(self.verdicts)}, {verdict.stage!r}: {verdict.reason}")
                remedies.append(verdict.remedy)
        raise PolicyRefused(
            "policy.denied",
            f"Policy {self.policy!r} refuses this. " + " ".join(sentences),
            " ".join(dict.fromkeys(remedy for remedy in remedies if remedy)),
        )
