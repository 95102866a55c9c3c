# SPDX-License-Identifier: Apache-2.0
"""What is taken for a video of a stranger's, and what is not."""

import numpy as np
import pytest
from segmented_folder import write_video

from ifc.app.uploads import Limits, UploadError, take_upload

FRAMES = [np.full((32, 48, 3), 20 * i, dtype=np.uint8) for i in range(8)]
TIMES = [i / 4 for i in range(8)]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "job"
    folder.mkdir()
    return folder


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("b.webm", "libvpx-vp9"), ("c.avi", "mpeg4")])
def test_videos_are_taken_under_our_own_name(tmp_path, folder, name, codec):
    write_video(tmp_path / name, FRAMES, TIMES if codec != "mpeg4" else [i / 30 for i in range(8)], codec)
    strange = tmp_path / "$(touch x); ..\\‮ 猫.png"
    (tmp_path / name).rename(strange)
    taken = take_upload(strange, folder, Limits())
    assert taken.parent == folder and taken.stem == "video" and taken.suffix != ".png"
    assert taken.read_bytes() == strange.read_bytes()


@pytest.mark.parametrize(
    ("limits", "named"),
    [(Limits(size=100), "MB"), (Limits(seconds=1.5), "2 seconds"), (Limits(pixels=1500), "48 × 32")],
)
def test_limits_are_kept(tmp_path, folder, limits, named):
    write_video(tmp_path / "a.mp4", FRAMES, TIMES)
    with pytest.raises(UploadError, match=named):
        take_upload(tmp_path / "a.mp4", folder, limits)
    assert not list(folder.iterdir())


@pytest.mark.parametrize("content", ["text", "empty", "playlist", "concatenation", "cut"])
def test_all_else_is_refused(tmp_path, folder, content):
    write_video(tmp_path / "secret.ts", FRAMES, TIMES)
    contents = {
        "text": b"No video.\n" * 100,
        "empty": b"",
        # Of these, FFmpeg would read other files of this machine.
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nsecret.ts\n#EXT-X-ENDLIST\n",
        "concatenation": b"ffconcat version 1.0\nfile secret.ts\n",
        "cut": (tmp_path / "secret.ts").read_bytes()[:300],
    }
    (tmp_path / "video.mp4").write_bytes(contents[content])
    with pytest.raises(UploadError) as refused:
        take_upload(tmp_path / "video.mp4", folder, Limits())
    assert str(tmp_path) not in str(refused.value)
    assert not list(folder.iterdir())


def test_an_upload_that_is_gone_is_asked_for_again(tmp_path, folder):
    with pytest.raises(UploadError, match="again"):
        take_upload(tmp_path / "gone.mp4", folder, Limits())
