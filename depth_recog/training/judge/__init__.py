# SPDX-License-Identifier: Apache-2.0
"""Judges weights on frames that they did not learn from, with or without truth.

witness.py    what a network shows: triangulated points, time, road, sky, objects, synthetic streets
judge.py      two networks compared: what must improve, what must stay
judgement.py  the result of that
anchors.py    synthetic streets with exact depth
"""
