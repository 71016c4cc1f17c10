# SPDX-License-Identifier: Apache-2.0
"""Opens an ONNX graph with onnxruntime on a device."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from depth_recog.errors import DeviceError, WeightsError
from depth_recog.networks.device import Device
from depth_recog.networks.weights import read_content
from depth_recog.texts import plain

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, RunOptions

_LOG = logging.getLogger(__name__)
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_FATAL_ONLY = 4
_EXTERNAL = "session.model_external_initializers_file_folder_path"


def one_line(error: Exception) -> str:
    """An error of onnxruntime, which has several lines and names of the graph."""
    return plain(" ".join(str(error).split()), 500)


def run_options() -> RunOptions:
    """Options of one inference, to end it."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.log_severity_level = _FATAL_ONLY
    return options


def need_onnxruntime(model: object) -> None:
    """Raise a WeightsError where onnxruntime is not installed."""
    if find_spec("onnxruntime") is None:
        raise WeightsError(
            f"{model}: an ONNX model needs onnxruntime: pip install 'depth-recog[onnx]' "
            "(onnxruntime-gpu for an NVIDIA GPU)"
        )


def choose_providers(
    device: Device, asked: str | None, offered: list[str]
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


def best_provider(device: Device) -> str:
    """Return "cpu", "cuda", or "tensorrt" where this onnxruntime has it and the device is a GPU."""
    import onnxruntime

    offered = onnxruntime.get_available_providers()
    if device.type == "cuda" and _PROVIDERS["tensorrt"] in offered:
        return "tensorrt"
    return device.type


def open_session(
    model: Path | bytes,
    device: Device,
    asked: str | None = None,
    threads: int = 0,
    name: str = "the graph",
) -> InferenceSession:
    """Open an inference session.

    Args:
        model: the graph, or its file; all its tensors must be in it.
        device: to run on.
        asked: see `choose_providers`.
        threads: of the processor; 0: as many as it has cores.
        name: of the graph, for messages.

    Raises:
        WeightsError: onnxruntime is missing, or cannot read the graph.
        DeviceError: as `choose_providers`, or the provider's libraries cannot be loaded.
    """
    content = model if isinstance(model, bytes) else read_content(model)
    name = name if isinstance(model, bytes) else str(model)
    need_onnxruntime(name)
    if content[4:8] == b"ORTM":
        raise WeightsError(f"{name}: is in onnxruntime's own format: export it as ONNX")
    import onnxruntime

    providers = choose_providers(device, asked, onnxruntime.get_available_providers())
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait by spinning take the cores from the rest of the frame.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Errors are raised as exceptions; onnxruntime need not log them too.
    options.log_severity_level = _FATAL_ONLY
    # Tensors in other files would not be covered by the hash: there is no folder to find them in.
    options.add_session_config_entry(_EXTERNAL, os.devnull)
    try:
        session = onnxruntime.InferenceSession(
            content, options, providers=providers, enable_fallback=0
        )
    except Exception as error:  # onnxruntime's have no base of their own
        text = str(error).lower()
        if "external data" in text or "model_path" in text:
            raise WeightsError(
                f"{name}: keeps tensors in another file, which its sha256 does not cover: export "
                "it with all tensors inside"
            ) from error
        raise WeightsError(
            f"{name}: onnxruntime cannot read it ({one_line(error)}): export it again"
        ) from error
    # Without the provider's libraries onnxruntime silently uses the next provider.
    first = providers[0][0]
    if session.get_providers()[0] != first:
        raise DeviceError(
            f"{name}: onnxruntime's {first} does not start here: install the CUDA, cuDNN or "
            "TensorRT that it needs, or set `provider: cpu` in the model's YAML"
        )
    return session
