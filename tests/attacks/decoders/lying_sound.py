"""A decoder that a file has taken over: it makes up sound of a time that no recording has."""

from __future__ import annotations

from forensic.media.libav import ExhibitFile
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order
from forensic.media.sandbox.sound import BLOCK, RATE


def lie(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    """One block at the end of time."""
    outlet.say("sound", tracks=1, channels=1)
    outlet.say("samples", (memoryview(bytes(4 * BLOCK)),), at=RATE * 10**9)


if __name__ == "__main__":
    raise SystemExit(main(lie))
