# SPDX-License-Identifier: Apache-2.0
"""The parts of the trainer node without DDS: budget, guard, queue, odometry, learning thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("lightning_fabric", reason="pip install '.[train]'")
pytest.importorskip("std_srvs")

import ros_messages
from fake_adapter import FakeAdapter
from nav_msgs.msg import Odometry
from ros_processes import wait_until

from depth_recog.adaptation.frame import KEPT, STANDSTILL, LiveFrame
from depth_recog.adaptation.lineage import Lineage
from depth_recog.errors import CalibrationError, ConfigurationError, OutputError
from depth_recog.nodes.io.inputs import Job
from depth_recog.nodes.trainer.budget import Budget, Guard
from depth_recog.nodes.trainer.frame_queue import BURST, FrameQueue
from depth_recog.nodes.trainer.frames import FrameMaker, OdometryBuffer
from depth_recog.nodes.trainer.learning import Learning


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


# Budget and guard


def test_the_rest_keeps_the_share() -> None:
    clock = FakeClock()
    budget = Budget(clock)
    for seconds in (0.1, 2.0, 0.5, 7.0) * 6:
        clock.now += seconds
        clock.now += budget.worked(seconds, 0.25)
    assert budget.used(100.0) == pytest.approx(0.25, abs=0.04)
    clock.now += 200
    assert budget.used(100.0) == 0


class DepthNode:
    """Reports once a second, at 10 Hz, while the trainer works or not."""

    def __init__(self, tolerance: float = 0.25) -> None:
        self.clock = FakeClock()
        self.budget = Budget(self.clock)
        self.guard = Guard(self.budget, tolerance, self.clock)
        self.published = 0

    def runs(self, seconds: int, p99: float, rate: float = 10.0) -> None:
        for _ in range(seconds):
            self.clock.now += 1
            self.published += int(rate)
            if self.guard.may_work():
                self.budget.worked(0.3, 0.3)
            self.guard.report(p99, rate, self.published)


def test_the_guard_measures_first_and_pauses_while_the_depth_node_suffers() -> None:
    node = DepthNode()
    assert node.guard.may_work(), "no depth node: nothing suffers"
    node.runs(3, 100.0)
    assert not node.guard.may_work()
    assert "measures" in node.guard.why
    node.runs(30, 100.0)
    assert node.guard.may_work()
    assert node.guard.baseline == (100.0, 10.0)
    node.runs(10, 120.0)
    assert node.guard.may_work(), "a fifth more is within the tolerance"
    node.runs(2, 130.0)
    node.runs(1, 100.0)
    node.runs(2, 130.0)
    assert node.guard.may_work(), "two reports are an accident"
    node.runs(1, 130.0)
    assert not node.guard.may_work()
    assert "p99 130 ms (without learning 100)" in node.guard.why
    assert node.guard.share(0.4) == pytest.approx(0.2)
    node.runs(30, 100.0)
    assert node.guard.may_work()
    assert node.guard.pauses == 1
    node.runs(90, 100.0)
    assert 0.24 < node.guard.share(0.4) < 0.4, "the share recovers slowly"


def test_the_guard_pauses_when_the_rate_falls() -> None:
    node = DepthNode()
    node.runs(40, 100.0)
    node.runs(3, 100.0, rate=8.0)
    assert "8.0 Hz (10.0)" in node.guard.why


def test_a_machine_that_became_slower_for_others_is_measured_again() -> None:
    node = DepthNode()
    node.runs(40, 100.0)
    node.runs(60, 300.0)
    assert node.guard.may_work(), "300 ms is what the depth node needs without learning too"
    assert node.guard.baseline == (300.0, 10.0)


def test_a_depth_node_that_rests_or_is_gone_is_not_slowed_down() -> None:
    node = DepthNode()
    node.runs(40, 100.0)
    node.runs(5, 200.0)
    assert not node.guard.may_work()
    node.guard.report(200.0, 10.0, node.published)
    assert node.guard.may_work(), "it publishes nothing: nobody listens"
    node.runs(2, 200.0)
    node.published = 0
    node.runs(2, 50.0)
    assert "measures" in node.guard.why, "it was started again"
    node.clock.now += 6
    assert node.guard.may_work(), "it is gone"


# Queue and odometry


def frame(stamp: int = 0) -> LiveFrame:
    return LiveFrame(np.zeros((8, 8, 3), np.uint8), np.eye(3), stamp)


def test_frames_come_in_bursts() -> None:
    turn = [True]
    queue = FrameQueue(lambda: turn[0])
    for i in range(BURST):
        assert queue.wants()
        queue.put(frame(i))
        turn[0] = False  # a burst that has begun goes on
    turn[0] = True
    assert not queue.wants(), "until all are taken"
    assert [queue.take().stamp for _ in range(BURST)] == list(range(BURST))  # type: ignore[union-attr]
    assert queue.take() is None
    turn[0] = False
    assert not queue.wants()
    turn[0] = True
    assert queue.wants()
    queue.put(frame())
    queue.clear()
    assert queue.take() is None
    assert queue.wants()
    assert queue.skipped == 2


def odometry(stamp: float, x: float, **turned: float) -> Odometry:
    message = Odometry()
    message.header.stamp.sec = int(stamp)
    message.header.stamp.nanosec = round((stamp % 1) * 1e9)
    message.pose.pose.position.x = x
    orientation = message.pose.pose.orientation
    orientation.w = turned.get("w", 1.0)
    orientation.z = turned.get("z", 0.0)
    return message


def test_odometry_is_interpolated_and_optical() -> None:
    buffer = OdometryBuffer()
    for i in range(5):
        buffer.add(odometry(10 + i / 10, float(i)))
    found = buffer.at(10_150_000_000)
    assert found is not None
    assert np.allclose(found[:3, 3], (1.5, 0, 0))
    assert np.allclose(found[:3, :3] @ (0, 0, 1), (1, 0, 0)), "the optical z looks forward"
    assert np.allclose(found[:3, :3] @ (1, 0, 0), (0, -1, 0))
    assert buffer.at(10_500_000_000) is None, "not yet"
    assert buffer.at(9_900_000_000) is None
    buffer.add(odometry(11.4, 9.0))
    assert buffer.at(11_000_000_000) is None, "a gap"
    buffer.add(odometry(11.5, 9.0, w=0.0))
    assert buffer.at(11_450_000_000) is None, "no rotation"
    buffer.add(odometry(3.0, 0.0))
    assert buffer.at(10_150_000_000) is None, "time went back"


def job(size: tuple[int, int], focal: float = 400.0) -> Job:
    info = ros_messages.info_message(size, 7, focal)
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    return Job(ros_messages.image_message(pixels, "rgb8", 7), info, 0.0)


def test_frames_are_of_the_networks_size_and_of_the_camera_of_the_moment() -> None:
    maker = FrameMaker((416, 128), False)
    first = maker.frame(job((832, 256)))
    assert (first.image.shape, first.stamp) == ((128, 416, 3), 7)
    assert first.intrinsics[0, 0] == pytest.approx(200)
    again = maker.frame(job((832, 256), 600.0))
    assert again.intrinsics[0, 0] == pytest.approx(300), "another calibration"
    with pytest.raises(CalibrationError):
        maker.frame(job((832, 256), 0.0))
    with pytest.raises(CalibrationError, match="its calibration is for"):
        maker.frame(Job(job((416, 128)).image, job((832, 256)).info, 0.0))


def test_frames_tell_what_the_camera_has_seen() -> None:
    maker = FrameMaker((416, 128), False)
    one = job((832, 256))
    assert maker.frame(one).seen is None
    one.info.d = [0.3, 0.0, 0.0, 0.0, 0.0]
    frame = maker.frame(one)
    assert frame.seen is not None
    assert 0.05 < (~frame.seen).mean() < 0.5
    assert (frame.image == 90).all(), "the mirrored image where the camera has seen nothing"


# Learning


class Learner:
    """A learning thread with a fake adapter and without rests."""

    def __init__(self, folder: Path) -> None:
        self.lineage = Lineage(folder)
        self.adapter = FakeAdapter(str(self.lineage.path_of(self.lineage.start)))
        self.said: list[tuple[str, str]] = []
        self.values: dict[str, Any] = {"budget": 1.0, "nice": 0, "judge_every": 3}
        budget = Budget()
        self.learning = Learning(
            self.adapter,  # type: ignore[arg-type]
            self.lineage,
            Guard(budget, 0.25),
            budget,
            self.values.__getitem__,
            lambda level, text: self.said.append((level, text)),
        )

    def feed(self, count: int = 8) -> None:
        for i in range(count):
            if self.learning.frames.wants():
                self.learning.frames.put(frame(i))

    def until(self, ready: Callable[[], Any], what: str) -> None:
        """Feed frames until something has happened."""

        def happened() -> Any:
            self.feed(1)
            return ready()

        wait_until(happened, f"{what}; {self.learning.state}; {self.said}")

    @property
    def counts(self) -> Any:
        return self.learning.judging.counts


@pytest.fixture
def learner(tmp_path: Path) -> Iterator[Learner]:
    made = Learner(tmp_path / "family")
    yield made
    made.learning.stop(10)
    made.lineage.close()


def test_accepted_candidates_become_a_lineage(learner: Learner) -> None:
    steps: list[int] = []
    learner.learning.on_step = lambda step, losses: steps.append(step)
    learner.learning.start()
    learner.until(lambda: learner.counts["accepted"] >= 2, "two accepted")
    learner.learning.pause()
    wait_until(lambda: "paused" in learner.learning.state, "paused")
    newest = learner.lineage.active
    assert newest.number == learner.counts["accepted"]
    assert newest.why == "half as far off"
    assert newest.step >= 3 * newest.number
    assert learner.learning.judging.candidate == newest.sha256
    assert steps == list(range(1, len(steps) + 1))
    assert learner.adapter.calls.count("judge") == learner.adapter.calls.count("adopt")


@pytest.mark.parametrize("worse", [False, True])
def test_refused_candidates_change_nothing(learner: Learner, worse: bool) -> None:
    """One that is worse is dropped; one that is not better yet goes on learning."""
    learner.adapter.accepts, learner.adapter.worse = False, worse
    learner.learning.start()
    learner.until(lambda: learner.counts["refused"] >= 4, "four refusals")
    assert learner.lineage.active == learner.lineage.start
    expected = ["judge", "discard"] * 2 if worse else ["judge"] * 4
    assert learner.adapter.calls[:4] == expected


def test_a_swap_that_turns_out_worse_is_taken_back(learner: Learner) -> None:
    learner.adapter.better = False
    learner.learning.start()
    learner.until(lambda: learner.counts["rolled back"], "a rollback")
    learner.learning.pause()
    wait_until(lambda: "paused" in learner.learning.state, "paused")
    worse = next(e for e in learner.lineage.family.entries if e.rolled_back)
    assert "the road sank" in worse.rolled_back
    assert f"restart {learner.lineage.start.name}" in learner.adapter.calls


def test_a_fast_camera_leaves_time_to_learn(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Frames arrive faster than they are observed."""
    monkeypatch.setattr("depth_recog.nodes.trainer.learning._HEAD_START_S", 0.05)
    observe = learner.adapter.observe

    def slowly(frame: LiveFrame) -> Any:
        learner.feed(BURST)
        return observe(frame)

    learner.adapter.observe = slowly  # type: ignore[method-assign]
    learner.feed(1)
    learner.learning.start()
    learner.until(lambda: learner.counts["accepted"] >= 2, "two accepted")


