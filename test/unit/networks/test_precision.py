# SPDX-License-Identifier: Apache-2.0
"""bfloat16 in the networks: chosen where it is fast, float32 outside, and close to float32."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import ConfigurationError
from depth_recog.method.geometry.camera import Camera
from depth_recog.networks import factory
from depth_recog.networks.backends.choice import choose
from depth_recog.networks.own.files import load_network
from depth_recog.networks.own.pose import PoseNetwork
from depth_recog.networks.own.tensors import image_tensor
from depth_recog.networks.precision import in_precision
from depth_recog.networks.weights import resolve

CPU = torch.device("cpu")
CPUINFO = Path("/proc/cpuinfo")
FOCAL = torch.tensor([244.0])


@pytest.fixture(scope="module")
def image() -> Tensor:
    return image_tensor(SyntheticStreet(seed=0)[0].image)


def test_a_named_precision_is_used_or_refused() -> None:
    for name in ("float32", "bfloat16"):
        assert choose("torch", "cpu", name).precision == name
    for name in ("half", "", "Float32"):
        with pytest.raises(ConfigurationError, match=f"{name!r}.*auto, float32, bfloat16"):
            choose("torch", "cpu", name)


@pytest.mark.skipif(not CPUINFO.is_file(), reason="the kernel's list of the CPU's flags is needed")
def test_auto_is_bfloat16_where_the_cpu_has_instructions_for_it() -> None:
    flags = set(CPUINFO.read_text(encoding="utf-8").split())
    known = hasattr(torch.cpu, "get_capabilities")
    fast = known and bool(flags & {"avx512_bf16", "amx_bf16"})
    found = choose("torch", "cpu", "auto").precision
    assert found == ("bfloat16" if fast else "float32")


def test_depth_in_bfloat16(image: Tensor) -> None:
    """Measured: mean difference 0.0005, at most 0.006; 0.007 with the encoder in bfloat16."""
    network, _ = load_network("", "depth")
    with torch.inference_mode():
        depth = network(image, FOCAL)[:, :1]
        rough = in_precision(network, "bfloat16", CPU)(image, FOCAL)[:, :1]
    error = (rough / depth).log().abs()
    assert rough.dtype == torch.float32
    assert 0 < error.mean().item() < 0.0015
    assert error.max().item() < 0.02


def test_masks_in_bfloat16(image: Tensor) -> None:
    """Measured: 99.82 % equal labels, probabilities within 0.05."""
    network, _ = load_network("", "masks")
    with torch.inference_mode():
        scores = network(image)
        rough = in_precision(network, "bfloat16", CPU)(image)
    assert rough.dtype == torch.float32
    assert not torch.equal(rough, scores)
    assert (rough.argmax(1) == scores.argmax(1)).float().mean().item() > 0.99
    assert (rough.softmax(1) - scores.softmax(1)).abs().max().item() < 0.2


def test_float32_and_other_networks_change_nothing() -> None:
    network, _ = load_network("", "masks")
    assert in_precision(network, "float32", CPU) is network
    for other in (PoseNetwork(), torch.nn.Conv2d(3, 1, 1)):
        assert in_precision(other, "bfloat16", CPU) is other


def test_an_assembly_computes_in_its_precision(image: Tensor, tmp_path: Path) -> None:
    """Depth, gate and masks."""
    gate = tmp_path / "gate.safetensors"
    shutil.copy(resolve("", "depth"), gate)
    camera = Camera(416, 128, 244.0, 244.0, 207.5, 63.5)
    picture = SyntheticStreet(seed=0)[0].image
    depths = []
    for precision in ("float32", "bfloat16"):
        options = factory.NetworkOptions(
            gate=str(gate), device="cpu", precision=precision, backend="torch"
        )
        assembly = factory.assemble(options)
        assert assembly.precision == precision
        seen = assembly.recognizer.observe("0", 0, picture, camera)
        networks = assembly.depth_network, assembly.mask_network
        with torch.inference_mode():
            depth_of, scores_of = (in_precision(n.module, precision, CPU) for n in networks)
            depth = depth_of(image, FOCAL)[0, 0].numpy()
            labels = scores_of(image).argmax(1)[0].numpy()
        for own in (seen.depth, seen.gate_depth):
            np.testing.assert_array_equal(own, depth)
        np.testing.assert_array_equal(seen.labels, labels)
        depths.append(depth)
    assert depths[1].dtype == np.float32
    assert not np.array_equal(*depths)
    np.testing.assert_allclose(*depths, rtol=0.02)
