# SPDX-License-Identifier: Apache-2.0
"""The focal length of a camera from the motion in its images.

Static points of two images of one camera lie on each other's epipolar lines only with the right
focal length, if the camera turns and moves at once. `pairs.py` follows points over several frames,
`epipolar.py` has the errors of all pairs and their derivatives, and `focal.py` minimises them, with
a standard deviation that contains what is not known: principal point and distortion.
"""
