# SPDX-License-Identifier: Apache-2.0
"""Block 107: decide which of the objects that could move do move.

`gate: image` (`by_image.py`) is the patent's gate: two poses, twelve thresholds, one decision per
frame. `gate: object` (`by_object.py`), the default, decides for every region of the image:

1. Features on objects get a depth, from the network or from their ground contact (`ground.py`).
2. Each has two hypotheses: it stands still, or it moves with an unknown velocity. Both explain its
   displacement against the static pose, with the unknown depth error marginalised. The score is
   the logarithm of their Bayes factor; evidence is summed over time and fades (`evidence.py`).
3. The evidence of neighbours with the same category and depth is pooled, since one feature alone
   is too noisy. A score beyond a threshold changes a feature's decision; between the thresholds
   the decision stays (hysteresis).
4. Neighbouring features with the same decision form a region, which keeps its id from frame to
   frame and covers the pixels nearest to its features (`regions.py`, `result.py`).
"""
