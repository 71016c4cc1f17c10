# SPDX-License-Identifier: Apache-2.0
#   docker build -t depth_recog . && docker run --rm --net=host --ipc=host depth_recog
#   docker run ... depth_recog ros2 launch depth_recog depth.launch.py source:=none image:=/camera/image_raw
# Host network and IPC: DDS discovers the robot's nodes, and sends images through shared memory.
ARG ROS_DISTRO=jazzy
FROM ros:${ROS_DISTRO}-ros-base
SHELL ["/bin/bash", "-c"]
WORKDIR /ws
COPY . src/depth_recog
RUN apt-get update \
    && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --rosdistro "$ROS_DISTRO" --from-paths src --ignore-src -y --dependency-types=exec \
    && apt-get install -y --no-install-recommends python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
# What has no rosdep key (torch too for a GPU or training). NumPy and OpenCV stay the distribution's, as cv_bridge needs.
RUN python3 -m venv --system-site-packages /venv \
    && /venv/bin/pip install --no-cache-dir openvino onnx safetensors rosbags mcap
# This Python becomes the nodes' Python.
RUN . /venv/bin/activate && . "/opt/ros/$ROS_DISTRO/setup.bash" && python -m colcon build
RUN printf '#!/bin/bash\n. /ws/install/setup.bash\nexec "$@"\n' > /entrypoint.sh && chmod +x /entrypoint.sh
ENTRYPOINT ["/entrypoint.sh"]
CMD ["ros2", "launch", "depth_recog", "depth.launch.py"]
