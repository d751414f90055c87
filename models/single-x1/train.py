"""Train single-x1: the recipe of light-x4 by another plan (``plan.py``).

    python models/single-x1/train.py --photos DIR --out DIR

Options, outputs, photographs and recordings are those of ``models/light-x4``.
"""

from __future__ import annotations

from plan import PLAN

if __name__ == "__main__":
    from train import main  # of light-x4: `plan` put it on the path

    main(PLAN)
