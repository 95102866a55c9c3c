# SPDX-License-Identifier: Apache-2.0
"""One process's part of an evaluation of known results; also a program, so that several processes can run.

Arguments: rank, number of processes, file to meet at, ground truth, results, output folder. Each process writes what
`evaluate` returned to returned_<rank>.json in the output folder.
"""

import json
import sys
from pathlib import Path

import torch
from detectron2.data import MetadataCatalog

from ifc.evaluation.evaluator import YTVISEvaluator


def evaluate_share(rank: int, world_size: int, gt_file: str, results_file: str, output_dir: str) -> dict:
    """Feed every `world_size`-th video to a YTVISEvaluator and return what it makes of them.

    As a sampler does that pads its shares, the last process also gets the first video, which the first process has.
    """
    ground_truth = json.loads(Path(gt_file).read_text())
    results = json.loads(Path(results_file).read_text())
    contiguous = {category["id"]: index for index, category in enumerate(ground_truth["categories"])}
    MetadataCatalog.get("known").set(json_file=gt_file, thing_dataset_id_to_contiguous_id=contiguous)
    evaluator = YTVISEvaluator("known", output_dir)
    videos = ground_truth["videos"]
    for video in videos[rank::world_size] + (videos[:1] if rank == world_size - 1 else []):
        tracks = [track for track in results if track["video_id"] == video["id"]]
        outputs = {
            "image_size": (video["height"], video["width"]),
            "pred_scores": [track["score"] for track in tracks],
            "pred_labels": [contiguous[track["category_id"]] for track in tracks],
            "pred_masks": [track["segmentations"] for track in tracks],
        }
        evaluator.process([{"video_id": video["id"], "length": video["length"]}], outputs)
    MetadataCatalog.pop("known")
    return evaluator.evaluate()


def main() -> None:
    rank, world_size, rendezvous = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    torch.distributed.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=world_size)
    returned = evaluate_share(rank, world_size, *sys.argv[4:])
    Path(sys.argv[-1], f"returned_{rank}.json").write_text(json.dumps(returned))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
