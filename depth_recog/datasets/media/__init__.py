# SPDX-License-Identifier: Apache-2.0
"""Image folders, video files and V4L2 cameras."""
