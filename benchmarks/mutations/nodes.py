# SPDX-License-Identifier: Apache-2.0
"""Mutants of nodes."""

from mutations.kinds import Mutant

MUTANTS = (
    Mutant(
        "odometry: rotation before translation",
        "nodes/odometry.py",
        "np.block([[zero, to_axes], [to_axes, zero]])",
        "np.block([[to_axes, zero], [zero, to_axes]])",
        ("odometry",),
    ),
    Mutant(
        "odometry: the child keeps its optical axes",
        "nodes/odometry.py",
        "_FORWARD_FROM_OPTICAL @ rotation @ child_from_optical.T",
        "_FORWARD_FROM_OPTICAL @ rotation",
        ("odometry",),
    ),
    Mutant(
        "points: red and blue exchanged",
        "nodes/points.py",
        "colours[::every, ::every, ::-1]",
        "colours[::every, ::every]",
        ("points",),
    ),
    Mutant(
        "points: column counted in points",
        "nodes/points.py",
        "np.arange(columns, dtype=np.float32) * every",
        "np.arange(columns, dtype=np.float32)",
        ("points",),
    ),
    Mutant(
        "precision: the node's parameter is not read",
        "nodes/assembler.py",
        '        values["precision"],\n',
        "",
        ("depth_node",),
    ),
    Mutant(
        "compressedDepth: cut off instead of rounded",
        "nodes/compressed_depth.py",
        "np.rint(inverse + np.float32(b))",
        "np.floor(inverse + np.float32(b))",
        ("compressed_depth",),
    ),
    Mutant(
        "compressedDepth: beyond range is far",
        "nodes/compressed_depth.py",
        "steps[inverse == 0] = 0",
        "steps[inverse < 0] = 0",
        ("compressed_depth",),
    ),
)
