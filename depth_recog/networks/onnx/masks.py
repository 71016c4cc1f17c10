# SPDX-License-Identifier: Apache-2.0
"""Runs an ONNX segmentation model as the class scores of block 103.

A graph of a fixed input size gets a frame of another aspect ratio as overlapping tiles
(`networks/tiling.py`), without distortion. Its output is resized to the frame.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
import PIL.Image
from numpy.typing import NDArray

from depth_recog.errors import WeightsError
from depth_recog.limits import ONNX_SECONDS
from depth_recog.networks.backends import lane
from depth_recog.networks.device import Device
from depth_recog.networks.onnx.description import Description, description_path
from depth_recog.networks.onnx.session import need_onnxruntime, one_line, open_session, run_options
from depth_recog.networks.onnx.trial import try_out
from depth_recog.networks.tiling import nearest_tile, tile_starts
from depth_recog.networks.weights import Header

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

Float = NDArray[np.float32]
_NUMBERS: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
}
SLACK = 1.1
"""Up to this ratio of aspect ratios a frame is not tiled: rounding to multiples of 32 changes the
aspect ratio as much."""

_PROBE = (128, 64)
"""(width, height) at which a graph of any size is tested when it is loaded."""


class _Input(NamedTuple):
    """The graph's input: name, number type, and (width, height) or None for any size."""

    name: str
    numbers: type
    size: tuple[int, int] | None


