# SPDX-License-Identifier: Apache-2.0
"""The page of a video, in a browser, from disk. Each frame of the test's video is of one gray, by which it is known."""

import io
import json

import av
import numpy as np
import pytest
from PIL import Image
from segmented_folder import CATEGORIES, segmentations, write_folder, write_video

from ifc.cli.main import main
from ifc.video import VideoReader, VideoReadError
from ifc.viewer import played_video, write_pages

T, H, W = 20, 60, 80
# Seconds between frames as a phone takes them, 8 to 30 a second.
TIMES = [0.0, *np.cumsum(np.resize([0.033, 0.05, 0.125, 0.04], T - 1)).round(3).tolist()]
FRAMES = [np.full((H, W, 3), 30 + 10 * i, dtype=np.uint8) for i in range(T)]
SIZES = {"wide": (1280, 800), "phone": (390, 844)}


def boxes():
    """Masks of three tracks (3, T, H, W): one that moves down, one that is absent on frames 5 to 9, one at the end."""
    masks = np.zeros((3, T, H, W), dtype=bool)
    for i in range(T):
        masks[0, i, i : i + 20, 5:25] = True
    masks[1, :, 30:50, 40:60] = True
    masks[1, 5:10] = False
    masks[2, 15:, 2:8, 66:78] = True
    return masks


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("clips")
    write_video(root / "clip.mp4", FRAMES, TIMES)
    folder = write_folder(root / "clip", root / "clip.mp4", boxes(), TIMES)
    write_pages(folder)
    return folder


@pytest.fixture
def open_page(browser):
    """Opens a page that `write_pages` wrote and waits for its first frame."""
    contexts = []

    def open_(folder, size="wide", script=None, first=0):
        width, height = SIZES[size]
        contexts.append(browser.new_context(viewport={"width": width, "height": height}))
        contexts[-1].set_default_timeout(10_000)
        page = contexts[-1].new_page()
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
        if script:
            page.add_init_script(script)
        page.goto((folder / "index.html").as_uri())
        at_frame(page, first)
        return page

    yield open_
    for context in contexts:
        assert all(page.faults == [] for page in context.pages)
        context.close()


def at_frame(page, frame):
    page.wait_for_function("frame => document.getElementById('stage').dataset.frame === String(frame)", arg=frame)


GRAY = """() => {
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d");
  context.drawImage(document.getElementById("video"), 0, 0);
  return context.getImageData(70, 55, 1, 1).data[0];
}"""


def gray(page):
    """The number of the frame by its picture."""
    return round((page.evaluate(GRAY) - 30) / 10)


def opacity(page, x, y):
    """Of the overlay at a pixel of the video, 0 to 255."""
    script = """([x, y, width, height]) => {
      const canvas = document.getElementById("overlay");
      const place = [(x + 0.5) / width * canvas.width, (y + 0.5) / height * canvas.height].map(Math.floor);
      return canvas.getContext("2d").getImageData(...place, 1, 1).data[3];
    }"""
    return page.evaluate(script, [x, y, W, H])


def listed(page):
    return page.locator("#objects li:visible span:nth-child(2)").all_inner_texts()


@pytest.mark.parametrize("size", SIZES)
def test_frames_masks_and_list_stay_together(folder, open_page, size):
    page = open_page(folder, size)
    page.uncheck("#labels")
    for key, frame in (("ArrowRight", 1), ("End", 19), ("ArrowLeft", 18), ("5", 10), ("Shift+ArrowLeft", 0), ("3", 6)):
        page.keyboard.press(key)
        at_frame(page, frame)
        assert gray(page) == frame
        assert opacity(page, 15, frame + 10) > 0  # inside the box that moves down
        assert opacity(page, 15, frame + 23) == 0  # below it
        assert (opacity(page, 50, 40) > 0) == (not 5 <= frame < 10)
    assert listed(page) == ["#1 circle"]
    page.keyboard.press("Home")
    at_frame(page, 0)
    assert listed(page) == ["#1 circle", "#2 square"]
    assert page.evaluate("document.documentElement.scrollWidth") == SIZES[size][0]


