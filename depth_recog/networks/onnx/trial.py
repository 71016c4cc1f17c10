# SPDX-License-Identifier: Apache-2.0
"""The first inference of an ONNX model, in a process of its own.

A graph is a program: it can loop for ever, take all memory, or crash its runtime. There it can be
ended. What has passed is remembered by its hash.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from depth_recog.documents import parse_json
from depth_recog.errors import DocumentError, WeightsError
from depth_recog.limits import MIB, ONNX_MEMORY, ONNX_SECONDS
from depth_recog.networks.backends import graph_cache
from depth_recog.networks.onnx.description import Description
from depth_recog.networks.weights import Header

_VERSION = 1


def try_out(header: Header, description: Description) -> None:
    """Run a model once on a grey image, on the processor.

    Args:
        header: of the model, with its content.
        description: of the model.

    Raises:
        WeightsError: it cannot be run, takes too long or too much memory, or ends the process.
    """
    import onnxruntime

    facts = [_VERSION, header.sha256, asdict(description), onnxruntime.__version__]
    key = json.dumps(["trial", *facts])
    if graph_cache.read(key) is not None:
        return
    about = {"path": str(header.path), "description": asdict(description)}
    command = [sys.executable, "-c", _CHILD.format(path=sys.path)]
    given = json.dumps(about).encode() + b"\n" + header.content
    try:
        # Not the end of a with block: that would wait for a process that nothing ends.
        done = subprocess.run(command, input=given, capture_output=True, timeout=ONNX_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise WeightsError(
            f"{header.path}: its first inference did not end within {ONNX_SECONDS} s: it loops, or "
            "is too large for this processor"
        ) from error
    except OSError as error:
        raise WeightsError(
            f"{header.path}: no process could be started to try it out ({error.strerror})"
        ) from error
    if done.returncode < 0:
        raise WeightsError(
            f"{header.path}: its first inference ended with {_signal(-done.returncode)}: the model "
            f"is damaged, or needs more than {ONNX_MEMORY // MIB} MiB"
        )
    problem = _answer(done.stdout)
    if problem:
        raise WeightsError(problem)
    graph_cache.write(key, b"passed")


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _answer(output: bytes) -> str:
    try:
        return str(parse_json(output.decode().strip().splitlines()[-1])["problem"])
    except (DocumentError, ValueError, LookupError, TypeError):
        return "the ONNX model could not be tried out: its process ended without an answer"


_CHILD = """import sys
sys.path[:] = {path!r}
from depth_recog.networks.onnx.trial import child
child()
"""


def child() -> None:
    """What the process does: reads a model from its input, and says what is wrong with it."""
    import resource

    signal.alarm(ONNX_SECONDS + 5)  # should nobody be there to end it
    resource.setrlimit(resource.RLIMIT_AS, (ONNX_MEMORY, ONNX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    about = json.loads(sys.stdin.buffer.readline())
    content = sys.stdin.buffer.read()
    from depth_recog.networks.device import CPU
    from depth_recog.networks.onnx.masks import OnnxMasks

    values: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in about["description"].items()
    }
    values["provider"] = "cpu"
    description = Description(**values)
    header = Header(Path(about["path"]), "masks", {}, (0, 0), "", "", (), content)
    problem = ""
    try:
        OnnxMasks(header, CPU, description)
    except WeightsError as error:
        problem = str(error)
    except MemoryError:
        problem = f"{header.path}: its first inference needs more than {ONNX_MEMORY // MIB} MiB"
    print(json.dumps({"problem": problem}), flush=True)