class OnnxMasks:
    """A segmentation model from an ONNX graph; tested on a grey image when it is made.

    Args:
        header: of the graph, with its content.
        device: that the graph runs on unless the description names a provider.
        trusted: the graph's description, if the graph was tried out before or may end the process;
            None for the header's, and to try it out first.

    Raises:
        WeightsError: onnxruntime is missing, the graph does not end, or graph and description do
            not fit.
        DeviceError: the provider is missing.
    """

    def __init__(self, header: Header, device: Device, trusted: Description | None = None) -> None:
        description = trusted or Description(**header.architecture["onnx"])
        if trusted is None:
            need_onnxruntime(header.path)
            try_out(header, description)
        path = header.path
        self._path, self._description = path, description
        self._session = open_session(header.content, device, description.provider, name=str(path))
        try:
            self._input = _input_of(self._session, path, description)
        except UnicodeDecodeError as error:
            raise WeightsError(f"{path}: its input has a name that is no text") from error
        whole = np.issubdtype(self._input.numbers, np.integer)
        self._scale = description.scale or (255.0 if whole else 1.0)
        width, height = self._input.size or _PROBE
        self.scores(np.full((height, width, 3), 0.5, np.float32))

    def __call__(self, image: NDArray[np.uint8]) -> Callable[[], NDArray[np.uint8]]:
        """See `LabelModel`."""
        return lane.start(self._labels_of, image)

    def _labels_of(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        pixels = np.asarray(image, np.float32) / np.float32(255)
        return np.asarray(self.scores(pixels).argmax(0), np.uint8)

    def scores(self, image: Float) -> Float:
        """Return class scores.

        Args:
            image: (H, W, 3) float32, 0..1, RGB.

        Returns:
            (k, H, W) float32; 1 and 0 where the graph gives labels.

        Raises:
            WeightsError: the graph does not run at this size, or its output does not fit the
                description.
        """
        height, width = image.shape[:2]
        if self._input.size is None:
            return self._answer(image)
        aspect = self._input.size[0] / self._input.size[1]
        if 1 / SLACK <= width / height / aspect <= SLACK:
            return self._answer(image)
        across = width / height > aspect
        length, side, axis = (
            (width, round(height * aspect), 1) if across else (height, round(width / aspect), 0)
        )
        starts = tile_starts(length, side)
        nearest = nearest_tile(length, starts, side)
        parts = []
        for index, start in enumerate(starts):
            own = np.flatnonzero(nearest == index)
            answer = self._answer(image.take(range(start, start + side), axis))
            first = int(own[0]) - start
            parts.append(answer.take(range(first, first + len(own)), axis + 1))
        return np.concatenate(parts, axis + 1)

    def _answer(self, image: Float) -> Float:
        """Return the scores of one image or tile."""
        size = image.shape[1::-1]
        answer = self._run(self._fed(image))
        if self._description.output == "scores":
            scores = np.asarray(self._scores(answer), np.float32)
            if scores.shape[2:0:-1] == size:
                return scores
            last = np.ascontiguousarray(scores.transpose(1, 2, 0))
            enlarged = cv2.resize(last, size, interpolation=cv2.INTER_LINEAR)
            return np.ascontiguousarray(enlarged.reshape(*size[::-1], -1).transpose(2, 0, 1))
        labels = self._labels(answer)
        if labels.shape[::-1] != size:
            resized = cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST_EXACT)
            labels = np.asarray(resized, np.uint8)
        classes = np.arange(len(self._description.classes))[:, None, None]
        return np.asarray(labels == classes, np.float32)

    def _fed(self, image: Float) -> NDArray[Any]:
        wanted = self._input.size
        if wanted is not None and image.shape[1::-1] != wanted:
            # Pillow's bilinear filter averages where it shrinks; OpenCV's would leave pixels out.
            bands = [
                PIL.Image.fromarray(band).resize(wanted, PIL.Image.Resampling.BILINEAR)
                for band in np.ascontiguousarray(image.transpose(2, 0, 1))
            ]
            image = np.stack([np.asarray(band) for band in bands], 2)
        description = self._description
        mean, std = np.array(description.mean, np.float32), np.array(description.std, np.float32)
        array = (image * np.float32(self._scale) - mean) / std
        array = array[None] if description.layout == "NHWC" else array.transpose(2, 0, 1)[None]
        if np.issubdtype(self._input.numbers, np.integer):
            array = np.clip(np.rint(array), 0, 255)
        return np.ascontiguousarray(array, self._input.numbers)

    def _run(self, array: NDArray[Any]) -> NDArray[Any]:
        options = run_options()
        # How often a graph loops may depend on the image.
        watch = threading.Timer(ONNX_SECONDS, lambda: setattr(options, "terminate", True))
        watch.daemon = True
        watch.start()
        try:
            return np.asarray(self._session.run(None, {self._input.name: array}, options)[0])
        except Exception as error:  # onnxruntime's have no base of their own
            if options.terminate:
                text = f"{self._path}: an inference did not end within {ONNX_SECONDS} s"
                raise WeightsError(text) from error
            raise WeightsError(
                f"{self._path}: cannot be run on {'x'.join(map(str, array.shape))} "
                f"({one_line(error)}): name the size that it takes in "
                f"{description_path(self._path).name}, as `size: [513, 513]`"
            ) from error
        finally:
            watch.cancel()

    def _scores(self, answer: NDArray[Any]) -> NDArray[Any]:
        """Return the graph's output as scores, (k, h, w)."""
        count = len(self._description.classes)
        layout = self._description.layout
        if answer.dtype.kind not in "fiub":
            raise self._misfit(answer, "numbers are needed", "output")
        if answer.ndim != 4 or not answer.size:
            raise self._misfit(answer, f"scores of rank 4 ({layout}) are needed", "output: labels")
        scores = answer if layout == "NCHW" else answer.transpose(0, 3, 1, 2)
        if scores.shape[1] != count or scores.shape[0] != 1:
            raise self._misfit(answer, f"{layout}, {count} classes, is needed", "classes, layout")
        return np.asarray(scores[0])

    def _labels(self, answer: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the graph's output as labels, (h, w) uint8."""
        labels = answer
        if labels.ndim == 4:
            channel = 1 if self._description.layout == "NCHW" else 3
            if labels.shape[channel] == 1:
                labels = labels.squeeze(channel)
        if answer.dtype.kind not in "fiub":
            raise self._misfit(answer, "numbers are needed", "output")
        if labels.ndim != 3 or labels.shape[0] != 1 or not labels.size:
            raise self._misfit(answer, "labels of shape 1xHxW are needed", "output: scores, layout")
        whole = np.asarray(np.nan_to_num(labels[0], nan=-1, posinf=-1, neginf=-1), np.int64)
        count = len(self._description.classes)
        strange = whole[(whole < 0) | (whole >= count)]
        if len(strange):
            raise WeightsError(
                f"{self._path}: gives label {int(strange[0])}, and "
                f"{description_path(self._path).name} names {count} classes: name them all, by id"
            )
        return np.asarray(whole, np.uint8)

    def _misfit(self, answer: NDArray[Any], needed: str, keys: str) -> WeightsError:
        shape = "x".join(map(str, answer.shape))
        return WeightsError(
            f"{self._path}: its first output has shape {shape}, {needed}: correct "
            f"{description_path(self._path).name} ({keys}), or export it again"
        )


def _input_of(session: InferenceSession, path: Path, description: Description) -> _Input:
    yaml = description_path(path).name
    inputs = session.get_inputs()
    if len(inputs) != 1:
        names = ", ".join(one.name for one in inputs)
        raise WeightsError(f"{path}: has {len(inputs)} inputs ({names}); a graph of one is needed")
    (only,) = inputs
    layout = description.layout
    if len(only.shape) != 4:
        raise WeightsError(
            f"{path}: its input {only.name} has rank {len(only.shape)}, an image {layout} is needed"
        )
    if only.type not in _NUMBERS:
        raise WeightsError(f"{path}: its input {only.name} is a {only.type}: float is needed")
    batch, channels, height, width = (only.shape[layout.index(letter)] for letter in "NCHW")
    if isinstance(batch, int) and batch != 1:
        raise WeightsError(f"{path}: takes {batch} images at once: export it for one")
    if isinstance(channels, int) and channels != 3:
        raise WeightsError(
            f"{path}: its input {only.name} has {channels} channels as {layout}, 3 are needed: "
            f"correct layout in {yaml}, or export it for RGB"
        )
    own = tuple(one if isinstance(one, int) else None for one in (width, height))
    if description.size is not None:
        if any(o not in (None, s) for o, s in zip(own, description.size, strict=True)):
            raise WeightsError(
                f"{path}: takes {width}x{height}, {yaml} says size: {list(description.size)}: "
                "leave that out"
            )
        return _Input(only.name, _NUMBERS[only.type], description.size)
    if own[0] is not None and own[1] is not None:
        return _Input(only.name, _NUMBERS[only.type], (own[0], own[1]))
    if own != (None, None):
        raise WeightsError(f"{path}: fixes one side ({width}x{height}): name both in {yaml}, size")
    return _Input(only.name, _NUMBERS[only.type], None)
