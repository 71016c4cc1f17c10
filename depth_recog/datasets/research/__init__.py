# SPDX-License-Identifier: Apache-2.0
"""Research datasets: Virtual KITTI 2, Cityscapes, 7-Scenes, TUM RGB-D."""
