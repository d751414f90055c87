"""How far damage reaches: what each packet was like, and which frames may be predicted from a damaged one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from av.packet import Packet


@dataclass
class PacketNote:
    """What is known of a packet while its frame is awaited."""

    pts: int | None
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    concealed: bool = False
    corrupt: bool = False
    hidden: bool = False
    jpeg: bytes | None = None  # the packet itself, where its quantisation tables are wanted
    after: int | None = None  # the damaged packet that this one may be predicted from
    size: int | None = None  # bytes


@dataclass
class Aftermath:
    """Frames that may carry on the damage of one packet."""

    count: int = 0
    first: int = 0
    last: int = 0
    source: int | None = None  # the damaged packet's own frame, once it has come out


class Propagation:
    """Follows damage in decoding order, up to the next key frame.

    Pictures decoded after a damaged one may be predicted from it, also those shown before it; so may
    the leading pictures of the next group, which are decoded after its key frame but shown before it.
    """

    def __init__(self) -> None:
        self.found: dict[int, Aftermath] = {}
        self._damage: int | None = None
        self._leading: tuple[int | None, int] = (None, 0)

    def before(self, packet: Packet[Any]) -> int | None:
        """The damage, if any, that the picture of ``packet`` may be predicted from."""
        if packet.is_keyframe:
            self._leading = (self._damage, packet.pts if packet.pts is not None else 0)
            self._damage = None
            return None
        damage, key = self._leading
        if damage is not None and packet.pts is not None and packet.pts < key:
            return damage
        return self._damage

    def damaged(self, serial: int) -> None:
        """The picture of packet ``serial`` is damaged."""
        if self._damage is None:
            self._damage = serial
            self.found.setdefault(serial, Aftermath())

    def touched(self, serial: int, index: int) -> None:
        """Frame ``index`` came out and may be predicted from the damaged packet ``serial``."""
        record = self.found.setdefault(serial, Aftermath(first=index))
        record.first = min(record.first, index) if record.count else index
        record.last = max(record.last, index)
        record.count += 1
