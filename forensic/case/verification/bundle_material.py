"""The evidence in a bundle against its ledger extract: exhibits, runs, models, and that every file has its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from forensic.case.verification.bundle_container import OpenedBag
from forensic.case.verification.bundle_extract import Extract
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import (
    Disclosed,
    card_name,
    exhibit_folder,
    models_of,
    run_folder,
    validation_folder,
)
from forensic.case.verification.checks import Verdict, Verification
from forensic.case.verification.records import cited_head
from forensic.case.verification.runs import verify_run
from forensic.case.verification.trust import Trust
from forensic.case.verification.validations import verify_validation
from forensic.errors import ForensicError
from forensic.hashes import canonical_json, sha256_bytes
from forensic.signing.statement import RUN_PREDICATE, verify_statement

_ANCHOR = re.compile(r"data/ledger/anchors/([0-9]{10,})/(checkpoint|checkpoint\.tsr|cosigned|consistency)")
_TIMESTAMP = re.compile(r"data/timestamps/([0-9a-f]{64})\.tsr")


def check_exhibits(verification: Verification, bag: OpenedBag, disclosed: Disclosed) -> None:
    """B15: each exhibit's files have the digests of its entry; named as not checked where the original is not here."""
    for entry, acquired in disclosed.exhibits:
        folder = exhibit_folder(acquired)
        wanted = {name: digest for name, digest in disclosed.exhibit_files().items() if name.startswith(folder)}
        wrong = [name for name, digest in wanted.items() if bag.digests.get(name) != digest]
        wrong += [name for name in bag.below(folder) if name not in wanted]
        verification.record("B15", f"exhibit {entry.exhibit} is what was acquired", not wrong, ", ".join(wrong[:5]))
        if disclosed.original(entry, acquired) is None:
            why = "it was destroyed, says the ledger" if entry.exhibit in disclosed.destroyed else "hash only"
            verification.not_checked.append(f"original of exhibit {entry.exhibit}, SHA-256 {acquired.sha256}: {why}")


@dataclass
class CheckedRuns:
    """Records (predicates) of the runs that have a sound one, and what the timestamps inside their reports show."""

    predicates: list[dict[str, Any]] = field(default_factory=list)
    stamped: dict[str, str] = field(default_factory=dict)


def check_runs(
    verification: Verification,
    bag: OpenedBag,
    disclosed: Disclosed,
    extract: Extract,
    trust: Trust,
    say: Callable[[str], None],
) -> CheckedRuns:
    """B16 and the checks of every run."""
    checked = CheckedRuns()
    present = {name.removeprefix(names.RUNS).partition("/")[0] for name in bag.below(names.RUNS)}
    wanted = {run_id for run_id, _ in disclosed.runs}
    odd = sorted(present ^ wanted)
    verification.record("B16", "the finished runs are here, and no others", not odd, ", ".join(odd[:5]))
    for run_id in sorted(wanted & present):
        say(f"run {run_id}")
        part = verify_run(bag.root / run_folder(run_id), ledger=extract.custody, trust=trust)
        verification.absorb(part, run_id)
        verification.not_checked += [line for line in part.not_checked if line not in verification.not_checked]
        if Verdict.TIMESTAMPED in part.reached:
            checked.stamped[run_id] = part.reached[Verdict.TIMESTAMPED]
        predicate = _predicate(bag, run_id)
        if predicate is None:
            continue
        checked.predicates.append(predicate)
        head = cited_head(predicate)
        known = None if head is None else extract.hashes.get(head[0])
        verification.record(
            "B17",
            f"{run_id}: the ledger head that its record cites is not another one",
            head is not None and known in (None, head[1]),
            "" if known else "the cited entry is not in the extract",
        )
    for run_id, end in disclosed.other_runs:
        verification.not_checked.append(f"run {run_id}: {end}; on the record, its files are not in the bundle")
    return checked


