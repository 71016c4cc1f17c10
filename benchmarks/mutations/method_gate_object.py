# SPDX-License-Identifier: Apache-2.0
"""Mutants of the gate by object: residual, evidence, ground, tracks, regions, decisions."""

from mutations.kinds import method

MUTANTS = (
    method("e: sign", "residual", "second - seen", "seen - second"),
    method(
        "J: without the rotation",
        "residual",
        "(by_motion @ turned[:, :, None])[:, :, 0]",
        "(by_motion @ np.stack((x, y, z), 1)[:, :, None])[:, :, 0]",
    ),
    method(
        "B: sign of the third column",
        "residual",
        "zero, -camera.fx * px / pz / pz",
        "zero, camera.fx * px / pz / pz",
    ),
    method("A: sense of turning", "residual", "(zero, c, -b, -c,", "(zero, -c, b, c,"),
    method(
        "residual: what is behind the camera counts",
        "residual",
        "np.where(pz > 1e-3 * z, pz, np.inf)",
        "pz",
    ),
    method(
        "displaced: time squared",
        "evidence",
        "residual.by_motion * seconds",
        "residual.by_motion * seconds**2",
    ),
    method(
        "displaced: noise without the pose's",
        "evidence",
        "a @ pose_covariance @",
        "0 * a @ pose_covariance @",
    ),
    method(
        "displaced: long ones count as much",
        "evidence",
        " * (STANDARD_GAP_S / seconds)",
        "",
    ),
    method("displaced: disagreement is no noise", "evidence", "**2 + spread", "**2"),
    method(
        "score: Occam's factor dropped",
        "evidence",
        "fit - np.linalg.slogdet(moving)[1] + np.linalg.slogdet(prior)[1]",
        "fit - np.linalg.slogdet(known)[1] * 0",
    ),
    method("score: one way only", "evidence", "across + outer / ALONG_DEVIATION**2]", "anyhow]"),
    method(
        "score: the depth is known",
        "evidence",
        "1 / np.square(depth_deviation)",
        "1e9 / np.square(depth_deviation)",
    ),
    method(
        "memory: grows with time",
        "evidence",
        "np.exp(-seconds / MEMORY_S)",
        "np.exp(seconds / MEMORY_S)",
    ),
    method(
        "pools: across groups",
        "evidence",
        "(apart < _FARTHEST) & (groups[:, None] == groups[None])",
        "(apart < _FARTHEST)",
    ),
    method(
        "pools: as many features as there are",
        "evidence",
        "np.minimum(counts, MOST_WEIGHT)",
        "np.maximum(counts, 1e-9)",
    ),
    method("pools: a feature by itself is enough", "evidence", "_FEWEST = 1.5", "_FEWEST = 0.5"),
    method(
        "velocity: in the first way",
        "evidence",
        "known[1:, 1:] += priors[best]",
        "known[1:, 1:] += priors[0]",
    ),
    method(
        "plane: slope ignored",
        "ground",
        "plane.slope * (u - camera.cx) / camera.fx + plane.incline",
        "plane.incline",
    ),
    method("plane: no robust weights", "ground", "_ROUNDS = 8", "_ROUNDS = 1"),
    method(
        "plane: the road's border counts",
        "ground",
        "_ERODED = np.ones((5, 5)",
        "_ERODED = np.ones((1, 1)",
    ),
    method(
        "contact: ten rows off", "ground", "(row - 0.5 - camera.cy)", "(row - 10.5 - camera.cy)"
    ),
    method("contact: half a row", "ground", "(row - 0.5 - camera.cy)", "(row - camera.cy)"),
    method("contact: never in conflict", "ground", "_CONFLICT = 3.0", "_CONFLICT = 3e9"),
    method("contact: of another thing", "ground", "_SAME_THING = 0.2", "_SAME_THING = 2e9"),
    method("contact: on anything", "ground", "seen & ground[row, u] &", "seen &"),
    method(
        "tracks: a change of sides goes unnoticed",
        "tracks",
        "(at(groups, found.second) == was) & ",
        "(at(groups, found.second) <= 255) & ",
    ),
    method(
        "tracks: static ones near what could move stay",
        "tracks",
        "((was != STATIC) | ~at(near, found.second))",
        "True",
    ),
    method(
        "tracks: numbers are given again",
        "tracks",
        "        kept.next_id + len(pixels),",
        "        len(kept) + len(pixels),",
    ),
    method(
        "exposure: gain upside down",
        "tracks",
        "was[1].item() / is_now",
        "1 / was[1].item() * is_now",
    ),
    method("regions: across decisions", "regions", "states[:, None] == states[None]", "True"),
    method(
        "regions: across patches",
        "regions",
        "(patches[:, None] == patches[None])",
        "True",
    ),
    method("regions: linked one way", "regions", "np.minimum(pools, pools.T)", "pools"),
    method(
        "regions: nearest on any patch",
        "regions",
        "own = np.flatnonzero(owners == patch)",
        "own = np.flatnonzero(owners >= patch)",
    ),
    method("numbers: not kept", "regions", "free[0] if free else next_number", "next_number"),
    method("numbers: the smallest group first", "regions", "np.argsort(-sizes", "np.argsort(sizes"),
    method("numbers: one for two", "regions", "if int(c) not in used]", "]"),
    method(
        "dynamic pose: tau by the second",
        "regions",
        "region.velocity * seconds",
        "region.velocity",
    ),
    method(
        "dynamic pose: the static one is changed",
        "regions",
        "T_second_from_first.copy()",
        "T_second_from_first",
    ),
    method(
        "gate: sign of the threshold",
        "gate_object",
        "scores < -self._threshold",
        "scores < self._threshold",
    ),
    method(
        "gate: hysteresis without memory",
        "gate_object",
        "states[new] = self._memory.states[old]",
        "states[new] = Motion.UNDECIDED",
    ),
    method(
        "gate: nothing is remembered",
        "gate_object",
        "own = evidence.remembered(self._memory.evidence, features.ids, passed)",
        "own = evidence.nothing(features.ids)",
    ),
    method(
        "gate: the network's depth only",
        "gate_object",
        "plane = fit_plane(frame.gate_depth, road, frame.camera)",
        "plane = None",
    ),
    method(
        "gate: camera's way not asked", "gate_object", "along = _direction(past)", "along = None"
    ),
    method(
        "gate: the depth that learns",
        "observation",
        "return self.depth if self.steady is None else self.steady",
        "return self.depth",
        "gate_object",
    ),
    method(
        "verdict: no reason for blindness", "verdict", "measured.blind or f", "f", "gate_fooled"
    ),
    method(
        "verdict: what has no feature is still",
        "verdict",
        "moving[rows, columns] = Motion.UNDECIDED",
        "moving[rows, columns] = Motion.STILL",
        "gate_fooled",
    ),
    method(
        "past: the newest gap only",
        "recognizer",
        "for gap in GAPS_S:",
        "for gap in GAPS_S[:1]:",
        "gate_object",
    ),
    method(
        "compare: the first frame is not seen",
        "recognizer",
        "gate.update(first, ())",
        "pass",
        "gate_object",
    ),
    method(
        "before: the oldest",
        "partner",
        "abs(frame.stamp_ns - then)",
        "frame.stamp_ns - then",
    ),
    method(
        "groups: one for all",
        "masking",
        "numbers.setdefault(group, len(numbers) + 1)",
        "numbers.setdefault(group, 1)",
    ),
)
