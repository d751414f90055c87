"""Checks on a disclosure bundle, B1 to B20, from the container to the evidence in it: no workspace, no network.

The specification is docs/formats/bundle.md. Each floor rests on the one below: what cannot be opened is not
read, what is not listed is not looked at, and evidence is held against a ledger extract that was examined first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from forensic.case.lognames import LOG
from forensic.case.verification.anchors import TrustedKeys
from forensic.case.verification.bundle_anchors import Checkpoints, check_checkpoints, read_checkpoints
from forensic.case.verification.bundle_container import OpenedBag, opened_bag
from forensic.case.verification.bundle_extract import Extract, read_extract
from forensic.case.verification.bundle_material import (
    check_exhibits,
    check_models,
    check_places,
    check_runs,
    check_validations,
)
from forensic.case.verification.bundle_timestamps import check_report_timestamps
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.certificates import certificate_files
from forensic.case.verification.bundleform.description import HASH_ONLY, INCLUDE, PREDICATE, Disclosed
from forensic.case.verification.checks import Verification
from forensic.case.verification.existence import anchored_since, checkpoints_existed_at
from forensic.case.verification.handling import check_handling
from forensic.case.verification.identities import check_ledger_signers, note_signers
from forensic.case.verification.records import at
from forensic.case.verification.trust import NOTHING, Trust
from forensic.errors import BadInput, ForensicError
from forensic.hashes import canonical_json, sha256_bytes
from forensic.ledger.entry import LedgerEntry
from forensic.signing.certificate import Certificate, certificate_facts
from forensic.signing.note import MAX_NOTE_BYTES
from forensic.signing.statement import Statement, verify_statement
from forensic.signing.timestamp import read_roots
from forensic.signing.tokenform import MAX_BYTES

_KNOWN = {"tool", "workspace", "checkpoint", "models", "witnesses"}
"""Keys of the predicate that do not follow from the extract alone; the others do (``Disclosed.record``)."""
_EXTRACT_TITLES = {
    "B7": "ledger extract is well-formed, from the workspace's creation to this bundle",
    "B8": "every entry is signed by a key in force",
    "B9": "every entry is in the tree of the checkpoint",
    "B10": "no entry is left out",
    "B11": "events stand in a possible order",
}


def verify_bundle(
    path: Path,
    say: Callable[[str], None] = lambda _: None,
    *,
    trust: Trust = NOTHING,
    scratch: Path | None = None,
) -> Verification:
    """Verify the bundle at ``path``, an archive or a folder.

    An archive is read without being unpacked until its names and sizes are known; then all but the originals
    goes into a private folder below ``scratch`` for as long as this takes. Raises ``UsageError`` (``verify.vkey``,
    ``timestamp.roots``) for trust that cannot be read.
    """
    TrustedKeys.of(trust)
    read_roots(trust.tsa_roots)
    verification = Verification(str(path), "bundle")
    title = "bundle can be opened: plain files, names without tricks, nothing hidden"
    try:
        with opened_bag(path, scratch) as bag:
            verification.record("B1", title, True, f"{len(bag.digests)} files")
            try:
                _check(verification, bag, trust, say)
            except (ForensicError, OSError) as error:
                verification.record("X1", "the bundle can be examined to the end", False, _reason(error))
    except (BadInput, OSError) as error:
        verification.record("B1", title, False, _reason(error))
    return verification


def _reason(error: Exception) -> str:
    return f"{error.message} {error.remedy}".strip() if isinstance(error, ForensicError) else str(error)


def _check(verification: Verification, bag: OpenedBag, trust: Trust, say: Callable[[str], None]) -> None:
    say(f"{len(bag.digests)} files")
    if not _check_bag(verification, bag):
        return
    found = _check_statement(verification, bag)
    if found is None:
        return
    predicate, signer = found[0].predicate, found[1]
    try:
        checkpoints = read_checkpoints(bag)
    except (OSError, ForensicError) as error:
        verification.record("B12", "checkpoint can be read", False, _reason(error))
        return
    say("ledger extract")
    scope = ("exhibit", predicate.get("exhibit")) if predicate.get("run") else ("case", predicate.get("case"))
    extract = read_extract(bag, checkpoints.notes, scope)
    for number, title in _EXTRACT_TITLES.items():
        faults = extract.faults.get(number, [])
        verification.record(number, title, not faults, "; ".join(faults) or f"{extract.count} entries")
    check_checkpoints(verification, bag, checkpoints, extract, trust, predicate.get("witnesses"))
    if extract.issued is None or extract.created is None:
        return
    disclosed = Disclosed.of(extract.issued, extract.custody, frozenset(extract.destroyed))
    _check_description(verification, bag, (predicate, signer), disclosed, extract, checkpoints)
    # By B14 the signer of the last entry signed bundle.json too.
    note_signers(verification, extract.custody.signing.register, trust)
    check_ledger_signers(
        verification, extract.custody.signing, trust, lambda entry: _existed_at(bag, entry, checkpoints, trust)
    )
    verification.signed = True
    check_exhibits(verification, bag, disclosed)
    check_handling(verification, extract.custody.handling)
    runs = check_runs(verification, bag, disclosed, extract, trust, say)
    check_validations(verification, bag, disclosed, extract, trust)
    check_models(verification, bag, runs.predicates, predicate.get("models"))
    check_places(verification, bag, disclosed, certificate_files(extract.custody.signing.register))
    check_report_timestamps(verification, bag, disclosed, runs.stamped, trust)


def _existed_at(bag: OpenedBag, entry: LedgerEntry, checkpoints: Checkpoints, trust: Trust) -> datetime | None:
    """Since when an entry of the extract exists: by a timestamp over a checkpoint that contains it, and nothing else.

    The run that it is about may be much older: a bundle may be issued, and a report written again, at any time.
    """
    found = [*anchored_since(bag.root / names.ANCHORS, entry.seq)]
    if names.CHECKPOINT_TIMESTAMP in bag.digests and entry.seq <= checkpoints.issued.checkpoint.size:
        found.append((bag.read(names.CHECKPOINT, MAX_NOTE_BYTES), bag.read(names.CHECKPOINT_TIMESTAMP, MAX_BYTES)))
    return checkpoints_existed_at(found, trust)


def _check_bag(verification: Verification, bag: OpenedBag) -> bool:
    """B2 to B4; False if there is no telling what belongs to the bag."""
    payload = {name: digest for name, digest in bag.digests.items() if name.startswith(names.PAYLOAD)}
    tags = {name: digest for name, digest in bag.digests.items() if name not in payload}
    odd = sorted(set(tags) ^ (names.TAG_FILES | {names.TAG_MANIFEST}))
    fault = f"beside data/: {', '.join(odd[:5])}" if odd else _form_fault(bag, payload)
    verification.record("B2", "it is a BagIt 1.0 bag with exactly the specified files", not fault, fault or "")
    if odd:
        return False
    sound = _check_list(verification, bag, ("B3", names.MANIFEST, "payload"), payload)
    del tags[names.TAG_MANIFEST]
    return _check_list(verification, bag, ("B4", names.TAG_MANIFEST, "bag"), tags) and sound


def _form_fault(bag: OpenedBag, payload: dict[str, str]) -> str | None:
    if bag.read(names.BAGIT, 1 << 10) != names.DECLARATION:
        return "bagit.txt is not that of BagIt 1.0 in UTF-8"
    try:
        info = names.parse_info(bag.read(names.BAG_INFO, 1 << 16))
    except BadInput as error:
        return error.message
    octets = sum(bag.sizes[name] for name in payload)
    if info["Payload-Oxum"] != f"{octets}.{len(payload)}":
        return f"bag-info.txt speaks of another payload than the {octets} bytes in {len(payload)} files here"
    return None


def _check_list(
    verification: Verification, bag: OpenedBag, what: tuple[str, str, str], present: dict[str, str]
) -> bool:
    number, name, kind = what
    title = f"{name} lists every {kind} file with its digest, and no others"
    try:
        listed = names.parse_list(bag.read(name))
    except BadInput as error:
        return verification.record(number, title, False, error.message)
    odd = sorted(name for name in listed.keys() | present.keys() if listed.get(name) != present.get(name))
    verification.record(number, title, not odd, ", ".join(odd[:5]))
    return True


def _check_statement(verification: Verification, bag: OpenedBag) -> tuple[Statement, Certificate] | None:
    """B5, B6: the signed list covers every file but itself and the tag manifest, which follow from the rest."""
    title = "bundle.json is signed and unchanged"
    try:
        statement, verified = verify_statement(bag.read(names.STATEMENT), predicate_type=PREDICATE)
        signers = [certificate_facts(certificate) for certificate in verified.certificates]
    except ForensicError as error:
        verification.record("B5", title, False, f"{error.code}: {error.message}")
        return None
    verification.record("B5", title, len(signers) == 1, f"{signers[0]['kind']} certificate")
    for facts in signers:
        verification.signers[facts["certificate_sha256"]] = facts["subject"]
    wanted = {name: bag.digests[name] for name in bag.digests.keys() - {names.STATEMENT, names.TAG_MANIFEST}}
    listed = {subject.name: subject.sha256 for subject in statement.subjects}
    odd = sorted(name for name in listed.keys() | wanted.keys() if listed.get(name) != wanted.get(name))
    verification.record(
        "B6", "every file has the digest in the signed list, and no file is not in it", not odd, ", ".join(odd[:5])
    )
    return statement, verified.certificates[0]


def _check_description(
    verification: Verification,
    bag: OpenedBag,
    signed: tuple[dict[str, Any], Certificate],
    disclosed: Disclosed,
    extract: Extract,
    checkpoints: Checkpoints,
) -> None:
    """B14, B20: the signed description is what the extract says; generative material is labelled."""
    checkpoint, issued, (predicate, signer) = checkpoints.issued.checkpoint, disclosed.issued, signed
    keys = extract.keys.may_sign()
    expected = disclosed.record() | {
        "workspace": {"id": checkpoint.origin.removeprefix(f"{LOG.family}/")},
        "checkpoint": {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "sha256": sha256_bytes(checkpoints.issued.note.to_bytes()),
        },
    }
    odd = [key for key in sorted(expected) if key not in predicate or not _same(predicate[key], expected[key])]
    odd += sorted(predicate.keys() ^ (expected.keys() | _KNOWN))
    info = names.parse_info(bag.read(names.BAG_INFO, 1 << 16))
    if info["External-Identifier"] != disclosed.name or bag.top not in (None, disclosed.name):
        odd.append("name")
    if (info["External-Description"], info["Bagging-Date"]) != (disclosed.summary, issued.utc[:10]):
        odd.append("bag-info.txt")
    if issued.data.get("originals") not in (INCLUDE, HASH_ONLY):
        odd.append("originals")
    if keys.get(issued.actor["key_id"]) != signer:
        odd.append("signer")
    verification.record(
        "B14", "bundle.json says what the ledger extract says, and has the signer of its last entry", not odd,
        ", ".join(odd[:5]),
    )  # fmt: skip
    labelled = predicate.get("label") == disclosed.record()["label"]
    text = bag.read(names.VERIFY).decode("utf-8", "replace")
    if disclosed.generative:
        labelled = labelled and str(at(predicate, "label")) in text
    verification.record("B20", "generative material is labelled as a whole", labelled, disclosed.stage_class.label)


def _same(one: Any, other: Any) -> bool:
    return canonical_json(one) == canonical_json(other)
