# SPDX-License-Identifier: Apache-2.0
"""Features followed from frame to frame, and the choice of the frames that make a pair."""
