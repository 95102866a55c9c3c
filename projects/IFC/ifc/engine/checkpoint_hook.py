# SPDX-License-Identifier: Apache-2.0
"""Which checkpoints a training writes, and which of them stay."""

import math
from typing import Any

from detectron2.engine import HookBase
from torch import nn

from .checkpoint import IfcCheckpointer

BEST = "model_best"
AVERAGED = "ema"  # the results of averaged weights, among those of the weights that are trained


class Checkpoints(HookBase):
    """Saves model_{iteration}.pth now and then, model_final.pth at the end, and the weights of the best evaluation.

    Args:
        checkpointer: that of the trainer.
        period: iterations between two; there is one before each evaluation as well.
        eval_period: iterations between two evaluations, 0 for none on the way.
        keep: how many of those that this training wrote on its way stay, the newest; 0 for all.
        averaged: the model of averaged weights, if there is one; it ends as model_final_ema.pth.
    """

    def __init__(
        self, checkpointer: IfcCheckpointer, *, period: int, eval_period: int, keep: int, averaged: nn.Module | None
    ):
        self._checkpointer = checkpointer
        self._averaged = averaged
        self._periods = [number for number in (period, eval_period) if number > 0]
        self._keep = keep
        self._written: list[str] = []
        self._best = -1.0

    def after_step(self) -> None:
        done = self.trainer.iter + 1
        if done == self.trainer.max_iter:
            self._checkpointer.save("model_final", iteration=self.trainer.iter)
            if self._averaged is not None:
                self._checkpointer.save_weights("model_final_ema", self._averaged, iteration=self.trainer.iter)
        elif any(done % period == 0 for period in self._periods):
            self.save()

    def save(self) -> None:
        """Save a checkpoint of this iteration, and remove those that are too many."""
        name = f"model_{self.trainer.iter:07d}"
        self._written = [*(other for other in self._written if other != name), name]
        old = self._written[: -self._keep] if self._keep else []
        self._written = self._written[len(old) :]
        self._checkpointer.save(name, iteration=self.trainer.iter)
        for other in old:
            self._checkpointer.remove(other)

    def note_results(self, results: dict[str, Any]) -> None:
        """Save the weights that an evaluation found to be the best so far, by AP on the first data set."""
        for model, numbers in ((self._checkpointer.model, results), (self._averaged, results.get(AVERAGED, {}))):
            ap = average_precision(numbers)
            if ap > self._best:
                self._best = ap
                self._checkpointer.save_weights(BEST, model, iteration=self.trainer.iter, AP=ap)

    def state_dict(self) -> dict[str, Any]:
        return {"written": self._written, "best": self._best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._written, self._best = list(state_dict["written"]), state_dict["best"]


def average_precision(results: dict[str, Any]) -> float:
    """The AP of masks on the first data set of an evaluation's results, in percent; -1 where there is none."""
    while results and "AP" not in results:
        results = results.get("segm") or next(iter(results.values()))
    ap = results.get("AP", -1.0)
    return ap if math.isfinite(ap) else -1.0
