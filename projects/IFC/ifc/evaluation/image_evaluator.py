# SPDX-License-Identifier: Apache-2.0
"""Evaluation of a COCO test set in detectron2's loop, by faster-coco-eval where that is installed."""

import contextlib
import itertools
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

from detectron2.evaluation import COCOEvaluator, coco_evaluation
from detectron2.utils import comm
from pycocotools.cocoeval import COCOeval


def installed_coco_eval() -> type:
    """faster-coco-eval's COCOeval if it is installed, else pycocotools', of the same numbers."""
    try:
        from faster_coco_eval import COCOeval_faster
    except ModuleNotFoundError:
        return COCOeval
    return COCOeval_faster


class ImageEvaluator(COCOEvaluator):
    """detectron2's COCOEvaluator of boxes and masks, with the COCOeval that is installed."""

    def __init__(self, dataset_name: str, output_dir: str) -> None:
        # detectron2's own fast implementation needs its compiled ops.
        super().__init__(dataset_name, tasks=("bbox", "segm"), output_dir=output_dir, use_fast_impl=False)

    @property
    def ground_truth(self) -> dict[str, Any]:
        """The content of the data set's json."""
        return self._coco_api.dataset

    def evaluate(self, img_ids: Sequence[int] | None = None) -> OrderedDict[str, dict[str, float]]:
        """Numbers in percent, by task; of the images `img_ids`, or of all."""
        # In the order of one process, whoever had which image.
        gathered = itertools.chain.from_iterable(comm.gather(self._predictions))
        self._predictions = sorted(gathered, key=itemgetter("image_id"))
        with _coco_eval(installed_coco_eval()):
            return super().evaluate(img_ids)


@contextlib.contextmanager
def _coco_eval(chosen: type) -> Iterator[None]:
    """Let COCOEvaluator, which takes no such argument, evaluate with `chosen`."""
    before = coco_evaluation.COCOeval
    coco_evaluation.COCOeval = chosen
    try:
        yield
    finally:
        coco_evaluation.COCOeval = before
