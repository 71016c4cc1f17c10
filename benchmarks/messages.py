# SPDX-License-Identifier: Apache-2.0
"""How long does it take to build or decode a ROS message, and how large is it?

python benchmarks/messages.py SOURCE[@A:B] [--sizes 640x192 1242x375] [--threads 1] [--json FILE]

Depth, masks and images are those of the recording, resized from the network's size to each size.
Median CPU milliseconds of one thread (other processes do not count), and the size of the last
message in kB. The first frame warms up.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from common import parser_of, recording, report
from std_msgs.msg import Header

from depth_recog.interfaces import compressed_image
from depth_recog.method.geometry.viewport import limit_depth
from depth_recog.method.masking import SKY
from depth_recog.networks.factory import NetworkOptions, assemble
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.compressed_depth import compressed_depth
from depth_recog.nodes.io.points import cloud
from depth_recog.pipeline import Pipeline
from depth_recog.processed import ProcessedFrame

NEAREST, FARTHEST = 0.1, 80.0


def tasks_of(processed: ProcessedFrame, size: tuple[int, int]) -> dict[str, Callable[[], Any]]:
    """What is timed, by name; each returns bytes."""
    prepared, frame = processed.prepared, processed.step.frame
    rgb = cv2.resize(prepared.rectified, size, interpolation=cv2.INTER_AREA)
    camera = prepared.view.rectified.resized(*size)
    sky = (frame.labels == SKY).astype(np.uint8)
    sky = cv2.resize(sky, size, interpolation=cv2.INTER_NEAREST) > 0
    small = limit_depth(frame.depth, NEAREST, FARTHEST)
    depth = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    depth = limit_depth(depth, NEAREST, FARTHEST, sky)
    header, jpeg = Header(), compressed_image.to_jpeg(rgb)
    png = bytes(cv2.imencode(".png", rgb[..., ::-1])[1])
    tasks: dict[str, Callable[[], Any]] = {
        f"depth/points, points_step {n}": lambda n=n: cloud(depth, rgb, camera, n, header).data
        for n in (4, 2, 1)
    }
    for encoding in ("32FC1", "16UC1"):
        tasks[f"compressedDepth, {encoding}"] = lambda e=encoding: (
            compressed_depth(depth, e, NEAREST, FARTHEST, header).data
        )
    return tasks | {
        "depth/image_rect, 32FC1": lambda: messages.depth_image(depth, "32FC1", header).data,
        "JPEG to RGB": lambda: compressed_image.to_rgb("jpeg", jpeg) is not None and jpeg,
        "PNG to RGB": lambda: compressed_image.to_rgb("png", png) is not None and png,
        "RGB to JPEG (camera_node)": lambda: compressed_image.to_jpeg(rgb),
    }


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("source", nargs="?", default="synthetic:street?seed=7@0:20")
    parser.add_argument("--sizes", nargs="+", default=["640x192", "1242x375"])
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    sequence, indices = recording(options.source)
    pipeline = Pipeline(assemble(NetworkOptions(device="cpu")))
    times: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    bytes_of: dict[tuple[str, str], int] = {}
    for index in indices:
        processed = pipeline.process(sequence[index])
        for text in options.sizes:
            width, height = (int(side) for side in text.split("x"))
            for name, task in tasks_of(processed, (width, height)).items():
                start = time.thread_time()
                data = task()
                if index != indices[0]:
                    times[name][text].append((time.thread_time() - start) * 1e3)
                bytes_of[name, text] = len(data)
    rows = [
        {"message": name}
        | {f"{size}, ms": float(np.median(by_size[size])) for size in options.sizes}
        | {f"{size}, kB": bytes_of[name, size] / 1e3 for size in options.sizes}
        for name, by_size in times.items()
    ]
    report(options, rows)


if __name__ == "__main__":
    main()
