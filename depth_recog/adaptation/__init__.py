# SPDX-License-Identifier: Apache-2.0
"""Learning on the live stream; used by the trainer node and `depth-recog adapt`.

adapter.py    the whole of it: observe frames, take steps, judge, adopt or discard
frame.py      a live frame, and what became of it
stream.py     frames with parallax -> blocks, annotated by the frozen start
memory.py     blocks to replay, bounded in bytes
anchors.py    synthetic streets with exact depth
learner.py    the candidate and its optimiser
judge.py      whether the candidate may replace the active weights
judgement.py  the result of that
settings.py   all settings

The depth node does not import it (import-linter checks this).
"""
