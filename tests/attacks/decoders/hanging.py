"""Runs in a circle."""

from forensic.media.libav import ExhibitFile
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    while True:
        pass


if __name__ == "__main__":
    raise SystemExit(main(work))
