# SPDX-License-Identifier: Apache-2.0
"""Opens an ONNX graph with onnxruntime on a device."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from depth_recog.errors import DeviceError, WeightsError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_LOG = logging.getLogger(__name__)
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_FATAL_ONLY = 4


def need_onnxruntime(model: Path) -> None:
    """Raise a WeightsError where onnxruntime is not installed."""
    if find_spec("onnxruntime") is None:
        raise WeightsError(
            f"{model}: an ONNX model needs onnxruntime: pip install 'depth-recog[onnx]' "
            "(onnxruntime-gpu for an NVIDIA GPU)"
        )


def choose_providers(
    device: torch.device, asked: str | None, offered: list[str]
) -> list[tuple[str, dict[str, int]]]:
    """Choose execution providers, most preferred first.

    Args:
        device: of the other networks.
        asked: "cpu", "cuda" or "tensorrt"; None for the provider of the device, or the CPU with a
            warning where it is missing.
        offered: names of the providers in this onnxruntime.

    Raises:
        DeviceError: the provider is missing.
    """
    wanted = asked or device.type
    cpu: tuple[str, dict[str, int]] = (_PROVIDERS["cpu"], {})
    if wanted == "cpu":
        return [cpu]
    if device.type != "cuda":
        raise DeviceError(f"provider {wanted!r} needs a GPU, and the device is {device}")
    if _PROVIDERS[wanted] not in offered:
        if asked is None:
            _LOG.warning(
                "this onnxruntime has no CUDA provider: the ONNX model runs on the CPU (install "
                "onnxruntime-gpu in place of onnxruntime, or set `provider: cpu` in its YAML)"
            )
            return [cpu]
        raise DeviceError(
            f"provider {wanted!r} is not in this onnxruntime ({', '.join(offered)}): install "
            "onnxruntime-gpu in place of onnxruntime, or change `provider` in the model's YAML"
        )
    index = {"device_id": device.index or 0}
    # Operators that TensorRT lacks run on CUDA.
    names = (wanted, "cuda") if wanted == "tensorrt" else (wanted,)
    return [*((_PROVIDERS[name], index) for name in names if _PROVIDERS[name] in offered), cpu]


def open_session(model: Path, device: torch.device, asked: str | None = None) -> InferenceSession:
    """Open an inference session.

    Args:
        model: the graph.
        device: to run on.
        asked: see `choose_providers`.

    Raises:
        WeightsError: onnxruntime is missing, or cannot read the graph.
        DeviceError: as `choose_providers`, or the provider's libraries cannot be loaded.
    """
    need_onnxruntime(model)
    import onnxruntime

    providers = choose_providers(device, asked, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    # Errors are raised as exceptions; onnxruntime need not log them too.
    options.log_severity_level = _FATAL_ONLY
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=providers)
    except Exception as error:  # onnxruntime's have no base of their own
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{model}: onnxruntime cannot read it ({reason}): export it again"
        ) from error
    # Without the provider's libraries onnxruntime silently uses the next provider.
    first = providers[0][0]
    if session.get_providers()[0] != first:
        raise DeviceError(
            f"{model}: onnxruntime's {first} does not start here: install the CUDA, cuDNN or "
            "TensorRT that it needs, or set `provider: cpu` in the model's YAML"
        )
    return session
