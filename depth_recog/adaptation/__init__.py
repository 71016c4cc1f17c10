# SPDX-License-Identifier: Apache-2.0
"""Learning on the live stream; nothing is here yet.

This package will hold the replay memory, the candidate network that learns, the validation that
accepts or rejects it, and the lineage of the accepted weights. The trainer node will use it; the
depth node must not (import-linter checks this). It may import `depth_recog.training`.
"""
