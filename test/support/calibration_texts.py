# SPDX-License-Identifier: Apache-2.0
"""Calibration files as tools really write them, all of a 640x480 camera."""

from __future__ import annotations

NOETIC_FISHEYE = """\
image_width: 640
image_height: 480
camera_name: narrow_stereo
camera_matrix:
  rows: 3
  cols: 3
  data: [371.80700, -0.97000, 314.10000,
           0.     , 371.80000, 243.20000,
           0.     ,   0.     ,   1.     ]
camera_model: fisheye
distortion_coefficients:
  rows: 1
  cols: 4
  data: [0.170000, -0.030000, 0.000400, -0.000700]
rectification_matrix:
  rows: 3
  cols: 3
  data: [1., 0., 0., 0., 1., 0., 0., 0., 1.]
projection_matrix:
  rows: 3
  cols: 4
  data: [371.8, 0., 314.1, 0., 0., 371.8, 243.2, 0., 0., 0., 1., 0.]
"""

KALIBR = """\
cam0:
  cam_overlaps: []
  camera_model: pinhole
  distortion_coeffs: [0.17, -0.03, 0.0004, -0.0007]
  distortion_model: equidistant
  intrinsics: [371.807, 371.8, 314.1, 243.2]
  resolution: [640, 480]
  rostopic: /cam0/image_raw
"""

EUROC = """\
# General sensor definitions.
sensor_type: camera
comment: VI-Sensor cam0 (MT9M034)
T_BS:
  cols: 4
  rows: 4
  data: [0.0148655429818, -0.999880929698, 0.00414029679422, -0.0216401454975,
         0.999557249008, 0.0149672133247, 0.025715529948, -0.064676986768,
        -0.0257744366974, 0.00375618835797, 0.999660727178, 0.00981073058949,
         0.0, 0.0, 0.0, 1.0]
rate_hz: 20
resolution: [640, 480]
camera_model: pinhole
intrinsics: [458.654, 457.296, 317.215, 248.375] #fu, fv, cu, cv
distortion_model: radial-tangential
distortion_coefficients: [-0.28340811, 0.07395907, 0.00019359, 1.76187114e-05]
"""

ROS2_ECHO = """\
header:
  stamp:
    sec: 1718000000
    nanosec: 123456789
  frame_id: camera
height: 480
width: 640
distortion_model: equidistant
d:
- 0.17
- -0.03
- 0.0004
- -0.0007
k:
- 371.807
- 0.0
- 314.1
- 0.0
- 371.8
- 243.2
- 0.0
- 0.0
- 1.0
r: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
p: [371.8, 0.0, 314.1, 0.0, 0.0, 371.8, 243.2, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
binning_y: 0
roi:
  x_offset: 0
  y_offset: 0
  height: 0
  width: 0
  do_rectify: false
---
header:
  stamp:
    sec: 1718000000
    nanosec: 1567
"""
"""Ended by Ctrl-C in its second message."""

ROS1_ECHO = """\
header:
  seq: 12
  stamp:
    secs: 1418
    nsecs: 99
  frame_id: "cam"
height: 480
width: 640
distortion_model: "plumb_bob"
D: [-0.28, 0.07, 0.0002, 1.76e-05, 0.0]
K: [458.654, 0.0, 317.215, 0.0, 457.296, 248.375, 0.0, 0.0, 1.0]
R: [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]
P: [458.6, 0.0, 317.2, 0.0, 0.0, 457.3, 248.4, 0.0, 0.0, 0.0, 1.0, 0.0]
binning_x: 0
binning_y: 0
roi:
  x_offset: 0
  y_offset: 0
  height: 0
  width: 0
  do_rectify: False
---
"""

OMNI = KALIBR.replace("pinhole", "omni").replace("[371.807", "[1.7, 371.807")

OTHERS = {
    "kalibr of two cameras": (KALIBR + KALIBR.replace("cam0:", "cam1:"), "2 cameras.*cam0, cam1"),
    "kalibr omni": (OMNI, "camera_model omni.*pinhole-equi"),
    "kalibr fov": (KALIBR.replace("equidistant", "fov"), "'fov'"),
    "kalibr's report": (
        "Calibration results \n====================\nCamera-system parameters:\n cam0: {}\n",
        "kalibr's report; give its camchain.yaml",
    ),
    "ost.txt": (
        "# oST version 5.0 parameters\n\n\n[image]\n\nwidth\n640\n\nheight\n480\n",
        r"ost\.yaml lies beside it",
    ),
    "ROS parameters": (
        "/**:\n  ros__parameters:\n    camera_matrix: [1.0]\n",
        "a file of ROS parameters",
    ),
    "ORB-SLAM": ('%YAML:1.0\n\nCamera.type: "PinHole"\nCamera.fx: 458.6\n', "ORB-SLAM"),
    "VINS": (
        "%YAML:1.0\n---\nmodel_type: KANNALA_BRANDT\nimage_width: 640\n"
        "projection_parameters:\n   k2: 0.1\n",
        "camodocal or VINS",
    ),
    "OpenCV XML": ('<?xml version="1.0"?>\n<opencv_storage>\n</opencv_storage>\n', "in XML"),
    "COLMAP": ("# Camera list\n#   CAMERA_ID, MODEL, WIDTH\n1 PINHOLE 640 480\n", "COLMAP"),
    "NeRF": ('{"camera_angle_x": 0.69, "frames": []}', "NeRF"),
    "KITTI": ("P0: 7.0e+02 0 6e+02\nP2: 7.0e+02 0 6e+02\n", "KITTI"),
    "ROS 1 bag": ("#ROSBAG V2.0\n", "a ROS 1 bag"),
}
"""Files that are not read: their text, and what the message says."""
