"""Film grain in the model of AV1: estimated from flat places, told from other noise, removed, and made again.

:mod:`parameters` is the model, number for number that of the bitstream; :mod:`synthesis` makes grain from it exactly as
a decoder does; :mod:`sampling`, :mod:`fitting` and :mod:`kind` find it in a recording and say whether it is grain at
all; :mod:`removal` takes it out. How well each works is measured in docs/grain.md.
"""
