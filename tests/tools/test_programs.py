# SPDX-License-Identifier: Apache-2.0
"""What all programs have in common: --help without torch, and one way of ending with an error."""

import json

import pytest
from tools.bare_python import ROOT, run_tool
from ytvis.small import SmallDataset, compressed, rectangle

PROGRAMS = sorted(
    path.relative_to(ROOT) for folder in ("tools", "projects/IFC") for path in ROOT.glob(f"{folder}/*.py")
)
WITHOUT_TORCH = {
    "check_dataset.py": "small.json frames --workers 1",
    "compare_results.py": "--gt small.json results.json results.json",
    "convert.py": "ytvis-to-png small.json --output pngs --workers 1",
    "evaluate.py": "--gt small.json --results results.json",
    "long_videos.py": "small.json --short short.json --output long.json",
    "make_shapes.py": "--output shapes --split val --videos 1 --length 1 --size 16 16 --seed 1",
    "plot_run.py": "metrics.json --output curves.png",
    "split_dataset.py": "small.json --output split --val-videos 1",
    "submit.py": "results.json --for small.json",
}


@pytest.mark.parametrize("program", [str(path) for path in PROGRAMS])
def test_help_needs_no_torch(tmp_path, program):
    done = run_tool(ROOT / program, tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.lower().startswith("usage: ")


@pytest.mark.parametrize("program", WITHOUT_TORCH)
def test_without_torch_they_do_their_work(tmp_path, program):
    small = SmallDataset(tmp_path)
    small.write()
    (tmp_path / "short.json").write_text(
        json.dumps({**small.content, "videos": small.content["videos"][:1], "annotations": None})
    )
    results = [
        {"video_id": 2, "category_id": 3, "score": 0.5, "segmentations": [compressed(rectangle(2, 3, 10, 5)), None]}
    ]
    (tmp_path / "results.json").write_text(json.dumps(results))
    (tmp_path / "metrics.json").write_text('{"iteration": 19, "total_loss": 3.5}\n')
    done = run_tool(program, tmp_path, *WITHOUT_TORCH[program].split())
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.parametrize("program", sorted(WITHOUT_TORCH.keys() - {"check_dataset.py", "make_shapes.py"}))
def test_a_missing_file_is_one_line(tmp_path, program):
    done = run_tool(program, tmp_path, *WITHOUT_TORCH[program].split())
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert ".json" in done.stderr