def _predicate(bag: OpenedBag, run_id: str) -> dict[str, Any] | None:
    """The run's record; one that does not hold fails the run's own checks."""
    try:
        data = bag.read(f"{run_folder(run_id)}attestation.json")
        return verify_statement(data, predicate_type=RUN_PREDICATE)[0].predicate
    except (OSError, ForensicError):
        return None


def check_validations(
    verification: Verification, bag: OpenedBag, disclosed: Disclosed, extract: Extract, trust: Trust
) -> None:
    """B21 and the checks of every validation that goes along; those that ``bundle.issued`` lists, and no others."""
    present = {name.removeprefix(names.VALIDATIONS).partition("/")[0] for name in bag.below(names.VALIDATIONS)}
    if not present and "validations" not in disclosed.issued.data:
        return
    whole = disclosed.issued.data.get("validations")
    listed = {str(one.get("id")): one for one in disclosed.validations}
    odd = sorted(present ^ listed.keys())
    if not isinstance(whole, list) or len(listed) != len(whole):
        odd.append("one is listed twice, or what is listed is none")
    for identifier in sorted(listed.keys() & present):
        folder, entries = validation_folder(identifier), extract.custody.validations.get(identifier, [])
        due: dict[str, Any] = {"id": identifier, "manifest_sha256": bag.digests.get(f"{folder}manifest.sha256")}
        if entries:
            due |= {"registered": entries[0].seq, "completed": entries[-1].seq}
        if canonical_json(listed[identifier]) != canonical_json(due):  # True is no 1 here
            odd.append(identifier)
        part = verify_validation(bag.root / folder, ledger=extract.custody, trust=trust)
        verification.absorb(part, identifier)
        verification.not_checked += [line for line in part.not_checked if line not in verification.not_checked]
    title = "the validations are those that bundle.issued lists, and no others"
    verification.record("B21", title, not odd, ", ".join(odd[:5]))


def check_models(verification: Verification, bag: OpenedBag, predicates: list[dict[str, Any]], listed: Any) -> None:
    """B18: the models are those of the runs' records, and a card that is here has the digest recorded."""
    try:
        models = models_of(predicates)
    except (KeyError, TypeError):
        models = []
    cards = {(card_name(model["id"]), model["card_sha256"]) for model in models}  # of one id several may have run
    present = {(name, bag.digests[name]) for name in bag.below(names.MODELS)}
    wrong = sorted(name for name, _ in present - cards)
    verification.record(
        "B18", "models are those of the runs, with their cards", listed == models and not wrong, ", ".join(wrong[:5])
    )
    for name, digest in sorted(cards - present):
        verification.not_checked.append(f"{name}, SHA-256 {digest}: this card of the model was not where it was issued")


def check_places(
    verification: Verification, bag: OpenedBag, disclosed: Disclosed, certificates: dict[str, bytes]
) -> None:
    """B19: certificates and lists are those of the extract, and nothing else lies in the payload without a place."""
    wanted = {name: sha256_bytes(data) for name, data in certificates.items()}
    odd = [name for name, digest in wanted.items() if bag.digests.get(name) != digest]
    odd += [name for name in bag.below(names.PAYLOAD) if name not in wanted and not _has_place(bag, disclosed, name)]
    verification.record("B19", "every file has its place, every certificate is here", not odd, ", ".join(odd[:5]))


def _has_place(bag: OpenedBag, disclosed: Disclosed, name: str) -> bool:
    fixed = {names.ENTRIES, names.CHECKPOINT, names.CHECKPOINT_TIMESTAMP, names.COSIGNED, *disclosed.exhibit_files()}
    folders = (names.PROOFS, names.MODELS, *(run_folder(run_id) for run_id, _ in disclosed.runs))
    folders += tuple(validation_folder(str(one.get("id"))) for one in disclosed.validations)
    if name in fixed or name.startswith(folders) or _ANCHOR.fullmatch(name):
        return True
    stamped = _TIMESTAMP.fullmatch(name)
    return stamped is not None and stamped[1] in bag.digests.values()
