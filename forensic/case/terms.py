"""Recipe and policy of a run, word for word, kept until the run has ended.

They are files that somebody may edit or remove while a run waits to be resumed; the record gives their digests.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from forensic.case.regularfile import JSON_LIMIT, read_regular
from forensic.case.storage import write_file
from forensic.errors import BadInput, ForensicError, VerificationFailed
from forensic.hashes import canonical_json, parse_canonical, sha256_bytes
from forensic.policy.store import load_policy
from forensic.stages.recipe import load_recipe


@dataclass(frozen=True)
class Terms:
    """Texts of recipe, policy and policy schema."""

    recipe: str
    policy: str
    policy_schema: str


def write_terms(path: Path, terms: Terms) -> None:
    """Keep ``terms`` durably. Raises ``StorageFailed``."""
    write_file(path, canonical_json(asdict(terms)))


def read_terms(
    path: Path, run_id: str, recipe: dict[str, Any], policy: dict[str, Any], named: tuple[str, str]
) -> Terms:
    """The terms of a run, from ``path`` or, where that does not have them, from the files ``named``.

    ``recipe`` and ``policy`` are what the ledger says of them; ``named`` are recipe and policy as asked for.
    Raises ``VerificationFailed`` (``run.terms``) if the texts that the run was decided on are nowhere.
    """
    wanted = (recipe["sha256"], policy["sha256"], policy["schema_sha256"])
    for terms in (_kept(path), _named(*named)):
        if terms is not None and _digests(terms) == wanted:
            return terms
    raise VerificationFailed(
        "run.terms",
        f"Recipe or policy that run {run_id} was decided on are not there any more, or were changed.",
        "Put the files back as they were, or begin a new run.",
    )


def _digests(terms: Terms) -> tuple[str, str, str]:
    recipe, policy, schema = (
        sha256_bytes(text.encode("utf-8")) for text in (terms.recipe, terms.policy, terms.policy_schema)
    )
    return recipe, policy, schema


def _kept(path: Path) -> Terms | None:
    try:
        found: Any = parse_canonical(read_regular(path, JSON_LIMIT))
        return Terms(**found) if all(isinstance(text, str) for text in found.values()) else None
    except (OSError, BadInput, TypeError, AttributeError):
        return None


def _named(recipe: str, policy: str) -> Terms | None:
    try:
        found = load_policy(policy)
        return Terms(load_recipe(recipe).text, found.text, found.schema_text)
    except ForensicError:
        return None