@pytest.mark.parametrize(("name", "codec"), [("clip.mp4", "libx264"), ("clip.webm", "libvpx-vp9")])
def test_masks_keep_in_step_while_a_video_of_variable_rate_plays(tmp_path, open_page, name, codec):
    write_video(tmp_path / name, FRAMES, TIMES, codec)
    folder = write_folder(tmp_path / "clip", tmp_path / name, boxes(), TIMES)
    write_pages(folder)
    page = open_page(folder)
    page.evaluate(f"""() => {{
      window.shown = [];
      const draw = viewer.draw.bind(viewer);
      viewer.draw = (frame) => {{ draw(frame); shown.push([frame, ({GRAY})()]); }};
    }}""")
    page.keyboard.press(" ")
    page.wait_for_function("() => viewer.video.ended")
    shown = page.evaluate("shown")
    assert len({frame for frame, _ in shown}) > T / 2
    assert [frame for frame, _ in shown] == [round((level - 30) / 10) for _, level in shown]


def test_each_frame_can_be_sought(folder, open_page):
    page = open_page(folder)
    for frame in (*range(1, T), 0):
        page.evaluate("frame => viewer.player.seek(frame)", frame)
        at_frame(page, frame)
        assert gray(page) == frame


def test_a_browser_that_does_not_tell_its_pictures_times_shows_masks_too(folder, open_page):
    page = open_page(folder, script="delete HTMLVideoElement.prototype.requestVideoFrameCallback")
    page.keyboard.press("4")
    at_frame(page, 8)
    assert opacity(page, 15, 18) > 0
    page.keyboard.press(" ")
    page.wait_for_function("() => viewer.video.ended")
    at_frame(page, 19)


def test_tracks_classes_and_scores_switch_masks(folder, open_page):
    page = open_page(folder)
    page.keyboard.press("End")
    at_frame(page, 19)
    page.keyboard.press("l")
    places = {1: (15, 29), 2: (50, 40), 3: (72, 5)}

    def seen():
        return [track for track, place in places.items() if opacity(page, *place)]

    assert seen() == [1, 2, 3]
    page.get_by_role("checkbox", name="#2 square").uncheck()
    assert seen() == [1, 3] and listed(page) == ["#1 circle", "#3 circle"]
    page.get_by_role("button", name="all", exact=True).click()
    assert seen() == [1, 2, 3]
    page.get_by_role("checkbox", name="circle", exact=True).uncheck()
    assert seen() == [2] and listed(page) == ["#2 square"]
    page.get_by_role("checkbox", name="circle", exact=True).check()
    page.locator("#least-score").fill("0.5")  # the third has 0.4
    assert seen() == [1, 2]
    page.get_by_role("button", name="none", exact=True).click()
    assert seen() == [] and page.get_by_text("nothing that is shown").is_visible()
    page.get_by_role("button", name="all", exact=True).click()
    page.keyboard.press("m")
    page.keyboard.press("o")
    assert seen() == []
    page.keyboard.press("o")
    assert opacity(page, 40, 40) and not opacity(page, 50, 40)  # the outline is left


def test_labels_sit_on_the_largest_piece(folder, open_page):
    masks = np.zeros((T, H, W), dtype=bool)
    masks[:, 2:5, 2:5] = True
    masks[:, 30:50, 50:55] = masks[:, 30:50, 60:65] = masks[:, 45:50, 50:65] = True  # joined at the bottom
    masks[:, 52:58, 70:75] = True
    counts = segmentations(masks)[0]["counts"]
    piece = open_page(folder).evaluate("counts => viewer.masks.trace(counts).piece", counts)
    assert [piece[side] for side in ("left", "right", "top", "bottom", "area")] == [50, 65, 30, 50, 225]


