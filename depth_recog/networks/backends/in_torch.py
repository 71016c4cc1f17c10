# SPDX-License-Identifier: Apache-2.0
"""Runs networks with torch: on GPUs, and for networks of transformers.

On a GPU an image is copied there once for both networks, from pinned memory; the networks are
queued one behind the other, and the processor goes on until it needs a result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from depth_recog.method.networks import Image
from depth_recog.networks.backends import lane
from depth_recog.networks.backends.choice import Place
from depth_recog.networks.models_in_torch import Model, model_of
from depth_recog.networks.own.tensors import image_tensor
from depth_recog.networks.precision import in_precision
from depth_recog.networks.sized import SizedDepth
from depth_recog.networks.weights import Header

Result = NDArray[Any]


class TorchDepth:
    """A `DepthModel`.

    Attributes:
        module: the network, as it was loaded.
    """

    def __init__(self, module: Model, size: tuple[int, int], place: Place) -> None:
        self.module = module
        device = torch.device(str(place.device))
        self._network = SizedDepth(in_precision(module, place.precision, device), size)
        self._runner = _Runner(self._compute, place)

    def __call__(self, image: Image, focal: float) -> Callable[[], Result]:
        """See `DepthModel`."""
        return self._runner.start(image, focal)

    def _compute(self, image: Tensor, focal: float) -> Tensor:
        focals = torch.tensor([focal], dtype=image.dtype, device=image.device)
        return self._network(image, focals)[0, 0].float()


class TorchLabels:
    """A `LabelModel`.

    Attributes:
        module: the network, as it was loaded.
    """

    def __init__(self, module: Model, place: Place) -> None:
        self.module = module
        device = torch.device(str(place.device))
        self._network = in_precision(module, place.precision, device)
        self._runner = _Runner(self._compute, place)

    def __call__(self, image: Image) -> Callable[[], Result]:
        """See `LabelModel`."""
        return self._runner.start(image)

    def _compute(self, image: Tensor) -> Tensor:
        return self._network(image).argmax(1)[0].to(torch.uint8)


class TorchPose:
    """A `PoseModel`, in float32."""

    def __init__(self, module: Model, place: Place) -> None:
        self.module = module
        self._device = torch.device(str(place.device))

    def __call__(self, first: Image, second: Image) -> NDArray[np.float64]:
        """See `PoseModel`."""

        def compute() -> Result:
            with torch.inference_mode():
                images = (image_tensor(image, self._device) for image in (first, second))
                return np.asarray(self.module(*images)[0].double().cpu().numpy())

        return lane.start(compute)()


def load(header: Header, place: Place) -> TorchDepth | TorchLabels | TorchPose:
    """Load a network.

    Raises:
        WeightsError: it cannot be used.
    """
    if place.threads:
        torch.set_num_threads(place.threads)
    module = model_of(header, torch.device(str(place.device)))
    if header.network == "depth":
        return TorchDepth(module, header.size, place)
    if header.network == "masks":
        return TorchLabels(module, place)
    return TorchPose(module, place)


class _Runner:
    """Runs a function of an image on a device, without waiting for it."""

    def __init__(self, compute: Callable[..., Tensor], place: Place) -> None:
        self._compute = compute
        self._device = torch.device(str(place.device))

    def start(self, image: Image, *more: Any) -> Callable[[], Result]:
        if self._device.type == "cpu":
            return lane.start(self._on_processor, image, *more)
        return self._on_gpu(image, *more)

    def _on_processor(self, image: Image, *more: Any) -> Result:
        with torch.inference_mode():
            return np.asarray(self._compute(image_tensor(image, self._device), *more).numpy())

    def _on_gpu(self, image: Image, *more: Any) -> Callable[[], Result]:
        with torch.inference_mode():
            result = self._compute(_uploaded(image, self._device), *more)
            here = torch.empty(result.shape, dtype=result.dtype, pin_memory=True)
            here.copy_(result, non_blocking=True)
            done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            done.record(torch.cuda.current_stream(self._device))

        def wait() -> Result:
            done.synchronize()
            return np.asarray(here.numpy())

        return wait


_last: tuple[Image, torch.device, Tensor] | None = None


def _uploaded(image: Image, device: torch.device) -> Tensor:
    """The image as a tensor on the GPU; one image is uploaded once for several networks."""
    global _last
    if _last is None or _last[0] is not image or _last[1] != device:
        pinned = torch.from_numpy(np.ascontiguousarray(image)).pin_memory()
        tensor = pinned.to(device, non_blocking=True)[None].permute(0, 3, 1, 2).float().div_(255)
        _last = image, device, tensor
    return _last[2]
