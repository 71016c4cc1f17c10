# SPDX-License-Identifier: Apache-2.0
"""Training data: from recordings to batches.

selection.py     which frames train and which validate
cache.py         frames are rectified, resized and annotated once, and kept on disk
prepared.py      those frames, as memory-mapped arrays
triplets.py      frames with an earlier and a later neighbour
gating.py        which dynamic pixels are excluded from the comparison
augmentation.py  zoom, crop, flip and colours
batches.py       the tensors of a step
"""