def test_rollback_by_hand_wins_over_a_judgement_that_runs(learner: Learner) -> None:
    learner.learning.start()
    learner.until(lambda: learner.counts["accepted"] >= 1, "one accepted")
    judge = learner.adapter.judge

    def meanwhile() -> Any:
        learner.learning.rollback("by hand")
        learner.adapter.judge = judge  # type: ignore[method-assign]
        return judge()

    learner.adapter.judge = meanwhile  # type: ignore[method-assign]
    learner.until(lambda: any("rolled back while" in text for _, text in learner.said), "refused")


def test_rollback_from_the_start_is_refused(learner: Learner) -> None:
    with pytest.raises(ConfigurationError, match="nothing to go back to"):
        learner.learning.rollback("by hand")


def test_a_full_disk_costs_only_the_saving(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True]
    accept = learner.lineage.accept

    def limited(*arguments: Any) -> Any:
        if full[0]:
            raise OutputError("the disk is full")
        return accept(*arguments)

    monkeypatch.setattr(learner.lineage, "accept", limited)
    learner.learning.start()
    learner.until(lambda: learner.counts["unsaved"] >= 2, "not saved")
    assert "the disk is full" in learner.learning.judging.save_problem
    assert "adopt" not in learner.adapter.calls
    full[0] = False
    learner.until(lambda: learner.counts["accepted"], "saved later")
    assert not learner.learning.judging.save_problem


