# SPDX-License-Identifier: Apache-2.0
"""One method in a process of its own: reads "WIDTH HEIGHT FRAMES", answers seconds of each frame.

python benchmarks/rivals/worker.py METHOD, started by side_by_side.py. Methods that are not ours get
the image at the network's size and random weights, on which the time does not depend.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depth_recog import environment

environment.prepare()

import cv2
import numpy as np

Frame = Any
Method = Callable[[Frame], object]
_WARM_UP = 12
_PATCH = 14


def ours(backend: str) -> Callable[[int, int], Method]:
    """The whole frame: masks, depth, poses, gate, depth at the input's size."""
    from depth_recog.method.settings import Settings
    from depth_recog.networks import factory
    from depth_recog.pipeline import Pipeline

    options = {"backend": backend} if "backend" in factory.NetworkOptions.__annotations__ else {}
    loaded = factory.assemble(factory.NetworkOptions(device="cpu", **options))

    def at(width: int, height: int) -> Method:
        pipeline = Pipeline(loaded.with_settings(Settings(width=width)))
        return lambda frame: pipeline.process(frame).at_input_size.depth()

    return at


def naive(_: str) -> Callable[[int, int], Method]:
    """Monodepth2's networks in the patent's order: depth, and three poses of masked pairs."""
    import torch

    from rivals.monodepth2 import DepthNet, PoseNet

    torch.set_num_threads(os.cpu_count() or 1)
    depth, pose = DepthNet().eval(), PoseNet().eval()
    before: list[torch.Tensor] = []

    def at(width: int, height: int) -> Method:
        mask = torch.zeros(1, 1, height, width)
        mask[..., height // 2 :, width // 3 : width // 2] = 1

        def frame_of(frame: Frame) -> object:
            small = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
            image = torch.from_numpy(small).permute(2, 0, 1)[None].float() / 255
            before[:] = (
                [*before[-1:], image] if before and before[-1].shape == image.shape else [image] * 2
            )
            with torch.inference_mode():
                found = depth(image)
                for keep in (1 - mask, mask, torch.ones_like(mask)):
                    pose(before[0] * keep, before[1] * keep)
            size = frame.image.shape[1::-1]
            return cv2.resize(found[0, 0].numpy(), size, interpolation=cv2.INTER_LINEAR)

        return frame_of

    return at


def depth_anything(runtime: str) -> Callable[[int, int], Method]:
    """Depth Anything V2 Small: depth alone."""
    import torch
    from transformers import DepthAnythingConfig, DepthAnythingForDepthEstimation

    torch.set_num_threads(os.cpu_count() or 1)
    model = DepthAnythingForDepthEstimation(DepthAnythingConfig()).eval()

    def at(width: int, height: int) -> Method:
        fed = tuple(max(1, round(side / _PATCH)) * _PATCH for side in (width, height))
        example = torch.zeros(1, 3, fed[1], fed[0])
        if runtime == "openvino":
            import openvino

            class Depth(torch.nn.Module):
                def __init__(self) -> None:
                    super().__init__()
                    self.model = model

                def forward(self, pixels: torch.Tensor) -> torch.Tensor:
                    return self.model(pixels).predicted_depth

            with torch.no_grad():
                traced = torch.jit.trace(Depth().eval(), example, check_trace=False)
                graph = openvino.convert_model(traced, example_input=example, input=example.shape)
            compiled = openvino.Core().compile_model(graph, "CPU", {"PERFORMANCE_HINT": "LATENCY"})

            def run(pixels: np.ndarray) -> np.ndarray:
                return compiled(pixels)[0]

        else:

            def run(pixels: np.ndarray) -> np.ndarray:
                with torch.inference_mode():
                    return model(torch.from_numpy(pixels)).predicted_depth.numpy()

        def frame_of(frame: Frame) -> object:
            small = cv2.resize(frame.image, fed, interpolation=cv2.INTER_AREA)
            pixels = np.ascontiguousarray(small.transpose(2, 0, 1)[None], np.float32) / 255
            found = np.asarray(run(pixels)).squeeze()
            size = frame.image.shape[1::-1]
            return cv2.resize(found, size, interpolation=cv2.INTER_LINEAR)

        return frame_of

    return at


METHODS = {"ours": ours, "naive": naive, "depth-anything-v2-small": depth_anything}


def main() -> None:
    name, _, variant = sys.argv[1].partition(":")
    at = METHODS[name](variant or "auto")
    from depth_recog.datasets.street import SyntheticStreet

    frames = list(SyntheticStreet(seed=7, frames=60, width=1242, height=375))
    methods: dict[tuple[int, int], Method] = {}
    position = 0
    print("ready", flush=True)
    for line in sys.stdin:
        width, height, count = map(int, line.split())
        fresh = (width, height) not in methods
        if fresh:
            methods[width, height] = at(width, height)
        seconds = []
        for _turn in range(count + (_WARM_UP if fresh else 2)):
            frame = frames[position % len(frames)]
            position += 1
            start = time.perf_counter()
            methods[width, height](frame)
            seconds.append(time.perf_counter() - start)
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        memory = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        print(json.dumps({"seconds": seconds[-count:], "memory": memory}), flush=True)


if __name__ == "__main__":
    main()
