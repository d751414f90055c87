"""The lattice of stage classes. A frame carries the maximum over all that touched it."""

from __future__ import annotations

from enum import IntEnum

from forensic.errors import PolicyRefused


class StageClass(IntEnum):
    """How far a stage may move pixels from what the camera recorded; higher is further."""

    PRESENTATION = 0
    GEOMETRIC = 1
    FIDELITY = 2
    GENERATIVE = 3

    @property
    def label(self) -> str:
        """Lower-case name as it stands in recipes, cards, policies and records."""
        return self.name.lower()

    @classmethod
    def parse(cls, text: object) -> StageClass:
        """Read a class name; an unknown one is refused, never guessed (``class.unknown``)."""
        if isinstance(text, str) and text.upper() in cls.__members__ and text == text.lower():
            return cls[text.upper()]
        raise PolicyRefused(
            "class.unknown",
            f"Unknown stage class {text!r}.",
            "Known classes: " + ", ".join(member.label for member in cls) + ".",
        )
