"""Load an enrolled model behind its card, and enlarge a picture with it tile by tile: the same bytes whatever runs
beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forensic.errors import BadInput, InternalError
from forensic.registry.external.card import ExternalCard
from forensic.registry.external.engine import ExternalEngine, make_engine
from forensic.registry.external.shelf import read_files
from forensic.registry.tiling import blend_tiles, cut_inside, plan_tiles, round_up


@dataclass(frozen=True)
class ExternalModel:
    """A network or pipeline ready to run, with the card it came in by. Safe to call from several threads."""

    card: ExternalCard
    engine: ExternalEngine

    def enlarged(self, picture: np.ndarray, tile: int, overlap: int, seed: int = 0, steps: int = 1) -> np.ndarray:
        """``picture``, float32 [3, H, W], R'G'B' of 0 to 1, enlarged to [3, scale*H, scale*W], not clipped.

        Tiles see ``overlap`` input pixels of what surroundings the picture has, and are cross-faded: what such a
        network looks at is not known. Where its sides have to be multiples of something, the edge is repeated below and
        to the right. The schedule follows from tile, overlap and size. Raises ``UsageError`` (``model.tile-size``),
        ``BadInput`` (``model.external-run``) and ``InternalError`` (``model.picture``).
        """
        if picture.ndim != 3 or picture.shape[0] != 3 or picture.dtype != np.float32 or not picture.size:
            raise InternalError(
                "model.picture", f"A picture is float32 [3, H, W]; this is {picture.dtype} {picture.shape}."
            )
        plan = plan_tiles(picture.shape[1], picture.shape[2], tile, overlap)
        made = (self._run(piece, seed, steps) for piece in cut_inside(picture, plan))
        return blend_tiles(made, plan, self.card.scale)

    def _run(self, piece: np.ndarray, seed: int, steps: int) -> np.ndarray:
        rows, columns = piece.shape[1:]
        below, right = (round_up(side, self.engine.alignment) - side for side in (rows, columns))
        filled = np.pad(piece, ((0, 0), (0, below), (0, right)), mode="edge") if below or right else piece
        out = self.engine.run(filled, seed, steps)
        return out[:, : self.card.scale * rows, : self.card.scale * columns]


def load_external_model(card: ExternalCard) -> ExternalModel:
    """Read the files once, check those very bytes, and make an engine of them.

    Raises as :func:`forensic.registry.external.shelf.read_files` and
    :func:`forensic.registry.external.engine.make_engine`; ``BadInput`` (``model.card-untrue``) where what comes of them
    is not what the card says.
    """
    engine = make_engine(card.engine, read_files(card), f"model {card.id}")
    found, said = _stated(engine), _stated(card)
    if found != said:
        raise BadInput(
            "model.card-untrue",
            f"Model {card.id} is {', '.join(map(str, found))} (architecture, scale, alignment, parameters, noise, "
            f"conditions); its card says {', '.join(map(str, said))}.",
            "Another version of the engine may see it otherwise: enrol the model again under another id.",
        )
    return ExternalModel(card, engine)


def _stated(one: ExternalEngine | ExternalCard) -> tuple[object, ...]:
    return one.architecture, one.scale, one.alignment, one.parameters, one.noise, one.conditions
