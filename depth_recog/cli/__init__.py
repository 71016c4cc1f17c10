# SPDX-License-Identifier: Apache-2.0
"""The command `depth-recog`: one file a verb."""
