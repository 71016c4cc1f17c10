# SPDX-License-Identifier: Apache-2.0
"""How mask, pose and deviation weights are trained, with data and loop of `depth_recog.training`.

masks.py            trains a segmentation network on pseudo-labels
mask_labels.py      what they learn: the pseudo-labels of a frame, or recorded labels
pose.py             trains a pose network on recorded motion
deviation.py        fits the standard deviation of a depth network's errors
start.py            their command line, and the start of a run
soft_teacher.py     the pseudo-label network, without quantisation: class probabilities
teacher.py          the same network as published (TFLite): labels
teacher_weights.py  its weights, read from the TFLite file
file_lists.py       compact lists of training files, for shipped weights
mask_metrics.py     intersection over union, and recall of LiDAR points on objects
temperature.py      temperature scaling, and the calibration error of probabilities

The shipped masks-street and pose-street were made with the scripts of commit a1574f7; see their
cards. Depth is trained by `depth-recog train`.
"""
