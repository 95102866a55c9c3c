# SPDX-License-Identifier: Apache-2.0
"""Folders as `ifc segment` writes them, by hand: what is in them is known."""

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from pycocotools import mask as mask_utils
from ytvis.small import compressed

CATEGORIES = [{"id": 1, "name": "circle"}, {"id": 2, "name": "square"}]


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    times: Sequence[float],
    codec: str = "libx264",
    pixels: str = "yuv420p",
    bf: str = "0",
) -> None:
    """Frames (H, W, 3) uint8 with times in seconds; `bf` of them in a row may be stored in another order."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=30, options={"crf": "10", "bf": bf})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 1000)
        for image, time in zip(frames, times, strict=True):
            frame = av.VideoFrame.from_ndarray(image)
            frame.pts, frame.time_base = round(1000 * time), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def write_folder(
    folder: Path,
    source: Path | str,
    masks: np.ndarray,
    times: Sequence[float],
    *,
    scores: Sequence[float] = (0.9, 0.8, 0.4),
    labels: Sequence[int] = (1, 2, 1),
    ids: Sequence[int] = (1, 2, 3),
    name: str = "circle",
) -> Path:
    """What was found in a video: the N tracks of masks (N, T, H, W) bool; `name` is that of the first category."""
    folder.mkdir(parents=True, exist_ok=True)
    tracks = list(zip(ids, labels, scores, masks, strict=False))
    with open(folder / "objects.jsonl", "w", encoding="utf-8") as file:
        for frame, time in enumerate(times):
            objects = []
            for track_id, label, score, of_track in tracks:
                if of_track[frame].any():
                    rle = compressed(of_track[frame])
                    objects.append(
                        {
                            "track_id": track_id,
                            "category_id": label,
                            "score": score,
                            "bbox": mask_utils.toBbox(rle).tolist(),
                            "segmentation": rle,
                        }
                    )
            file.write(json.dumps({"frame": frame, "time": time, "objects": objects}) + "\n")
    seen = [np.flatnonzero(of_track.any(axis=(1, 2))) for *_, of_track in tracks]
    manifest = {
        "input": str(source),
        "height": masks.shape[2],
        "width": masks.shape[3],
        "num_frames": len(times),
        "categories": [{"id": 1, "name": name}, *CATEGORIES[1:]],
        "settings": {},
        "status": "finished",
        "error": None,
        "files": {"objects": "objects.jsonl"},
        "tracks": [
            {
                "id": track_id,
                "category_id": label,
                "score": score,
                "first_frame": int(frames[0]),
                "last_frame": int(frames[-1]),
                "num_frames": len(frames),
            }
            for (track_id, label, score, _), frames in zip(tracks, seen, strict=True)
        ],
    }
    (folder / "video.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def segmentations(masks: np.ndarray) -> list[dict | None]:
    """Of one object's masks (T, H, W) bool, as annotations have them."""
    return [compressed(mask) if mask.any() else None for mask in masks]
