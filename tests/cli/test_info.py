# SPDX-License-Identifier: Apache-2.0
"""`ifc info`: what is here, what is not, and what mends that."""

import json

import pytest
from tools.bare_python import run_tool

from ifc.cli.main import main
from ifc.version import __version__
from ifc.ytvis.datasets.shapes import write_ytvis


def test_without_torch_and_detectron2_the_commands_that_mend_it_are_said(tmp_path):
    ended = run_tool("ifc", tmp_path, "info", "--json", blocked="cv2")
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert (found["ifc"]["version"], found["devices"], found["data"]) == (__version__, [], None)
    assert found["detectron2"]["mend"] == "ifc install-detectron2"
    packages = {package["name"]: package for package in found["packages"]}
    assert "torch is not there" in packages["torch"]["error"] and "pip install" in packages["torch"]["mend"]
    assert "opencv-python-headless" in packages["opencv-python-headless"]["mend"]
    assert "mend" not in packages["numpy"]
    text = run_tool("ifc", tmp_path, "info", blocked="cv2").stdout
    assert all(f"\n    {entry['mend']}\n" in f"{text}\n" for entry in (found["detectron2"], packages["torch"]))


@pytest.fixture
def packages(monkeypatch):
    """Sets what the distribution asks for."""

    def ask_for(*requirements):
        monkeypatch.setattr("ifc.cli.info.metadata.requires", lambda name: list(requirements))

    return ask_for


def test_packages_and_data_sets(packages, tmp_path, monkeypatch, capsys):
    packages("numpy>=1", "torch>=1000", "no-such-thing>=2; extra == 'more'", "sphinx; extra == 'docs'")
    monkeypatch.setattr("ifc.data.catalog.ROOT", str(tmp_path))
    from detectron2.data import MetadataCatalog

    file = write_ytvis(tmp_path / "shapes", "val", 1, seed=1, image_size=(16, 16), length=1)
    monkeypatch.setitem(vars(MetadataCatalog.get("shapes_val")), "json_file", str(file))
    main(["info", "--json"])
    found = json.loads(capsys.readouterr().out)
    mends = {package["name"]: package.get("mend") for package in found["packages"]}
    assert mends == {
        "numpy": None,
        "torch": 'python -m pip install "torch>=1000"',
        "no-such-thing": 'python -m pip install "no-such-thing>=2"',
    }
    assert (
        found["detectron2"]["version"] and found["detectron2"]["path"] and "operators" in found["detectron2"]["origin"]
    )
    assert found["devices"][0]["device"] == "cpu" and isinstance(found["devices"][0]["fast_bfloat16"], bool)
    assert found["data"]["folders"]["shapes"] == {"found": ["shapes_val"]}
    assert found["data"]["folders"]["ovis"] == {"found": [], "mend": f"ln -s /path/to/ovis {tmp_path}/ovis"}
    main(["info"])
    text = capsys.readouterr().out
    assert "extra more: no-such-thing missing" in text and "shapes_val" in text
    assert "found 2." in text and f"ovis\n    ln -s /path/to/NAME {tmp_path}/NAME\n" in text
