# SPDX-License-Identifier: Apache-2.0
"""A node as a process: start, spin, and an end without a traceback whatever signal comes when.

Keep this module light. The console script imports it before `main` runs, and a SIGINT during an
import of torch or rclpy would print a traceback: the handlers are installed first.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import sys
import threading
from typing import Any

from depth_recog import environment

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# ros2 launch turns SIGINT into SIGTERM after 5 s: be gone before that.
_HARD_LIMIT_S = 4.0

# SimpleQueue.put is reentrant and may be called in a signal handler; Event.set may deadlock there.
_stop: queue.SimpleQueue[None] = queue.SimpleQueue()
_orderly = False

NO_ROS = (
    "ROS 2 is not here: pip install '.[ros]' in a checkout of depth_recog, or source your ROS "
    "workspace; depth-recog doctor tells more"
)


def _on_signal(number: int, frame: object) -> None:
    if not _orderly:
        os._exit(0)  # still importing: there is nothing to clean up
    _stop.put(None)


def request_stop() -> None:
    """End the process as SIGINT would: for a node that has done its work."""
    _stop.put(None)


def depth_node() -> int:
    """Entry point of `depth_node`."""
    return _main("depth_recog.nodes.depth_node", "DepthNode")


def camera_node() -> int:
    """Entry point of `camera_node`."""
    return _main("depth_recog.nodes.camera_node", "CameraNode")


def _main(module: str, name: str) -> int:
    global _orderly
    for number in _SIGNALS:
        signal.signal(number, _on_signal)
    environment.prepare()
    try:
        import rclpy
    except ImportError as error:
        print(f"{name}: {NO_ROS} ({error})", file=sys.stderr)
        return 1
    from rclpy._rclpy_pybind11 import RCLError, UnknownROSArgsError
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions

    from depth_recog.errors import DepthRecogError

    # The signals are ours: rclpy's handlers would close the context under a publishing thread.
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except (RCLError, UnknownROSArgsError) as error:
        # A user's mistake behind --ros-args: a parameter without a value, a missing file.
        print(f"{name}: {str(error).split(', at /')[0]}", file=sys.stderr)
        return 1
    failures: list[BaseException] = []
    node: Any = None
    try:
        node = getattr(importlib.import_module(module), name)()
    except DepthRecogError as error:
        rclpy.logging.get_logger(name).fatal(str(error))
        rclpy.try_shutdown()
        return 1
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    halt = threading.Event()

    def spin() -> None:
        try:
            # Not in the main thread: a signal must not wait for the networks to load.
            node.autostart()
            while not halt.is_set() and rclpy.ok():
                executor.spin_once()
        except ExternalShutdownException:
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            _stop.put(None)

    spinner = threading.Thread(target=spin, name="spin", daemon=True)
    _orderly = True
    code = 0
    try:
        spinner.start()
        _stop.get()
    except BaseException as error:
        failures.append(error)
    finally:
        watchdog = threading.Timer(_HARD_LIMIT_S, os._exit, (1 if failures else 0,))
        watchdog.daemon = True
        watchdog.start()
        halt.set()
        # Wakes spin_once and makes it return; the executor must not be shut down while it spins.
        executor.create_task(lambda: None)
        if spinner.ident is not None:
            spinner.join()
        idle = node.stop()
        for error in failures:
            if isinstance(error, DepthRecogError):
                node.get_logger().fatal(str(error))
            else:
                node.get_logger().fatal(f"{type(error).__name__}: {error}")
                sys.excepthook(type(error), error, error.__traceback__)
        code = 1 if failures or node.failed else 0
        if not idle:
            # A thread is deep in C code: coming back into a finalizing interpreter it would abort.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        watchdog.cancel()
        # SIG_IGN survives the interpreter's finalization, a handler of ours would not.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return code