def test_errors_drop_the_candidate_and_stop_learning_when_they_repeat(learner: Learner) -> None:
    learner.adapter.fails = RuntimeError("out of memory")
    learner.learning.start()
    learner.until(lambda: learner.learning.failing, "five failures")
    learner.until(lambda: learner.adapter.calls.count("discard") >= 5, "the last one dropped")
    assert learner.learning.alive
    wait_until(lambda: "call resume" in learner.learning.state, "state")
    learner.adapter.fails = None
    learner.learning.resume()
    learner.until(lambda: learner.counts["accepted"], "goes on")


def test_standstill_and_silence_stop_the_steps(learner: Learner) -> None:
    learner.learning.start()
    learner.until(lambda: learner.learning.steps, "a step")
    learner.adapter.outcome = STANDSTILL
    learner.until(lambda: f"nothing new, {STANDSTILL}" in learner.learning.state, "standstill")
    steps = learner.learning.steps
    learner.feed(5)
    learner.adapter.outcome = KEPT
    learner.until(lambda: learner.learning.steps > steps, "it drives on")
    wait_until(lambda: "no images" in learner.learning.state, "silence")


def test_save_judges_at_once(learner: Learner) -> None:
    learner.values["judge_every"] = 10**6
    assert learner.learning.save() == ""
    learner.learning.start()
    learner.until(lambda: learner.learning.judging.unjudged > 2, "steps")
    assert "judged now" in learner.learning.save()
    learner.until(lambda: learner.counts["accepted"] == 1, "saved")
