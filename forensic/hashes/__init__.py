"""Digests, canonical JSON and Merkle trees: the vocabulary in which every record is written."""

from forensic.hashes.canonical import canonical_json, parse_canonical
from forensic.hashes.digest import sha256_bytes, sha256_file, sha256_stream
from forensic.hashes.merkle import (
    EMPTY_ROOT,
    MerkleTree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "EMPTY_ROOT",
    "MerkleTree",
    "canonical_json",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "merkle_root",
    "parse_canonical",
    "sha256_bytes",
    "sha256_file",
    "sha256_stream",
    "verify_consistency",
    "verify_inclusion",
]
