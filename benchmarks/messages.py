# SPDX-License-Identifier: Apache-2.0
"""What points, compressedDepth and compressed images cost, on a recording's frames.

python benchmarks/messages.py SOURCE [--sizes 640x192 1242x375] [--frames 20] [--threads 1]

Depth, masks and frames are those of the recording at its network's size, enlarged to each size.
Median CPU milliseconds of one thread (neighbours do not count), and bytes of the last message.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from std_msgs.msg import Header

from depth_recog.datasets.sources import open_source
from depth_recog.interfaces import compressed_image
from depth_recog.method.geometry.viewport import Viewport, limit_depth
from depth_recog.method.masking import SKY
from depth_recog.networks.factory import assemble
from depth_recog.nodes.io import messages
from depth_recog.nodes.io.compressed_depth import compressed_depth
from depth_recog.nodes.io.points import cloud

NEAREST, FARTHEST = 0.1, 80.0


def png_of(rgb: Any) -> bytes:
    return bytes(cv2.imencode(".png", rgb[..., ::-1])[1])


def work(frame: Any, view: Viewport, step: Any, size: tuple[int, int]) -> dict[str, Callable]:
    """What is measured, by name; each returns bytes."""
    rgb = cv2.resize(view.rectify(frame.image), size, interpolation=cv2.INTER_AREA)
    camera = view.rectified.resized(*size)
    sky = step.frame.labels == SKY
    small = limit_depth(step.frame.depth, NEAREST, FARTHEST)
    depth = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)
    sky = cv2.resize(sky.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST) > 0
    depth = limit_depth(depth, NEAREST, FARTHEST, sky)
    jpeg, png, header = compressed_image.to_jpeg(rgb), png_of(rgb), Header()
    tasks: dict[str, Callable] = {
        f"depth/points, points_step {n}": lambda n=n: cloud(depth, rgb, camera, n, header).data
        for n in (4, 2, 1)
    }
    for encoding in ("32FC1", "16UC1"):
        tasks[f"compressedDepth, {encoding}"] = lambda e=encoding: (
            compressed_depth(depth, e, NEAREST, FARTHEST, header).data
        )
    tasks["depth/image_rect, 32FC1, for comparison"] = lambda: (
        messages.depth_image(depth, "32FC1", header).data
    )
    tasks["JPEG to RGB"] = lambda: compressed_image.to_rgb("jpeg", jpeg) is not None and jpeg
    tasks["PNG to RGB"] = lambda: compressed_image.to_rgb("png", png) is not None and png
    tasks["RGB to JPEG (camera_node)"] = lambda: compressed_image.to_jpeg(rgb)
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", default="synthetic:street?seed=7")
    parser.add_argument("--sizes", nargs="+", default=["640x192", "1242x375"])
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    sequence, assembly = open_source(options.source), assemble("cpu")
    times: dict[tuple[str, str], list[float]] = {}
    sizes: dict[tuple[str, str], int] = {}
    view = None
    for index, frame in zip(range(options.frames), sequence, strict=False):
        if view is None:
            view = Viewport.of(frame.camera, assembly.network_size(frame.camera))
        image = view.shrink(view.rectify(frame.image))
        step = assembly.recognizer.step(frame.name, frame.stamp_ns, image, view.network, False)
        for text in options.sizes:
            width, height = (int(n) for n in text.split("x"))
            for name, task in work(frame, view, step, (width, height)).items():
                start = time.thread_time()
                data = task()
                # The first frame warms up.
                if index:
                    taken = (time.thread_time() - start) * 1e3
                    times.setdefault((name, text), []).append(taken)
                sizes[name, text] = len(data)
    print(f"| {options.source.split('/')[-1]} | {' | '.join(options.sizes)} |")
    print("|---|" + "---|" * len(options.sizes))
    for name in dict.fromkeys(name for name, _ in times):
        cells = (
            f"{np.median(times[name, s]):.2f} ms, {sizes[name, s] / 1e3:.0f} kB"
            for s in options.sizes
        )
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
