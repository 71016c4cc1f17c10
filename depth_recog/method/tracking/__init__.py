# SPDX-License-Identifier: Apache-2.0
"""Features found again from frame to frame, and which frames make a pair."""
