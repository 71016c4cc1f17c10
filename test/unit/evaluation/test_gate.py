# SPDX-License-Identifier: Apache-2.0
"""The gate's figures on constructed maps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from constructed import STEP_NS, at, thing
from gate_maps import CAMERA, FIGURES, MOVING, STILL, UNDECIDED, judged, right, scene, values

from depth_recog.datasets.boxes import Box
from depth_recog.evaluation.gate import PROMPT_S, GateTally, visible_regions


def test_a_perfect_gate() -> None:
    got = judged(right)
    assert list(values(got).values()) == [1, 1, 1, 0, 0]
    assert got["seconds_to_detect"]["value"] == 0
    assert (got["moving_tracks"], got["parked_tracks"]) == (2, 2)
    figures = {"called_moving": 1, "undecided": 0, "in_the_masks": 1, "seconds_to_detect": 0}
    assert got["tracks"]["m0 (moving)"] == {"frames": 8} | figures
    assert got["tracks"]["p2 (parked)"]["seconds_to_detect"] is None


@pytest.mark.parametrize(
    ("say", "expected"),
    [
        (lambda box, frame: MOVING - right(box, frame), (0, 0, 0, 1, 0)),
        (lambda box, frame: STILL, (0.5, 0, 0, 0, 0)),
        (lambda box, frame: UNDECIDED, (0.5, 0, 0, 0, 1)),
        (lambda box, frame: MOVING, (0.5, 1, 1, 1, 0)),
    ],
    ids=["inverted", "always still", "always undecided", "always moving"],
)
def test_wrong_gates(say: Callable[[Box, int], int], expected: tuple[float, ...]) -> None:
    got = judged(say)
    assert tuple(values(got).values()) == expected
    assert ("seconds_to_detect" in got) == (values(got)["recall"] > 0)


def test_a_gate_that_guesses() -> None:
    rng = np.random.default_rng(0)

    def say(box: Box, frame: int) -> int:
        return int(rng.choice((STILL, UNDECIDED, MOVING), p=(0.4, 0.2, 0.4)))

    got = judged(say, lambda frame: scene(3, 3), frames=120)
    assert got["auc"]["value"] == pytest.approx(0.5, abs=0.06)
    assert got["recall"]["value"] == pytest.approx(0.4, abs=0.08)
    assert got["false_positive_rate"]["value"] == pytest.approx(0.4, abs=0.08)
    assert got["undecided"]["value"] == pytest.approx(0.2, abs=0.06)


def test_undecided_is_between_still_and_moving() -> None:
    """The AUC depends on the order of scores only."""
    assert values(judged(lambda b, f: UNDECIDED if b.speed > 1 else STILL))["auc"] == 1
    assert values(judged(lambda b, f: MOVING if b.speed > 1 else UNDECIDED))["auc"] == 1


@pytest.mark.parametrize(("late", "prompt"), [(0, 1), (3, 1), (4, 0), (7, 0)])
def test_time_to_detect(late: int, prompt: int) -> None:
    """Counted from the first frame that shows a moving object."""
    assert PROMPT_S == 0.3
    got = judged(lambda b, f: MOVING if b.speed > 1 and f >= late else STILL)
    assert got["seconds_to_detect"]["value"] == late / 10
    assert got["recall_prompt"]["value"] == prompt
    assert got["recall"]["value"] == (8 - late) / 8


def test_a_mover_that_is_never_found_has_no_time() -> None:
    """It is left out of the median, but counts in the recall."""
    got = judged(lambda b, f: MOVING if b.track == "m0" and f >= 2 else STILL)
    assert got["seconds_to_detect"]["value"] == 0.2
    assert got["recall_prompt"]["value"] == 0.5
    assert got["tracks"]["m1 (moving)"]["seconds_to_detect"] is None


def recall(share_moving: float, share_masked: float) -> float:
    """Recall of one mover: shares of its columns, from the left, called moving and in the masks."""
    box = thing("m", 3.0, (0.0, 0.0, 11.0), (3.0, 2.0, 2.0))
    ((_, (rows, columns)),) = visible_regions((box,), CAMERA)
    image, dynamic = np.zeros((96, 320), np.uint8), np.zeros((96, 320), np.bool_)
    for target, share, value in ((image, share_moving, MOVING), (dynamic, share_masked, True)):
        chosen = columns < np.quantile(columns, share) if share < 1 else columns >= 0
        target[rows[chosen], columns[chosen]] = value
    tally = GateTally()
    for i in range(3):
        tally.add(i * STEP_NS, image, dynamic, (box,), CAMERA)
    return tally.result()["recall"]["value"]


def test_most_pixels_in_the_masks_decide() -> None:
    """Where most of the box is road, the map there is ignored."""
    assert [recall(*shares) for shares in ((0.45, 1), (0.55, 1), (0.3, 0.3))] == [0, 1, 1]


def test_an_object_outside_the_masks_counts_as_still() -> None:
    got = judged(right, dynamic=False)
    assert values(got)["recall"] == 0
    assert values(got)["auc"] == 0.5
    assert got["tracks"]["m0 (moving)"]["in_the_masks"] == 0


def test_a_track_counts_once_however_long_it_is() -> None:
    """One moving object is visible in 30 frames and found, one in 3 and missed."""

    def boxes(frame: int) -> list[Box]:
        long, short, parked = scene(1, 2)
        return [long, parked] + ([short] if frame < 3 else [])

    got = judged(lambda b, f: MOVING if b.track == "m0" else STILL, boxes, frames=30)
    assert got["recall"]["value"] == 0.5
    assert got["auc"]["value"] == 0.75


def test_an_object_that_starts_counts_as_two_tracks() -> None:
    def boxes(frame: int) -> list[Box]:
        (box,) = scene(1, 0)
        return [at(box, speed=0.0 if frame < 4 else 0.6 if frame < 6 else 2.0)]

    got = judged(lambda b, f: MOVING if f >= 7 else STILL, boxes, frames=12)
    assert (got["moving_tracks"], got["parked_tracks"]) == (1, 1)
    # From where it moves, not from where it was first seen; the frames between are not judged.
    assert got["seconds_to_detect"]["value"] == pytest.approx(0.1)
    assert got["tracks"]["p0 (parked)"]["frames"] == 4
    assert got["tracks"]["p0 (moving)"]["frames"] == 6
    assert got["recall"]["value"] == pytest.approx(5 / 6)
    assert got["false_positive_rate"]["value"] == 0


@pytest.mark.parametrize("changes", [{"speed": np.nan}, {"speed": 0.6}, {"truncated": True}])
def test_unknown_motion_and_cut_objects_are_left_out(changes: dict[str, object]) -> None:
    got = judged(right, lambda frame: [at(b, **changes) for b in scene()])
    assert got == {"moving_tracks": 0, "parked_tracks": 0, "tracks": {}}


def test_two_frames_are_too_few() -> None:
    assert [judged(right, frames=n)["moving_tracks"] for n in (2, 3)] == [0, 2]


def test_occluded_objects() -> None:
    """Pixels belong to the nearest object; one that is half occluded is left out."""
    mover = thing("m", 3.0, (0.0, 0.0, 15.0), (6.0, 2.0, 2.0))
    for shift, seen in ((-2.2, True), (-0.8, False)):
        van = thing("p", 0.0, (shift, 0.0, 8.0), (3.0, 1.0, 2.5))
        regions = {b.track: place for b, place in visible_regions((mover, van), CAMERA)}
        assert "p" in regions
        assert ("m" in regions) == seen
        if not seen:
            continue
        rows, columns = regions["m"]
        assert columns.min() == regions["p"][1].max() + 1
        outline = mover.outline(CAMERA)
        assert len(rows) < 0.8 * (outline[2] - outline[0]) * (outline[3] - outline[1])


def test_objects_that_are_left_out_occlude_others() -> None:
    mover = thing("m", 3.0, (0.0, 0.0, 15.0), (6.0, 2.0, 2.0))
    hiding = thing("x", np.nan, (0.0, 0.0, 8.0), (6.0, 1.0, 2.5))
    assert [b.track for b, _ in visible_regions((mover, hiding), CAMERA)] == ["x"]


def test_small_objects_are_left_out() -> None:
    for z, count in ((8.0, 1), (30.0, 0)):
        box = thing("m", 3.0, (0.0, 0.0, z), (1.0, 0.5, 1.0))
        assert len(visible_regions((box,), CAMERA)) == count


def test_intervals_contain_the_value_and_are_reproducible() -> None:
    def say(box: Box, frame: int) -> int:
        return (frame * 7 + int(box.track[1:]) * 3) % 5 // 2

    got = judged(say, lambda frame: scene(3, 3))
    for name in (*FIGURES, "seconds_to_detect"):
        interval = got[name]
        assert interval["low"] <= interval["value"] <= interval["high"], name
    assert got["recall"]["low"] < got["recall"]["high"]
    assert judged(say, lambda frame: scene(3, 3)) == got


def test_intervals_are_over_tracks_not_over_frames() -> None:
    """One of four moving objects is found; more frames of each do not narrow the interval."""
    short, long = (
        judged(lambda b, f: 2 * (b.track == "m0"), lambda f: scene(1, 4), frames=n)["recall"]
        for n in (5, 50)
    )
    assert short == long
    assert short == {"value": 0.25, "low": 0.0, "high": 0.75}


def test_only_movers_or_only_parked() -> None:
    movers = judged(right, lambda frame: scene(0, 2))
    assert "auc" not in movers
    assert "false_positive_rate" not in movers
    assert movers["recall"]["value"] == 1
    parked = judged(right, lambda frame: scene(2, 0))
    assert "recall" not in parked
    assert parked["false_positive_rate"]["value"] == 0


def scored(score: Callable[[Box, int], float], masks: bool = True) -> dict[str, Any]:
    """Scores only: every object is called undecided."""
    return judged(lambda box, frame: UNDECIDED, dynamic=masks, score=score)


def test_scores_rank_undecided_objects() -> None:
    assert scored(lambda box, frame: box.speed)["auc"]["value"] == 1
    assert scored(lambda box, frame: -box.speed)["auc"]["value"] == 0
    assert scored(lambda box, frame: -7.0)["auc"]["value"] == 0.5
    got = scored(lambda box, frame: 1e6 * box.speed)
    assert got["undecided"]["value"] == 1, "the decisions are as before"
    assert got["recall"]["value"] == 0


def test_an_unknown_score_is_between_still_and_moving() -> None:
    unknown = float("nan")
    assert scored(lambda box, frame: 5.0 if box.speed > 1 else unknown)["auc"]["value"] == 1
    assert scored(lambda box, frame: unknown if box.speed > 1 else -5.0)["auc"]["value"] == 1
    assert scored(lambda box, frame: -5.0 if box.speed > 1 else unknown)["auc"]["value"] == 0


def test_an_object_outside_the_masks_has_the_lowest_score() -> None:
    assert scored(lambda box, frame: box.speed, masks=False)["auc"]["value"] == 0.5
