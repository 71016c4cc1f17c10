# SPDX-License-Identifier: Apache-2.0
"""Offline training: `depth-recog train`. Nothing here is needed to run a network.

config.py   every setting of a run, one YAML file
train.py    a whole run, from the recordings to the exported weights
data/       recordings -> frames at one size -> triplets of frames -> batches
depth/      what is trained: the model, its loss, its validation
loop/       the training loop, optimiser, checkpoints and run folder; recipes/ use them as well
result.py   the weights file, its card, and the list of training files
"""