def test_the_timeline_shows_where_a_track_is_absent_and_seeks(folder, open_page):
    page = open_page(folder)
    bar = page.locator("#tracks .bar").nth(1)
    box = bar.bounding_box()
    seen = [span.bounding_box() for span in bar.locator(".seen").all()]
    edges = [round(T * (x - box["x"]) / box["width"]) for part in seen for x in (part["x"], part["x"] + part["width"])]
    assert edges == [0, 5, 10, 20]
    (absent,) = bar.locator(".absent").all()
    span = absent.bounding_box()
    assert [round(T * (x - box["x"]) / box["width"]) for x in (span["x"], span["x"] + span["width"])] == [5, 10]
    fills = [
        part.evaluate("part => getComputedStyle(part).backgroundColor") for part in (bar.locator(".seen").first, absent)
    ]
    assert "rgba(0, 0, 0, 0)" == fills[1] != fills[0]  # see-through but for its dashes
    seconds = f"{TIMES[10] - TIMES[5]:.2f} s"
    assert absent.get_attribute("title") == f"absent for 5 frames ({seconds}), from 5 to 9"
    assert page.locator("#tracks .absent").count() == 1  # the third track begins late, which is none
    bar.click(position={"x": box["width"] * 12.5 / T, "y": 5})
    at_frame(page, 12)
    page.locator("#scrubber").fill("3")
    at_frame(page, 3)
    assert "frame 3 of 20" in page.locator("#place").inner_text()


def test_the_keyboard_reaches_everything(folder, open_page):
    page = open_page(folder)
    page.keyboard.press("?")
    assert page.get_by_role("dialog", name="Keys").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog", name="Keys").is_visible()
    page.locator("#labels").focus()
    page.keyboard.press(" ")  # is the check box's, not the player's
    assert not page.locator("#labels").is_checked() and page.evaluate("viewer.video.paused")
    page.locator("#play").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => !viewer.video.paused")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(" ")
    page.wait_for_function("() => viewer.video.paused")
    names = page.locator("button:visible, input:visible, select:visible").evaluate_all(
        "all => all.map((one) => one.ariaLabel || one.textContent.trim() || one.labels?.[0]?.textContent.trim())"
    )
    assert all(names), names


