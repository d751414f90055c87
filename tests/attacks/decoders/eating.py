"""Takes memory until there is none, and touches every page of it."""

from forensic.media.libav import ExhibitFile
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order

_PIECE = 16 << 20


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    taken = []
    while True:
        taken.append(b"\1" * _PIECE)


if __name__ == "__main__":
    raise SystemExit(main(work))
