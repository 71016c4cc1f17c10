# SPDX-License-Identifier: Apache-2.0
"""Measures the gate's false positives without truth.

Placebos are regions in the shape of a car or a person, put on background that cannot move. The
segmentation network's scores are changed so that the gate takes them for objects. Whatever the gate
calls moving there is a false positive, and its scores there show how large they get by chance.
"""
