# SPDX-License-Identifier: Apache-2.0
"""The factor from the depth network's unit to metres.

A network's unit depends on the camera that it was trained on. Two things that a robot knows give
the factor: the height of its camera above the ground (`road.py`, `agreement.py`), and the distance
that it moved (`motion.py`). Each frame gives at most one measurement of either; `filter.py` turns
those into a steady factor with a state, and `estimator.py` compares both sources.
"""
