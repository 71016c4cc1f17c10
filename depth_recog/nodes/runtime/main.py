# SPDX-License-Identifier: Apache-2.0
"""Run one node as a process: start, spin, and shut down cleanly on SIGINT or SIGTERM at any time.

Keep this module light. It is imported before the signal handlers are installed, and a SIGINT while
torch or rclpy is being imported would otherwise print a traceback.
"""

from __future__ import annotations

import importlib.util
import os
import queue
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from depth_recog import environment
from depth_recog.errors import DepthRecogError, describe
from depth_recog.nodes.runtime import memory

if TYPE_CHECKING:
    from rclpy.executors import Executor

    from depth_recog.nodes.runtime.managed import ManagedNode

# Packages whose name for pip is another than that for import.
_PIP = {"cv2": "opencv-python-headless", "PIL": "Pillow", "yaml": "PyYAML"}
_NEEDED = ("numpy", "cv2", "PIL", "yaml", "tqdm", "safetensors")
"""What both nodes import, beside ROS."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# ros2 launch sends SIGTERM 5 s after SIGINT: the process must have ended before that.
_SHUTDOWN_LIMIT_S = 4.0
_PAUSE_S = 0.01

# A signal handler may call SimpleQueue.put, which is reentrant; Event.set could deadlock there.
_stop: queue.SimpleQueue[None] = queue.SimpleQueue()
_running = False

NO_ROS = (
    "ROS 2 was not found: run pip install '.[ros]' in a checkout of depth_recog, or source your "
    "ROS workspace; depth-recog doctor shows details"
)


def _on_signal(number: int, frame: object) -> None:
    if not _running:
        os._exit(0)  # still importing: there is nothing to clean up
    _stop.put(None)


def request_stop() -> None:
    """End the process as SIGINT would: for a node that has finished its work."""
    _stop.put(None)


def run(name: str, load: Callable[[], Callable[[], ManagedNode]]) -> int:
    """Run a node until a signal, a failure, or `request_stop`.

    Args:
        name: of the executable, for messages printed before the node exists.
        load: imports the node's module and returns its class; called after the signal handlers are
            installed and rclpy is initialised.

    Returns:
        Exit status: 0 after a signal or `request_stop`, 1 after a failure.
    """
    for number in _SIGNALS:
        signal.signal(number, _on_signal)
    environment.prepare()
    memory.use_one_arena()
    try:
        import rclpy
    except ImportError as error:
        print(f"{name}: {NO_ROS} ({error})", file=sys.stderr)
        return 1
    from rclpy.signals import SignalHandlerOptions

    try:
        # rclpy's own handlers would shut the context down while another thread still publishes.
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        # A wrong --ros-args argument: a parameter without a value, a missing file.
        print(f"{name}: {str(error).split(', at /')[0]}", file=sys.stderr)
        return 1
    try:
        node = load()()
    except ImportError as error:
        print(f"{name}: {missing(error)}", file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    except DepthRecogError as error:
        rclpy.logging.get_logger(name).fatal(str(error))
        rclpy.try_shutdown()
        return 1
    from depth_recog.nodes.runtime.guard import GuardedExecutor, answer_all

    answer_all(node, node.failures)
    executor = GuardedExecutor(node.failures)
    executor.add_node(node)
    return _spin(node, executor)


def missing(error: ImportError) -> str:
    """What to install, after an import that failed."""
    package = (error.name or "").partition(".")[0]
    if not package or not isinstance(error, ModuleNotFoundError):
        return f"{error}; depth-recog doctor shows what is installed"
    if package.endswith(("_msgs", "_srvs", "_interfaces")):
        debian = f"ros-{os.environ.get('ROS_DISTRO', '$ROS_DISTRO')}-{package.replace('_', '-')}"
        return f"the ROS package {package} is missing: apt install {debian}"
    # All at once, not one after another.
    others = [name for name in _NEEDED if name != package and not _installed(name)]
    names = " ".join(_PIP.get(name, name) for name in (package, *others))
    return f"the Python package {package} is missing: pip install {names}"


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:
        return False


def _spin(node: ManagedNode, executor: Executor) -> int:
    """Spin in a second thread until the main thread is told to stop; returns the exit status."""
    global _running
    import rclpy
    from rclpy.executors import ExternalShutdownException

    failures: list[BaseException] = []
    halt = threading.Event()

    def spin() -> None:
        try:
            # In this thread, so that a signal need not wait until the networks are loaded.
            node.autostart()
            while not halt.is_set() and rclpy.ok():
                try:
                    executor.spin_once()
                except ExternalShutdownException:
                    return
                except Exception as error:
                    # Not of a callback: rclpy failed to wait. The pause keeps it from spinning.
                    node.failures.add("executor", error)
                    halt.wait(_PAUSE_S)
        except BaseException as error:
            failures.append(error)
        finally:
            _stop.put(None)

    spinner = threading.Thread(target=spin, name="spin", daemon=True)
    _running = True
    code = 0
    try:
        spinner.start()
        _stop.get()
    except BaseException as error:
        failures.append(error)
    finally:
        watchdog = threading.Timer(_SHUTDOWN_LIMIT_S, os._exit, (1 if failures else 0,))
        watchdog.daemon = True
        watchdog.start()
        halt.set()
        # Make spin_once return: an executor must not be shut down while it spins.
        executor.create_task(lambda: None)
        if spinner.ident is not None:
            spinner.join()
        threads_ended = node.stop()
        for failure in failures:
            _log(node, failure)
        code = 1 if failures or node.failed else 0
        if not threads_ended:
            # A thread that returns from C code into a finalizing interpreter would abort.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()
        watchdog.cancel()
        # Unlike a Python handler, SIG_IGN stays in force while the interpreter finalizes.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
    return code


def _log(node: ManagedNode, error: BaseException) -> None:
    """Log what ended the node; with a traceback unless the message alone is enough."""
    node.get_logger().fatal(describe(error))
    if not isinstance(error, DepthRecogError):
        sys.excepthook(type(error), error, error.__traceback__)
