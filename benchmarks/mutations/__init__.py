# SPDX-License-Identifier: Apache-2.0
"""Every mutant, by the layer that it breaks."""

from mutations import (
    bags,
    datasets,
    evaluation,
    interfaces,
    method_gate_object,
    method_geometry,
    method_loss_and_gate,
    networks,
    nodes,
    synthetic,
    training,
)

MUTANTS = (
    *bags.MUTANTS,
    *datasets.MUTANTS,
    *evaluation.MUTANTS,
    *interfaces.MUTANTS,
    *method_gate_object.MUTANTS,
    *method_geometry.MUTANTS,
    *method_loss_and_gate.MUTANTS,
    *networks.MUTANTS,
    *nodes.MUTANTS,
    *synthetic.MUTANTS,
    *training.MUTANTS,
)
