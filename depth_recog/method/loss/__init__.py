# SPDX-License-Identifier: Apache-2.0
"""Block 108: the training loss.

`photometric.py` and `smoothness.py` have the formulas. Training computes the photometric error by
`fused.py`, which is faster than `photometric.photometric_error`, and combines neighbours and scales
in `training/objective.py`, which is faster than `pair.py`. The slow forms are the references that
the tests compare the fast ones with.
"""
