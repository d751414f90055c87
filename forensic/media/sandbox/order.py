"""What a decoder process is asked to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Order:
    """``task`` is ``look`` (at the confinement only), ``probe``, ``frames``, ``packets`` or ``sound``.

    ``label``: the file's name for messages. ``parent``: process id. ``memory``: bytes of address space.
    ``cpu_s``: processor seconds to begin with. ``go``: descriptor of a pipe on which one byte says that limits
    are set; None where there is nothing to wait for. ``coding``: say with each frame how it was coded.
    """

    task: str
    label: str
    parent: int
    memory: int
    cpu_s: int
    go: int | None
    coding: bool = False

    def to_json(self) -> str:
        """As the child's argument."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Order:
        """Inverse of :meth:`to_json`."""
        return cls(**json.loads(text))
