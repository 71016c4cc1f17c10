# SPDX-License-Identifier: Apache-2.0
"""Judges depth on recordings without truth: by triangulated points, time, road and pictures.

`points.evidence_of` finds what is known without any depth network; `measures.measure` compares a
network's depth with it. The same evidence serves several networks (`collected.compare`).
"""
