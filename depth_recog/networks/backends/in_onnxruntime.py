# SPDX-License-Identifier: Apache-2.0
"""onnxruntime on a processor or GPU; on a GPU with TensorRT where it is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from depth_recog.networks.backends.choice import Place
from depth_recog.networks.backends.runtime import Run
from depth_recog.networks.onnx.session import best_provider, open_session


class OnnxRuntime:
    """onnxruntime as a `Runtime`; always in float32, but for what TensorRT does with it."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._provider = best_provider(place.device)

    @property
    def identity(self) -> str:
        """See `Runtime`."""
        import onnxruntime

        return f"onnxruntime {onnxruntime.__version__} {self._provider} {self._place.device}"

    def compile(self, graph: bytes, kind: str) -> Run:
        """See `Runtime`."""
        session = open_session(graph, self._place.device, self._provider, self._place.threads)

        def run(inputs: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
            return np.asarray(session.run(None, dict(inputs))[0])

        return run