def test_the_picture_of_a_frame_can_be_saved(folder, open_page):
    page = open_page(folder)
    page.keyboard.press("9")
    at_frame(page, 18)
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    assert download.value.suggested_filename == "frame-18.png"
    picture = np.asarray(Image.open(io.BytesIO(download.value.path().read_bytes())).convert("RGB")).astype(int)
    assert picture.shape == (H, W, 3)
    assert abs(picture[55, 70] - 210).max() <= 4
    assert abs(picture[38 // 2 + 15, 15] - 210).max() > 20  # under a mask


def test_names_are_shown_and_never_read_as_markup(tmp_path, open_page):
    name = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>&amp;\u2028"
    write_video(tmp_path / "clip.mp4", FRAMES[:3], TIMES[:3])
    title = "<img src=x onerror=alert(1)> 猫"
    folder = write_folder(tmp_path / title, tmp_path / "clip.mp4", boxes()[:2, :3], TIMES[:3], name=name)
    (folder / "<b>.csv").write_text("")
    manifest = json.loads((folder / "video.json").read_text())
    (folder / "video.json").write_text(json.dumps({**manifest, "files": {"boxes": "<b>.csv"}}))
    write_pages(folder)
    page = open_page(folder)
    assert page.evaluate("window.broken") is None and page.locator("img").count() == 0
    assert page.locator("h1").inner_text() == title
    assert listed(page)[0] == f"#1 {name}"
    assert page.get_by_role("link", name="<b>.csv").get_attribute("href") == "%3Cb%3E.csv"


def test_a_large_video_lies_beside_the_page(tmp_path, open_page, monkeypatch):
    monkeypatch.setattr(played_video, "MAX_EMBEDDED", 0)
    write_video(tmp_path / "clip # 1.mp4", FRAMES, TIMES)
    folder = write_folder(tmp_path / "clip", tmp_path / "clip # 1.mp4", boxes(), TIMES)
    write_pages(folder)
    page = open_page(folder)
    page.keyboard.press("End")
    at_frame(page, 19)
    page.get_by_role("button", name="Save picture").click()
    assert page.locator("#message").inner_text()  # a browser allows that from a server alone


@pytest.mark.parametrize("kind", ["mpeg4.avi", "rotated.mp4", "ten_bit.mp4", "reordered.mp4", "frames"])
def test_what_browsers_do_not_play_well_is_encoded_anew(tmp_path, open_page, kind):
    source, times = tmp_path / kind, TIMES
    if kind == "mpeg4.avi":
        times = [i / 30 for i in range(T)]
        write_video(source, FRAMES, times, "mpeg4")
    elif kind == "reordered.mp4":
        write_video(source, FRAMES, times, bf="3")
    elif kind == "ten_bit.mp4":
        write_video(source, FRAMES, times, pixels="yuv420p10le")
    elif kind == "rotated.mp4":
        write_video(tmp_path / "upright.mp4", [np.rot90(frame) for frame in FRAMES], times)
        turn(tmp_path / "upright.mp4", source)
    else:
        times = [i / 10 for i in range(T)]
        source.mkdir()
        for i, frame in enumerate(FRAMES):
            Image.fromarray(frame[:-1]).save(source / f"{i}.png")  # and of odd height
    masks = boxes()[:, :, :-1] if kind == "frames" else boxes()
    folder = write_folder(tmp_path / "clip", source, masks, times)
    write_pages(folder)
    page = open_page(folder)
    page.keyboard.press("l")
    assert json.loads(page.evaluate("JSON.stringify([data.video.height, data.video.width])")) == [H, W]
    for frame in (1, 4, 5, 6, 12, 19):
        page.evaluate("frame => viewer.player.seek(frame)", frame)
        at_frame(page, frame)
        assert gray(page) == frame and opacity(page, 15, frame + 10) and not opacity(page, 15, frame + 23)


def test_a_video_may_begin_late_by_its_own_clock(tmp_path, open_page):
    write_video(tmp_path / "clip.mp4", FRAMES, [0.3 + time for time in TIMES])
    folder = write_folder(tmp_path / "clip", tmp_path / "clip.mp4", boxes(), TIMES)
    write_pages(folder)
    page = open_page(folder)
    for frame in (1, 7, 0):
        page.evaluate("frame => viewer.player.seek(frame)", frame)
        at_frame(page, frame)
        assert gray(page) == frame
    assert "0.00 s" in page.locator("#place").inner_text()


def test_a_part_of_a_video_is_shown_in_its_place(tmp_path, open_page):
    for name, pixels in (("clip", "yuv420p"), ("ten_bit", "yuv420p10le")):  # played as it is, and encoded
        write_video(tmp_path / f"{name}.mp4", FRAMES, TIMES, pixels=pixels)
        start, chosen = 0.2, range(3, 15, 3)
        times = [TIMES[frame] - start for frame in chosen]
        folder = write_folder(tmp_path / name, tmp_path / f"{name}.mp4", boxes()[:1, chosen], times)
        edit_settings(folder, start=start, every=3)
        write_pages(folder)
        page = open_page(folder, first=-1 if name == "clip" else 0)
        assert page.evaluate("viewer.player.frame") == (-1 if name == "clip" else 0)
        for index, frame in enumerate(chosen):
            page.evaluate("index => viewer.player.seek(index)", index)
            at_frame(page, index)
            assert gray(page) == frame and f"{TIMES[frame]:.2f} s" in page.locator("#place").inner_text()


def edit_settings(folder, **settings):
    manifest = json.loads((folder / "video.json").read_text())
    manifest["settings"] = {**manifest["settings"], **settings}
    (folder / "video.json").write_text(json.dumps(manifest))


def turn(path, turned):
    """Copy a video and say that it is to be shown a quarter turned."""
    with av.open(str(path)) as source, av.open(str(turned), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = bytearray(turned.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40
    values = [0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30]
    content[matrix : matrix + 36] = b"".join(value.to_bytes(4, "big", signed=True) for value in values)
    turned.write_bytes(content)


def test_a_video_that_breaks_is_shown_up_to_there(tmp_path, open_page):
    noise = np.random.default_rng(0).integers(0, 255, (T, H, W // 2, 3), dtype=np.uint8)  # too much to be guessed
    write_video(tmp_path / "whole.ts", np.concatenate([noise, np.stack(FRAMES)[:, :, W // 2 :]], axis=2), TIMES)
    content = (tmp_path / "whole.ts").read_bytes()
    (tmp_path / "clip.ts").write_bytes(content[: 2 * len(content) // 3])
    read = []
    with pytest.raises(VideoReadError):
        read.extend(VideoReader(tmp_path / "clip.ts").timed())
    assert 3 < len(read) < T
    folder = write_folder(tmp_path / "clip", tmp_path / "clip.ts", boxes()[:2, : len(read)], TIMES[: len(read)])
    write_pages(folder)
    page = open_page(folder)
    page.keyboard.press("End")
    at_frame(page, len(read) - 1)
    assert gray(page) == len(read) - 1


def test_a_lost_input_is_said_and_its_overlay_plays(tmp_path, open_page):
    folder = write_folder(tmp_path / "clip", "rtsp://camera/1", boxes(), TIMES)
    with pytest.raises(FileNotFoundError, match="camera"):
        write_pages(folder)
    write_video(folder / "overlay.mp4", FRAMES, TIMES)
    write_pages(folder)
    page = open_page(folder)
    assert page.get_by_text("camera").is_visible()
    assert not page.locator("#masks").is_checked()


def test_errors_are_shown_beside_the_ground_truth(tmp_path, open_page):
    write_video(tmp_path / "clip.mp4", FRAMES, TIMES)
    folder = write_folder(tmp_path / "clip", tmp_path / "clip.mp4", boxes(), TIMES)
    truth = boxes()
    truth[2] = False
    truth[1, 5:10, 30:50, 40:60] = True
    annotations = {
        "videos": [{"id": 3, "height": H, "width": W, "length": T}],
        "categories": CATEGORIES,
        "annotations": [
            {"id": i, "video_id": 3, "category_id": i, "segmentations": segmentations(truth[i - 1])} for i in (1, 2)
        ],
    }
    (tmp_path / "gt.json").write_text(json.dumps(annotations))
    write_pages(folder, tmp_path / "gt.json")
    page = open_page(folder)
    page.get_by_role("button", name="frame 15").click()
    at_frame(page, 15)
    row = page.locator("#objects li:visible", has_text="#3 circle")
    assert row.locator(".value").inner_text() == "false"
    page.keyboard.press("3")
    at_frame(page, 6)
    row = page.locator("#objects li:visible", has_text="truth 2 square")
    assert row.locator(".value").inner_text() == "missed"
    assert opacity(page, 40, 40) == 255 and opacity(page, 50, 40) == 0  # its outline
    page.get_by_role("checkbox", name="ground truth").uncheck()
    assert opacity(page, 40, 40) == 0


def test_several_videos_get_a_list(tmp_path, browser):
    for name in ("a & b", "c"):
        write_video(tmp_path / f"{name}.mp4", FRAMES[:2], TIMES[:2])
        write_folder(tmp_path / "out" / name, tmp_path / f"{name}.mp4", boxes()[:, :2], TIMES[:2], ids=(1, 2))
    broken = write_folder(tmp_path / "out" / "broken", "gone.mp4", boxes()[:, :2], TIMES[:2], ids=(1, 2))
    page_path, faults = write_pages(tmp_path / "out")
    assert len(faults) == 1 and str(broken) in faults[0]
    page = browser.new_page()
    page.goto(page_path.as_uri())
    assert page.get_by_role("link").all_inner_texts() == ["a & b", "c"]
    page.get_by_role("link", name="a & b").click()
    at_frame(page, 0)
    page.close()


def test_the_command_says_where_the_page_is(folder, capsys):
    main(["view", str(folder)])
    assert capsys.readouterr().out.strip() == str(folder / "index.html")
    with pytest.raises(SystemExit, match="video.json"):
        main(["view", str(folder.parent / "nothing")])
    with pytest.raises(SystemExit) as usage:
        main(["view", str(folder), "--video-id", "3"])
    assert usage.value.code == 2
