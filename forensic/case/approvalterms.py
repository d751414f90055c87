"""What an approval is about, as it stands in the ledger. Light: a verifier compares it with a run's record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from forensic.hashes import canonical_json, sha256_bytes

if TYPE_CHECKING:
    from forensic.policy.decision import PolicyDecision

GIVEN = "approval.given"
WITHDRAWN = "approval.withdrawn"
USED = "approval.used"
EVENTS = (GIVEN, WITHDRAWN, USED)


@dataclass(frozen=True)
class Terms:
    """Exhibit and its bytes, recipe, mode, purpose, policy. ``frames`` None: any range of the exhibit."""

    case: str
    exhibit: str
    exhibit_sha256: str
    recipe: dict[str, str]
    mode: str
    purpose: str
    policy: dict[str, str]
    frames: tuple[int, int] | None = None

    def to_record(self) -> dict[str, Any]:
        """JSON-able, as it stands in the entry."""
        return {
            "case": self.case,
            "exhibit": self.exhibit,
            "exhibit_sha256": self.exhibit_sha256,
            "recipe": self.recipe,
            "mode": self.mode,
            "purpose": self.purpose,
            "policy": self.policy,
            "frames": None if self.frames is None else list(self.frames),
        }

    def met_by(self, recorded: Any) -> bool:
        """Whether recorded terms are these; recorded frames may be null, which approves any range."""
        if not isinstance(recorded, dict) or "frames" not in recorded:
            return False
        own = self.to_record()
        return recorded == {**own, "frames": recorded["frames"]} and recorded["frames"] in (None, own["frames"])


def approval_reference(decision: PolicyDecision) -> dict[str, Any] | None:
    """How ``run.started`` names the approval under which the policy permitted the run; None if it took none."""
    approval = decision.context.get("approval")
    return {"seq": approval["seq"], "hash": approval["hash"]} if isinstance(approval, dict) else None


def stages_sha256(stages: Iterable[Mapping[str, Any]]) -> str:
    """Digest of the stages of a recipe's record as they run: SHA-256 over canonical JSON of a list with name,
    class, parameter values and model facts of each. Scale and region of interest are among the parameters.
    """
    reduced = [
        {
            "name": stage["name"],
            "class": stage["class"],
            "parameters": {name: entry["value"] for name, entry in stage["parameters"].items()},
            "model": stage["model"],
        }
        for stage in stages
    ]
    return sha256_bytes(canonical_json(reduced))


def terms_of_record(predicate: Mapping[str, Any]) -> Terms:
    """The terms that a run's record shows the run to have had.

    Raises ``KeyError``, ``TypeError`` or ``AttributeError`` for a record that lacks them.
    """
    recipe, policy = predicate["recipe"], predicate["policy"]
    first, stop = predicate["selection"]["frames"]
    return Terms(
        case=predicate["case"]["id"],
        exhibit=predicate["exhibit"]["id"],
        exhibit_sha256=predicate["exhibit"]["sha256"],
        recipe={
            "name": recipe["name"],
            "sha256": recipe["sha256"],
            "stages_sha256": stages_sha256(recipe["stages"]),
        },
        mode=predicate["run"]["mode"],
        purpose=policy["context"]["purpose"],
        policy={key: policy["policy"][key] for key in ("name", "sha256", "schema_sha256")},
        frames=(first, stop),
    )
