"""From the payload to the whole bag: instructions, lists, and the signed list ``bundle.json`` over all of it."""

from __future__ import annotations

from forensic import __version__
from forensic.case.bundle.gathering import Payload
from forensic.case.bundle.instructions import instructions
from forensic.case.bundle.writing import Part
from forensic.case.regularfile import JSON_LIMIT, read_regular
from forensic.case.storage import make_folder, write_file
from forensic.case.verification.bundleform import bag as names
from forensic.case.verification.bundleform.description import PREDICATE, Disclosed
from forensic.case.workspace import Workspace
from forensic.errors import ForensicError
from forensic.hashes import canonical_json, parse_canonical, sha256_bytes
from forensic.signing.dsse import verify_envelope
from forensic.signing.statement import PAYLOAD_TYPE, Subject, build_statement, sign_statement


def seal(payload: Payload, disclosed: Disclosed) -> list[Part]:
    """All files of the bag. Their bytes follow from ledger, checkpoint and material: no clock is read.

    The one thing that may differ from time to time is an ECDSA signature; therefore the signed list is kept in the
    workspace, and used again where it says the same.
    """
    inside = payload.parts(disclosed)
    checkpoint = payload.anchored.signed.checkpoint
    predicate = disclosed.record() | {
        "tool": {"name": "forensic", "version": __version__},
        "workspace": {"id": payload.workspace.id},
        "checkpoint": {
            "size": checkpoint.size,
            "root": checkpoint.root.hex(),
            "sha256": sha256_bytes(payload.anchored.note),
        },
        "models": payload.models(disclosed),
        "witnesses": payload.witnesses(),
    }
    info = names.info_text(
        name=disclosed.name,
        description=disclosed.summary,
        date=payload.issued.utc[:10],
        octets=sum(part.size for part in inside),
        files=len(inside),
    )
    tags = [
        Part.of(names.BAGIT, names.DECLARATION),
        Part.of(names.BAG_INFO, info),
        Part.of(names.MANIFEST, names.list_text({part.name: part.sha256 for part in inside})),
        Part.of(names.VERIFY, instructions(disclosed, {part.name for part in inside}, checkpoint.size)),
    ]
    subjects = [Subject(part.name, part.sha256) for part in sorted([*inside, *tags], key=lambda part: part.name)]
    statement = build_statement(PREDICATE, subjects, predicate)
    tags.append(Part.of(names.STATEMENT, _signed(payload.workspace, payload.issued.seq, statement)))
    tags.append(Part.of(names.TAG_MANIFEST, names.list_text({part.name: part.sha256 for part in tags})))
    return [*inside, *tags]


def _signed(workspace: Workspace, seq: int, statement: bytes) -> bytes:
    """The signed statement: the one kept from an earlier writing if it says the same, else a new one, kept."""
    kept = workspace.layout.disclosed_statement(seq)
    signer = workspace.signer
    try:
        data = read_regular(kept, JSON_LIMIT)
        known = verify_envelope(
            parse_canonical(data), payload_type=PAYLOAD_TYPE, trusted={signer.key_id: signer.certificate}
        )
        if known.payload == statement and canonical_json(parse_canonical(data)) == data:
            return data
    except (OSError, ForensicError):
        pass  # none, damaged, or by another key: signed anew
    data = sign_statement(statement, signer)
    make_folder(kept.parent)
    write_file(kept, data)
    return data
