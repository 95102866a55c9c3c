# SPDX-License-Identifier: Apache-2.0
"""What a reader of the documentation has on the disk: a video, labeled videos, downloaded annotations."""

import json
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np

from ifc.video import VideoWriter
from ifc.ytvis.datasets.dev_splits import DEV_SPLITS
from ifc.ytvis.datasets.shapes import CATEGORIES, render_video

SIZE = HEIGHT, WIDTH = 96, 144


def what_a_reader_brings(root: Path) -> None:
    """A video and, in videos/, two more; in my_frames/ labeled ones, with the exports; OVIS's annotations."""
    (root / "videos").mkdir()
    for seed, name in enumerate(("video.mp4", "videos/morning.mp4", "videos/evening.mp4"), start=15):
        write_video(root / name, seed)
    for number in range(6):
        write_labeled_video(root, f"clip{number}", seed=number)
    write_label_studio_export(root / "export.json", [f"clip{number}" for number in range(6)])
    write_ovis(root / "datasets" / "ovis")


def write_video(path: Path, seed: int) -> None:
    """A video of shapes in motion."""
    with VideoWriter(path, Fraction(10)) as writer:
        for frame in render_video(seed, *SIZE, 10).frames:
            writer.write(frame)


def write_labeled_video(root: Path, name: str, seed: int) -> None:
    """Frames, and the polygons that somebody has drawn around the objects in CVAT."""
    video, tracks = render_video(seed, *SIZE, 4), []
    for image, frame in enumerate(video.frames):
        path = root / "my_frames" / name / f"{image:05d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), frame[:, :, ::-1])
    categories = list(CATEGORIES.values())
    for masks, class_id in zip(video.masks, video.class_ids, strict=True):
        shapes = "".join(polygon(number, mask) for number, mask in enumerate(masks))
        tracks.append(f'<track id="{len(tracks)}" label="{categories[class_id]}">{shapes}</track>')
    labels = "".join(f"<label><name>{category}</name></label>" for category in categories)
    task = f"<task><name>{name}</name><size>{len(video.frames)}</size><labels>{labels}</labels></task>"
    text = f"<annotations><version>1.1</version><meta>{task}</meta>{''.join(tracks)}</annotations>"
    (root / "cvat").mkdir(exist_ok=True)
    (root / "cvat" / f"{name}.xml").write_text(text)


def polygon(frame: int, mask: np.ndarray) -> str:
    """The outline of a mask as CVAT writes it; none where nothing is to be seen."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = max(contours, key=cv2.contourArea, default=None)
    if outline is None or len(outline) < 3:
        return f'<polygon frame="{frame}" outside="1" points="0,0;0,1;1,1"/>'
    points = ";".join(f"{x},{y}" for x, y in outline[:, 0])
    return f'<polygon frame="{frame}" outside="0" occluded="0" keyframe="1" points="{points}"/>'


def write_label_studio_export(path: Path, names: list[str]) -> None:
    """A rectangle that stays, in each of the videos of these names."""
    box = {"frame": 1, "enabled": True, "time": 0, "x": 20, "y": 20, "width": 40, "height": 40, "rotation": 0}
    value = {"framesCount": 4, "duration": 0.4, "sequence": [box], "labels": ["disk"]}
    result = [{"id": "r0", "type": "videorectangle", "from_name": "box", "to_name": "video", "value": value}]
    tasks = [
        {
            "id": number,
            "data": {"video": f"/data/upload/1/0a1b2c3d-{name}.mp4"},
            "annotations": [{"id": number, "was_canceled": False, "result": result}],
        }
        for number, name in enumerate(names)
    ]
    path.write_text(json.dumps(tasks))


def write_ovis(folder: Path) -> None:
    """Annotations of as many videos as OVIS has, without its frames; each with one object on its only frame."""
    folder.mkdir(parents=True)
    numbers = range(1, DEV_SPLITS["ifc-dev-ovis"].num_videos + 1)
    square = [{"size": [8, 8], "counts": [9, 3, 52]}]
    content = {
        "categories": [{"id": 1, "name": "Person"}],
        "videos": [
            {"id": number, "width": 8, "height": 8, "length": 1, "file_names": [f"{number:08x}/img_0000001.jpg"]}
            for number in numbers
        ],
        "annotations": [
            {"id": number, "video_id": number, "category_id": 1, "segmentations": square} for number in numbers
        ],
    }
    (folder / "annotations_train.json").write_text(json.dumps(content))
