"""Says that it works, and gives nothing."""

import time

from forensic.media.libav import ExhibitFile
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    while True:
        time.sleep(0.02)
        outlet.say("alive")


if __name__ == "__main__":
    raise SystemExit(main(work))
