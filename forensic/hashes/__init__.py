"""Digests, canonical JSON and Merkle trees: the vocabulary in which every record is written."""

from forensic.hashes.canonical import canonical_json, parse_canonical
from forensic.hashes.digest import sha256_bytes, sha256_file, sha256_stream
from forensic.hashes.merkle import (
    MerkleTree,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    verify_inclusion,
)

__all__ = [
    "MerkleTree",
    "canonical_json",
    "inclusion_proof",
    "leaf_hash",
    "merkle_root",
    "parse_canonical",
    "sha256_bytes",
    "sha256_file",
    "sha256_stream",
    "verify_inclusion",
]
