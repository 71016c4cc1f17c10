# SPDX-License-Identifier: Apache-2.0
"""Learning on the live stream; used by the trainer node and `depth-recog adapt`.

adapter.py    the whole of it: observe frames, take steps, judge, adopt or discard
frame.py      a live frame, and what became of it
stream.py     frames with parallax -> blocks, annotated by the frozen start
memory.py     blocks to replay, bounded in bytes
learner.py    the candidate and its optimiser
lineage.py    the accepted weights, as files in one folder
session.py    the loop on a recording (`depth-recog adapt`)
settings.py   all settings

`training/judge/` decides whether a candidate may replace the active weights.

The depth node does not import it (import-linter checks this).
"""
