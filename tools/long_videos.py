#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the long videos of YouTube-VIS 2022's validation split as a split of their own, `ytvis_2022_val_long`.

The split's valid.json has the short videos of 2021 and the long ones that were added, and does not say which is which:
the long ones are those whose folder of frames 2021's valid.json does not have.

Example:
    python tools/long_videos.py datasets/ytvis_2022/valid.json --short datasets/ytvis_2021/valid.json \
        --output datasets/ytvis_2022/valid_long.json
"""

import argparse
import sys
from pathlib import Path, PurePosixPath
from typing import Any

from ifc.ytvis.files import refuse_input, write_json
from ifc.ytvis.reading import read_json


def select_long(content: dict[str, Any], short: dict[str, Any], json_file: str, short_file: str) -> dict[str, Any]:
    """The part of `content` whose videos `short` does not have.

    Raises:
        ValueError: a file without videos, or two that have no videos in common or no others.
    """
    folders, short_folders = _folders(content, json_file), set(_folders(short, short_file).values())
    long_ids = {video_id for video_id, folder in folders.items() if folder not in short_folders}
    if not 0 < len(long_ids) < len(folders):
        which = "all" if not long_ids else "none"
        raise ValueError(f"{json_file}: found {which} of its {len(folders)} videos in {short_file}, expected some")
    selected = content | {"videos": [video for video in content["videos"] if video["id"] in long_ids]}
    if content.get("annotations") is not None:
        try:
            selected["annotations"] = [entry for entry in content["annotations"] if entry["video_id"] in long_ids]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{json_file}: annotations: expected a video_id in each, found {error!r}") from error
    return selected


def _folders(content: Any, json_file: str) -> dict[int, str]:
    """Video id -> folder of the frames."""
    try:
        return {video["id"]: str(PurePosixPath(video["file_names"][0]).parent) for video in content["videos"]}
    except (IndexError, KeyError, TypeError) as error:
        expected = "'videos', each with an id and file_names"
        raise ValueError(f"{json_file}: expected {expected}, found another json ({error!r})") from error


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the long videos of YouTube-VIS 2022's validation split.")
    parser.add_argument("json", metavar="JSON", help="valid.json of 2022")
    parser.add_argument("--short", required=True, metavar="JSON", help="valid.json of 2021")
    parser.add_argument("--output", required=True, type=Path, metavar="JSON", help="valid_long.json, to be written")
    args = parser.parse_args()
    try:
        refuse_input(args.output, [args.json, args.short])
        selected = select_long(read_json(args.json), read_json(args.short), args.json, args.short)
        write_json(args.output, selected)
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{args.output}: {len(selected['videos'])} videos")


if __name__ == "__main__":
    main()
