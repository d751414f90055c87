"""Checks on a still: its pixels follow from its planes, its planes from frame N of the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forensic.case.layout import sidecar
from forensic.case.regularfile import JSON_LIMIT, STILL_LIMIT, read_regular
from forensic.case.verification.attestations import check_attestation
from forensic.case.verification.certificates import check_certificate
from forensic.case.verification.checks import Verification
from forensic.case.verification.trust import Trust
from forensic.errors import ForensicError
from forensic.frames.manifest import FrameRow
from forensic.frames.still import Still, read_still
from forensic.hashes import sha256_bytes, verify_inclusion
from forensic.signing.statement import STILL_PREDICATE, Statement, verify_statement

_PROOF_KEYS = {"row", "leaf_index", "tree_size", "audit_path", "merkle_root"}


def verify_still(path: Path, trust: Trust | None = None) -> tuple[Verification, Statement | None]:
    """Verify the PNG at ``path`` with its proof; without one at most INTEGRITY ONLY. Also returns the proof.

    ``trust`` None: who signed the proof is the caller's business (within a run: the record's signer, S8).
    """
    verification = Verification(str(path), "still")
    try:
        data = read_regular(path, STILL_LIMIT)
        still = read_still(data)
    except OSError as error:
        verification.record("S1", "picture can be read", False, str(error.strerror))
        return verification, None
    except ForensicError as error:
        verification.record("S1", "picture can be read", False, error.message)
        return verification, None
    verification.record("S1", "picture can be read", True, f"frame {still.timing.index}")
    verification.record("S2", "pixels follow from the coded planes inside", still.rgb_matches, still.planes_sha256)
    proof_file = sidecar(path)
    try:
        proof = read_regular(proof_file, JSON_LIMIT)
    except FileNotFoundError:
        verification.not_checked.append(f"{proof_file.name} is missing: not shown to be a frame of any exhibit")
        return verification, None
    except OSError as error:
        verification.record("S3", "record is signed and unchanged", False, f"{proof_file.name}: {error.strerror}")
        return verification, None
    statement = check_attestation(verification, proof, STILL_PREDICATE, "S3")
    if statement is None:
        return verification, None
    verification.signed = True
    if trust is not None:
        check_proof_signer(verification, proof, trust)
    named = statement.sha256_of(path.name) or (statement.subjects[0].sha256 if len(statement.subjects) == 1 else None)
    verification.record("S4", "the proof is about this very file", named == sha256_bytes(data))
    check_proofs(verification, statement.predicate, still)
    return verification, statement


def check_proof_signer(verification: Verification, proof: bytes, trust: Trust) -> None:
    """I3 and I4 for a proof that S3 found sound. It does not say when it was signed, so the path is followed as of the
    beginning of the certificate, and a revocation of whatever date counts."""
    statement, verified = verify_statement(proof, predicate_type=STILL_PREDICATE)
    signer = verified.certificates[0]
    check_certificate(verification, signer, statement.predicate, trust, signed=signer.not_valid_before_utc)


def check_proofs(verification: Verification, predicate: dict[str, Any], still: Still) -> None:
    """S5, S6: inclusion proofs of the output frame (where it shows the output) and the source frame."""
    shows_output = predicate.get("shows") == "output"
    shown = predicate.get("of_output" if shows_output else "of_exhibit")
    verification.record(
        "S5",
        "planes are the frame that the proof includes",
        _proves(shown, predicate.get("output_root" if shows_output else "exhibit_root"), still.planes_sha256, still),
        f"frame {still.timing.index} of {'the output' if shows_output else 'the exhibit'}",
    )
    verification.record(
        "S6",
        "the frame's place among the exhibit's frames is proved",
        _proves(predicate.get("of_exhibit"), predicate.get("exhibit_root"), None, still),
        f"exhibit SHA-256 {predicate.get('exhibit_sha256')}",
    )
    verification.record(
        "S7",
        "class on the picture is the class in the proof",
        predicate.get("stage_class") == still.stage_class.label,
        str(predicate.get("stage_class")),
    )


def _proves(proof: Any, root: Any, planes_sha256: str | None, still: Still) -> bool:
    if not isinstance(proof, dict) or set(proof) != _PROOF_KEYS or proof["merkle_root"] != root:
        return False
    try:
        row = FrameRow(proof["row"]["frame"], proof["row"]["pts"], proof["row"]["sha256"], tuple(proof["row"]["flags"]))
        path = [bytes.fromhex(node) for node in proof["audit_path"]]
        included = verify_inclusion(row.leaf(), proof["leaf_index"], proof["tree_size"], path, bytes.fromhex(root))
    except (KeyError, TypeError, ValueError, ForensicError):
        return False
    same_frame = (row.frame, row.pts) == (still.timing.index, still.timing.pts)
    return included and same_frame and planes_sha256 in (None, row.sha256)
