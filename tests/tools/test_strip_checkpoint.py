# SPDX-License-Identifier: Apache-2.0
"""A checkpoint's weights alone."""

from pathlib import Path

import pytest
import torch
from tools.commands import command

from ifc.engine.checkpoint import strip_checkpoint


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    path = tmp_path / "model_final.pth"
    model = {"a.weight": torch.rand(3, 4), "a.num_batches_tracked": torch.tensor(70000)}
    torch.save({"model": model, "optimizer": {"state": {0: torch.rand(100)}}, "iteration": 7}, path)
    return path


@pytest.mark.parametrize("half", [False, True])
def test_only_the_weights_stay(checkpoint, tmp_path, half):
    target = tmp_path / "model.pth"
    size = strip_checkpoint(str(checkpoint), str(target), half)
    assert size == target.stat().st_size < checkpoint.stat().st_size
    expected = torch.load(checkpoint, weights_only=True)["model"]
    found = torch.load(target, weights_only=True)
    assert list(found) == ["model"]
    assert found["model"]["a.weight"].dtype == (torch.float16 if half else torch.float32)
    torch.testing.assert_close(found["model"]["a.weight"].float(), expected["a.weight"], atol=1e-3, rtol=1e-3)
    assert found["model"]["a.num_batches_tracked"].item() == 70000


def test_what_float16_cannot_hold_is_refused(tmp_path):
    source = tmp_path / "large.pth"
    torch.save({"model": {"a.weight": torch.tensor([1e6])}}, source)
    with pytest.raises(ValueError, match="a.weight has values beyond float16"):
        strip_checkpoint(str(source), str(tmp_path / "out.pth"), half=True)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    source = tmp_path / "broken.pth"
    source.write_bytes(content)
    with pytest.raises(ValueError, match=r"broken\.pth .*expected a whole file of tensors"):
        strip_checkpoint(str(source), str(tmp_path / "out.pth"))


@pytest.mark.parametrize(("weights", "found"), [({"a.weight": torch.eye(3).to_sparse()}, "sparse_coo"), ({}, "none")])
def test_weights_that_are_no_plain_tensors(tmp_path, weights, found):
    torch.save({"model": weights}, tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd\.pth.*: expected .*found .*{found}"):
        strip_checkpoint(str(tmp_path / "odd.pth"), str(tmp_path / "out.pth"))


def test_the_checkpoint_itself_is_not_written_over(checkpoint):
    before = checkpoint.read_bytes()
    with pytest.raises(OSError, match=r"model_final\.pth, which is to be read"):
        strip_checkpoint(str(checkpoint), str(checkpoint))
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("target", ["nowhere/out.pth", "out.pth"])
def test_the_program_ends_with_one_line(checkpoint, tmp_path, monkeypatch, capsys, target):
    monkeypatch.setattr("sys.argv", ["strip_checkpoint.py", str(checkpoint), str(tmp_path / target)])
    main = command("strip")
    if target == "out.pth":
        main()
        assert f"{target}: " in capsys.readouterr().out
    else:
        with pytest.raises(
            SystemExit, match=r"^error: .*nowhere/out\.pth: cannot be written whole; is its folder there"
        ):
            main()
