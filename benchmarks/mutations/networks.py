# SPDX-License-Identifier: Apache-2.0
"""Mutants of networks and weights."""

from mutations.kinds import Mutant

MUTANTS = (
    Mutant(
        "weights: header in any order",
        "networks/weights.py",
        "sort_keys=True, ",
        "",
        ("weights",),
    ),
    Mutant(
        "tiles: no overlap", "method/tiling.py", "(side * (1 - overlap))", "side", ("onnx_masks",)
    ),
    Mutant("tiles: nearest first pixel", "method/tiling.py", " + side / 2", "", ("onnx_masks",)),
    Mutant(
        "ONNX masks: squashed",
        "networks/onnx_masks.py",
        "if 1 / SLACK <= width / height / aspect <= SLACK:",
        "if aspect:",
        ("onnx_masks",),
    ),
    Mutant(
        "ONNX masks: mean before scale",
        "networks/onnx_masks.py",
        "(image * self._scale - mean)",
        "((image - mean) * self._scale)",
        ("onnx_masks",),
    ),
    Mutant(
        "ONNX masks: labels beyond the classes",
        "networks/onnx_masks.py",
        "        if len(strange):",
        "        if False:",
        ("onnx_masks",),
    ),
    Mutant(
        "ONNX masks: the model's YAML does not say what can move",
        "networks/models.py",
        "usual if description.dynamic is None else description.dynamic",
        "usual",
        ("onnx_masks",),
    ),
    Mutant(
        "assembly: rules of another network",
        "networks/factory.py",
        "if settings.rules.classes != self.masks.classes:",
        "if False:",
        ("onnx_masks",),
    ),
    Mutant(
        "ONNX: a missing provider in silence",
        "networks/onnx_session.py",
        "        if asked is None:",
        "        if True:",
        ("onnx_masks",),
    ),
    Mutant(
        "export: no limit",
        "networks/onnx_export.py",
        "if not worst.relative <= LIMIT:",
        "if False:",
        ("export",),
    ),
    Mutant(
        "transformers: no shift",
        "networks/hf_depth.py",
        "answer.clamp(min=0) + EPSILON",
        "answer.clamp(min=EPSILON)",
        ("hf",),
    ),
    Mutant(
        "transformers: not normalised",
        "networks/hf_depth.py",
        "(image - self.mean) / self.std",
        "image",
        ("hf",),
    ),
    Mutant(
        "transformers: missing tensors are drawn by chance",
        "networks/hf_directory.py",
        'if found["missing_keys"]:',
        "if False:",
        ("hf",),
    ),
    Mutant(
        "transformers: the scale is not kept",
        "networks/hf_depth.py",
        '"scale": scale}',
        '"scale": 1.0}',
        ("training_hf",),
    ),
    Mutant(
        "precision: the depth network's encoder too",
        "networks/depth.py",
        "with torch.autocast(image.device.type, enabled=False):",
        "if True:",
        ("precision",),
    ),
    Mutant(
        "precision: auto is the other one",
        "networks/precision.py",
        "return any(known",
        "return not any(known",
        ("precision",),
    ),
    Mutant(
        "precision: networks of others too",
        "networks/precision.py",
        " or not isinstance(network, _MEASURED)",
        "",
        ("precision",),
    ),
    Mutant(
        "precision: a recognizer in the old one",
        "networks/factory.py",
        "        previous.precision,\n",
        "        numbers,\n",
        ("precision",),
    ),
    Mutant(
        "precision: not the gate's",
        "networks/factory.py",
        "return _sized(gate, header, precision, device)",
        'return _sized(gate, header, "float32", device)',
        ("precision",),
    ),
    Mutant(
        "transformers: a start keeps its scale",
        "training/align.py",
        "    depth.rescale(1 / (median * best))\n",
        "",
        ("training_hf",),
    ),
)
