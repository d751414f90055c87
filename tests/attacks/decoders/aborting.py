"""Calls abort(), as a library that has found its own memory broken does."""

import os

from forensic.media.libav import ExhibitFile
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    os.abort()


if __name__ == "__main__":
    raise SystemExit(main(work))
