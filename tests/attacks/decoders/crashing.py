"""Reads outside its memory after a few frames, as a decoder with a defect does."""

import ctypes

from forensic.media.libav import ExhibitFile
from forensic.media.reader import ExhibitReader
from forensic.media.sandbox.decoder import Outlet, main
from forensic.media.sandbox.order import Order


def work(order: Order, file: ExhibitFile, outlet: Outlet) -> None:
    with ExhibitReader(file) as reader:
        outlet.say("opened", facts=reader.facts.to_record(), counts=reader.anomaly_counts, statistics=reader.statistics)
    ctypes.string_at(0)


if __name__ == "__main__":
    raise SystemExit(main(work))
