# SPDX-License-Identifier: Apache-2.0
"""Installs with pip (ROS as the extra `ros`) and with colcon (build type ament_python)."""

from glob import glob

from setuptools import find_packages, setup

PACKAGE = "depth_recog"
ROS = [
    "rclpy",
    "rmw-fastrtps-cpp",
    "builtin-interfaces",
    "diagnostic-msgs",
    "geometry-msgs",
    "lifecycle-msgs",
    "nav-msgs",
    "rcl-interfaces",
    "rosgraph-msgs",
    "sensor-msgs",
    "std-msgs",
    "std-srvs",
    "visualization-msgs",
]

setup(
    name=PACKAGE,
    version="0.1.0",
    description="Depth from one camera for robots that share the road with moving objects",
    # The shipped weights were trained on KITTI's images and carry their licence.
    license="Apache-2.0 AND CC-BY-NC-SA-3.0",
    python_requires=">=3.10",
    packages=find_packages(include=["depth_recog", "depth_recog.*"]),
    package_data={
        PACKAGE: [
            "evaluation/manifests/*",
            "evaluation/report.html.j2",
            "networks/shipped/*",
            "nodes/runtime/*.xml",
            "py.typed",
        ]
    },
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", glob("launch/*.launch.py")),
        (
            f"share/{PACKAGE}/config",
            [*glob("config/*.*"), *glob("depth_recog/nodes/runtime/*.xml")],
        ),
        (f"share/{PACKAGE}/config/sros2", glob("config/sros2/*")),
    ],
    install_requires=[
        "setuptools",
        "apsw>=3.40",
        "backports.zstd>=1; python_version < '3.14'",
        "lz4>=4",
        "mcap>=1.2",
        "numpy>=1.26",
        "onnx>=1.17",
        "opencv-python-headless>=4.8,<5",
        "openvino>=2025.2",
        "Pillow>=10",
        "PyYAML>=6",
        "rosbags>=0.11",
        "safetensors>=0.4.3",
        "tqdm>=4.60",
        "zstandard>=0.20",
    ],
    extras_require={
        "ros": [f"ros-jazzy-{name}" for name in ROS],
        "torch": ["torch>=2.4"],
        "report": ["jinja2>=3", "matplotlib>=3.7"],
        "train": ["lightning-fabric>=2.4", "pydantic>=2.7", "tensorboard>=2.14", "torch>=2.4"],
        "teacher": ["ai-edge-litert>=2.0"],
        "hf": ["torch>=2.4", "transformers>=5,<6"],
        "onnx": ["onnxruntime>=1.20", "onnxscript>=0.5", "torch>=2.4"],
        "mutation": ["mutmut>=3.8"],
        "test": [
            "pytest>=7.4,<9",
            "pytest-timeout>=2.2",
            "pytest-xdist>=3.5",
            "hypothesis>=6.90",
            "kornia>=0.7.3",
            "torch>=2.4",
            "mcap-ros2-support>=0.5.5",
            "ruff",
            "mypy",
            "types-PyYAML",
            "types-tqdm",
            "import-linter>=2.0",
        ],
    },
    entry_points={
        "console_scripts": [
            "depth_node = depth_recog.nodes.process:depth_node",
            "camera_node = depth_recog.nodes.process:camera_node",
            "trainer_node = depth_recog.nodes.process:trainer_node",
            "depth-recog = depth_recog.cli.main:main",
        ],
    },
    zip_safe=False,
)
