# SPDX-License-Identifier: Apache-2.0
"""`depth-recog VERB`: parses the arguments, calls the verb, and prints errors in one line."""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import re
import signal
import sys
from types import FrameType, ModuleType

from depth_recog import __version__, environment
from depth_recog.errors import DepthRecogError
from depth_recog.files import text_of
from depth_recog.texts import plain

VERBS = {
    "run": "write depth, masks and poses of a recording to files",
    "evaluate": "compare depth, poses and gate with the truth",
    "record": "write a source, with its ground truth, as a ROS 2 bag",
    "train": "train a depth network on your own recordings",
    "adapt": "adapt depth weights to recordings, judged before they are accepted",
    "calibrate-camera": "estimate a camera's focal length from the motion in a recording",
    "export": "write weights as an ONNX graph, and compare it with torch",
    "weights": "list, show and verify weights, and their lineage",
    "demo": "play a recording through the ROS nodes, and make a video",
    "doctor": "check the installation",
}


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LONGEST_WORD = 500
_EXTRAS = {
    "torch": "torch",
    "lightning_fabric": "train",
    "pydantic": "train",
    "tensorboard": "train",
}
"""Modules that not every verb needs, and the extra of setup.py that brings them."""


def _leave(number: int, frame: FrameType | None) -> None:
    for one in _SIGNALS:
        signal.signal(one, signal.SIG_IGN)  # a second signal would print the line twice
    os.write(2, b"interrupted before it began\n")
    os._exit(0)


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    environment.prepare()
    _log_plainly()
    given = sys.argv[1:] if arguments is None else arguments
    verb = next((a for a in given if a in VERBS), "")
    try:
        for argument in given:
            text_of(argument)
        module, options = _read(given, verb)
        status: int = module.main(options)
        return status
    except DepthRecogError as error:
        print(f"depth-recog {verb}: {_in_one_line(str(error))}", file=sys.stderr)
        return 1
    except (MemoryError, RuntimeError, _opencv_error()) as error:
        if not _out_of_memory(error):
            raise
        line = (str(error).strip().splitlines() or ["no memory"])[-1]
        text = f"the memory is not enough ({_in_one_line(line)}): use smaller images or sizes"
        print(f"depth-recog {verb}: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 0  # the user ended it: not a failure
    except BrokenPipeError:
        # The reader of stdout is gone; without this the interpreter prints an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    finally:
        if arguments is None:
            # The process ends now: another Ctrl-C would only print tracebacks.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)


class _PlainHandler(logging.Handler):
    """Warnings in one line each, without what names from recordings could do to a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        print(_in_one_line(self.format(record)), file=sys.stderr)


def _log_plainly() -> None:
    """In place of logging's last resort; not where somebody else handles the records."""
    log = logging.getLogger("depth_recog")
    if not log.hasHandlers():
        log.addHandler(_PlainHandler(logging.WARNING))


def _opencv_error() -> type[Exception]:
    """OpenCV's error, if OpenCV has been loaded."""
    error = getattr(sys.modules.get("cv2"), "error", MemoryError)
    return error if isinstance(error, type) else MemoryError


def _out_of_memory(error: BaseException) -> bool:
    """Whether an error of NumPy, torch or OpenCV says that memory is exhausted."""
    words = ("out of memory", "allocate memory", "insufficient memory", "not enough memory")
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in words)


def _in_one_line(message: str) -> str:
    """Remove control characters, and shorten very long words."""
    one_line = plain(message)
    return re.sub(rf"\S{{{_LONGEST_WORD},}}", lambda m: f"{m[0][:80]}...{m[0][-80:]}", one_line)


def _read(given: list[str], named: str) -> tuple[ModuleType, argparse.Namespace]:
    """Parse the arguments; only the module of the given verb is imported, which takes time.

    Raises:
        DepthRecogError: a package that the verb needs is not installed.
    """
    # A KeyboardInterrupt in the middle of an import of torch would print a traceback.
    handlers = {number: signal.signal(number, _leave) for number in _SIGNALS}
    try:
        parser = argparse.ArgumentParser(
            prog="depth-recog",
            description="Depth from one camera for robots on roads with moving cars and people.",
        )
        parser.add_argument("--version", action="version", version=f"depth_recog {__version__}")
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb, text in VERBS.items():
            sub = verbs.add_parser(verb, help=text, description=text[:1].upper() + text[1:] + ".")
            if verb == named:
                _module(verb).add_arguments(sub)
        options = parser.parse_args(given)
        return _module(options.verb), options
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(str(error.name).partition(".")[0])
        if extra is None:
            raise
        text = f"{error.name} is missing: pip install 'depth-recog[{extra}]'"
        raise DepthRecogError(text) from error
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _module(verb: str) -> ModuleType:
    return importlib.import_module(f"depth_recog.cli.{verb.replace('-', '_')}")


if __name__ == "__main__":
    sys.exit(main())
