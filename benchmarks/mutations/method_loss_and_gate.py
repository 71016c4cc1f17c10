# SPDX-License-Identifier: Apache-2.0
"""Mutants of loss, masks, gate, recognizer."""

from mutations.kinds import method

MUTANTS = (
    method("smoothness: sign of exp", "smoothness", "(-edges).exp()", "edges.exp()"),
    method(
        "step: compare's frames exchanged",
        "recognizer",
        "self._compared(partner, frame, watch, self._gate)",
        "self._compared(frame, partner, watch, self._gate)",
    ),
    method(
        "tracks: the flow's images exchanged",
        "tracks",
        "flow(before, as_bright_as(before, grey), tracks.pixels)",
        "flow(as_bright_as(before, grey), before, tracks.pixels)",
    ),
    method(
        "compare: sign of dt",
        "recognizer",
        "seconds = (second.stamp_ns - first.stamp_ns) / 1e9\n        thresholds",
        "seconds = (first.stamp_ns - second.stamp_ns) / 1e9\n        thresholds",
    ),
    method(
        "compare: masks of the frames exchanged",
        "pair_poses",
        "self._of(~first.near(margin), ~second.near(margin))",
        "self._of(~second.near(margin), ~first.near(margin))",
        "recognizer",
    ),
    method(
        "masked mean: divided by all pixels",
        "photometric",
        "total / count.clamp(min=1)",
        "total / valid[0].numel()",
    ),
    method("masked mean: no guard for none", "photometric", "count.clamp(min=1)", "count"),
    method(
        "masked mean: multiplied instead of chosen",
        "photometric",
        "torch.where(valid, values, torch.zeros_like(values))",
        "(values * valid)",
    ),
    method(
        "alpha exchanged",
        "photometric",
        "alpha * structure + (1 - alpha) * difference",
        "(1 - alpha) * structure + alpha * difference",
    ),
    method("alpha's default", "photometric", "ALPHA = 0.85", "ALPHA = 0.15"),
    method("SSIM: c1", "photometric", "(0.01 * dynamic_range)", "(0.1 * dynamic_range)"),
    method("SSIM: c2", "photometric", "(0.03 * dynamic_range)", "(0.02 * dynamic_range)"),
    method(
        "SSIM: not halved",
        "photometric",
        "((1 - ssim(first, second)) / 2)",
        "(1 - ssim(first, second))",
    ),
    method(
        "windows that touch a mask kept",
        "photometric",
        "return invalid == 0",
        "return valid | (invalid == 0)",
    ),
    method(
        "mask of I2 not asked",
        "loss",
        "valid & ~touches(masked_second, projection.pixels)",
        "valid",
    ),
    method("mask of I1 upside down", "loss", "valid & ~masked_first", "valid & masked_first"),
    method(
        "empty pairs counted",
        "loss",
        "(counts > 0).sum().clamp(min=1)",
        "(counts >= 0).sum().clamp(min=1)",
    ),
    method(
        "minimum over neighbours: maximum",
        "loss",
        "least = stacked.amin(0)",
        "least = stacked.amax(0)",
    ),
    method(
        "still pixels: the other way",
        "loss",
        "unmoved.amin(0) <= error",
        "unmoved.amin(0) >= error",
    ),
    method("still pixels: strict", "loss", "unmoved.amin(0) <= error", "unmoved.amin(0) < error"),
    method("still pixels: the worst neighbour", "loss", "unmoved.amin(0)", "unmoved.amax(0)"),
    method(
        "smoothness: weight forgotten",
        "loss",
        "structure + smoothness * gradient",
        "structure + gradient",
    ),
    method(
        "smoothness: of depth", "loss", "gradient_error(inverse, x)", "gradient_error(depth, x)"
    ),
    method(
        "smoothness: not normalised",
        "smoothness",
        "d / (d.sum((2, 3), keepdim=True) / count).clamp(min=1e-7)",
        "d + 0 * count",
    ),
    method(
        "softmax over pixels", "masking", "torch.softmax(scores, 1)", "torch.softmax(scores, 2)"
    ),
    method(
        "static and dynamic image exchanged",
        "masking",
        "return masked_image(image, dynamic)",
        "return masked_image(image, ~dynamic)",
    ),
    method(
        "dilation dropped",
        "masking",
        "np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)",
        "np.ones((1, 1), np.uint8)",
    ),
    method(
        "margin not used",
        "pair_poses",
        "~first.near(margin)",
        "~first.dynamic",
        "recognizer",
    ),
    method(
        "dynamic pose from static pixels",
        "pair_poses",
        "self._of(self._first.dynamic, self._second.dynamic)",
        "self._of(~self._first.dynamic, ~self._second.dynamic)",
        "recognizer",
    ),
    method(
        "target pose masked",
        "pair_poses",
        "self._of(everything, everything)",
        "self._of(~self._first.dynamic, ~self._second.dynamic)",
        "recognizer",
    ),
    method(
        "gate: not strictly above",
        "gate_image",
        "(difference > thresholds).any()",
        "(difference >= thresholds).any()",
    ),
    method(
        "gate: all elements",
        "gate_image",
        "(difference > thresholds).any()",
        "(difference > thresholds).all()",
    ),
    method(
        "gate: rotation's threshold not scaled by dt",
        "gate_image",
        "self.rotation * seconds",
        "self.rotation",
    ),
    method(
        "gate: translation's threshold not scaled by dt",
        "gate_image",
        "self.translation * seconds",
        "self.translation",
    ),
    method("gate: fourth row fires", "gate_image", "np.full((4, 4), np.inf)", "np.zeros((4, 4))"),
    method(
        "gate: signed difference", "gate_image", "np.abs(static - dynamic)", "(static - dynamic)"
    ),
    method(
        "gate: undecided is still",
        "observation",
        "self.decision.motion is not Motion.STILL",
        "self.decision.motion is Motion.MOVING",
        "recognizer",
    ),
    method(
        "target: masked where nothing moves",
        "target",
        "masked = dynamic & decisions",
        "masked = dynamic | decisions",
    ),
    method(
        "target: projection not masked",
        "target",
        "torch.where(masked, zero, projection), masked)",
        "projection, masked)",
    ),
    method(
        "partner: gap grows with too much motion",
        "partner",
        "if motion > MOST_MOTION:",
        "if motion < LEAST_MOTION / 2:",
    ),
    method(
        "partner: older than the limit",
        "partner",
        "if stamp_ns - candidate.stamp_ns <= self._longest_ns:",
        "if True:",
    ),
    method("partner: time may go back", "partner", "if step <= 0:", "if step <= -(10**18):"),
    method(
        "partner: gap kept over a cut",
        "partner",
        "self._frames.clear()\n        self._gap = 1",
        "self._frames.clear()",
    ),
    method("cut not noticed", "recognizer", "now.lost > 1 - _LEAST_FOUND", "now.lost > 1"),
)
