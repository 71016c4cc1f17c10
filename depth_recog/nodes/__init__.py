# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes. Elsewhere, only the verbs demo and doctor import ROS.

    process                  entry points of the console scripts
    depth_node, camera_node, trainer_node  the nodes
    trainer/                 parts of the trainer node
    diagnostics/             reports on /diagnostics
    io/                      subscriptions, publishers, messages
    runtime/                 lifecycle, parameters, QoS, threads, processes

A module imports only from its own row and the rows below. This file imports nothing (see process).
"""
