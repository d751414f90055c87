"""Train single-x4: the recipe of light-x4 by other plans (``plan.py``), one after the other.

    python models/single-x4/train.py --photos DIR --out DIR

Options, outputs, photographs and recordings are those of ``models/light-x4``.
"""

from __future__ import annotations

from plan import FIRST, SECOND
from train import main  # of light-x4: `plan` put it on the path

if __name__ == "__main__":
    main(FIRST, SECOND)
