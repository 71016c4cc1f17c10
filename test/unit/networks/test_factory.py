# SPDX-License-Identifier: Apache-2.0
import shutil

import numpy as np
import pytest
import torch

from depth_recog.datasets.street import SyntheticStreet
from depth_recog.errors import ConfigurationError, DeviceError, WeightsError
from depth_recog.method.geometry.camera import Camera
from depth_recog.method.masking import PresetRules
from depth_recog.method.settings import Settings
from depth_recog.networks import factory
from depth_recog.networks.device import choose_device
from depth_recog.networks.factory import NetworkOptions
from depth_recog.networks.own.deeplab import segmentation_network
from depth_recog.networks.own.depth import DepthNetwork
from depth_recog.networks.own.encoders import ENCODERS
from depth_recog.networks.own.files import load_network, save_network
from depth_recog.networks.own.pose import PoseNetwork


def assemble(settings=None, previous=None, **options):
    given = {"device": "cpu", "backend": "torch"} | options
    return factory.assemble(NetworkOptions(**given), settings, previous)


@pytest.fixture(scope="module")
def image():
    return torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_an_encoder_halves_the_size_five_times(name, image):
    encoder = ENCODERS[name]().eval()
    maps = encoder(image)
    assert [m.shape[1] for m in maps] == list(encoder.channels)
    sizes = [(64 // 2**i, 96 // 2**i) for i in range(1, 6)]
    assert [tuple(m.shape[2:]) for m in maps] == sizes


@pytest.mark.parametrize(
    ("name", "parameters", "first", "last"),
    [
        # torchvision's counts without the last 1x1 convolution and the classifier.
        ("mobilenet_v2", 1_811_712, "features.0.0.weight", "features.17.conv.3.weight"),
        ("mobilenet_v3_small", 870_560, "features.0.0.weight", "features.11.block.3.1.weight"),
    ],
)
def test_an_encoder_has_torchvisions_layout(name, parameters, first, last):
    encoder = ENCODERS[name]()
    keys = dict(encoder.named_parameters())
    assert first in keys
    assert last in keys
    assert sum(p.numel() for p in keys.values()) == parameters


def test_imagenet_weights_of_another_encoder_are_refused():
    state = ENCODERS["mobilenet_v3_small"]().state_dict()
    with pytest.raises(WeightsError, match="another encoder"):
        ENCODERS["mobilenet_v2"]().load_imagenet(state)


def test_depth_is_between_near_and_far_and_of_the_images_size(image):
    network = DepthNetwork(near=1.0, far=50.0, canonical_focal=100.0).eval()
    depth = network(image, torch.tensor([100.0, 100.0]))
    assert depth.shape == (2, 1, 64, 96)
    assert bool((depth >= 1.0).all())
    assert bool((depth <= 50.0).all())


def test_depth_grows_with_the_focal_length(image):
    network = DepthNetwork().eval()
    short = network(image, torch.tensor([200.0, 200.0]))
    long = network(image, torch.tensor([400.0, 200.0]))
    torch.testing.assert_close(long[0], 2 * short[0])
    torch.testing.assert_close(long[1], short[1])


def test_the_training_scales_are_whole_half_and_quarter_and_the_first_is_the_answer(image):
    network = DepthNetwork().eval()
    focal = torch.tensor([244.0, 244.0])
    inverses = network.inverse_depths(image, focal)
    assert [tuple(i.shape[2:]) for i in inverses] == [(64, 96), (32, 48), (16, 24)]
    torch.testing.assert_close(1 / inverses[0], network(image, focal))


def test_an_untrained_network_starts_in_the_middle_of_a_street(image):
    depth = DepthNetwork().eval()(image, torch.tensor([244.0, 244.0]))
    assert 5 < depth.median().item() < 40


def test_every_parameter_of_the_depth_network_gets_a_gradient(image):
    network = DepthNetwork()
    sum(i.mean() for i in network.inverse_depths(image, torch.full((2,), 244.0))).backward()
    assert all(p.grad is not None for p in network.parameters())


def test_an_untrained_pose_is_nearly_no_motion_and_sees_the_order(image):
    network = PoseNetwork().train()  # BatchNorm's own statistics: an untrained net hardly reacts
    there = network(image, image.flip(3))
    back = network(image.flip(3), image)
    assert there.shape == (2, 6)
    assert there.abs().max().item() < 0.1
    assert not torch.allclose(there, back)


def test_auto_is_a_device_that_works_and_a_missing_device_is_named():
    assert torch.ones(1, device=str(choose_device("auto"))).item() == 1
    for name in ("banana", "cuda:77", "meta", "cpu:x"):
        with pytest.raises(DeviceError, match=name):
            choose_device(name)


def test_an_unknown_estimator_and_rules_that_do_not_fit_the_weights_are_refused():
    with pytest.raises(ConfigurationError, match="orb"):
        assemble(estimator="orb")
    settings = Settings(rules=PresetRules(("road", "car"), ("car",)))
    with pytest.raises(WeightsError, match="19 classes"):
        assemble(settings=settings)


@pytest.mark.parametrize("estimator", factory.ESTIMATORS)
def test_the_shipped_networks_work_together(estimator):
    assembly = assemble(estimator=estimator)
    assembly.warm_up()
    camera = Camera(640, 480, 500, 500, 320, 240)
    width, height = assembly.network_size(camera)
    assert width / height == pytest.approx(640 / 480, rel=0.1)
    rng = np.random.default_rng(0)
    view = camera.resized(width, height)
    for i in range(3):
        picture = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
        step = assembly.recognizer.step(str(i), i * 100_000_000, picture, view)
        assert np.isfinite(step.frame.depth).all()
        assert step.frame.labels.max() < 19


def test_an_assembly_keeps_networks_of_unchanged_files(tmp_path):
    """Networks of unchanged files are kept; a file may be replaced under its name."""
    first = assemble()
    copy = tmp_path / "mine.safetensors"
    shutil.copy(first.depth.path, copy)
    again = assemble(previous=first, estimator="epipolar")
    assert again.depth_network is first.depth_network
    assert again.mask_network is first.mask_network
    other = assemble(depth=str(copy), previous=again)
    assert other.depth.path == copy
    assert other.mask_network is first.mask_network
    header = first.depth
    save_network(
        other.depth_network.module, copy, "depth", header.architecture, header.size, "relative"
    )
    replaced = assemble(depth=str(copy), previous=other)
    assert replaced.depth_network is not other.depth_network
    assert replaced.depth.unit == "relative"


def changed(path, header, **changes):
    """The shipped depth network as a file of another content."""
    network, _ = load_network("", "depth")
    for name, values in network.named_parameters():
        if "head" in name and name.endswith("bias"):
            values.data += 0.7
    size, unit = (changes.get(k, getattr(header, k)) for k in ("size", "unit"))
    save_network(network, path, "depth", header.architecture, size, unit)
    return str(path)


def seen(assembly):
    """One frame's depth, and the gate's depth."""
    camera = Camera(416, 128, 240, 240, 208, 64)
    picture = np.random.default_rng(0).integers(0, 255, (128, 416, 3), dtype=np.uint8)
    frame = assembly.recognizer.observe("0", 0, picture, camera)
    return frame.depth, frame.gate_depth


def test_the_gate_keeps_its_weights_while_depth_weights_change(tmp_path):
    first = assemble()
    other = changed(tmp_path / "other.safetensors", first.depth)
    alone = assemble(previous=first, gate="depth-street")
    # As long as both are the same it is one network, which runs once.
    assert alone.gate_network is alone.depth_network is first.depth_network
    depth, gate = seen(alone)
    assert gate is depth
    swapped = assemble(depth=other, previous=alone, gate="depth-street")
    assert swapped.gate_network is first.depth_network
    new, same = seen(swapped)
    assert np.array_equal(same, gate)
    assert not np.allclose(new, depth, rtol=0.05)
    back = assemble(previous=swapped, gate=other)
    assert back.depth_network is first.depth_network
    assert back.gate_network is swapped.depth_network
    assert np.array_equal(seen(back)[0], depth)
    assert np.array_equal(seen(back)[1], new)
    without = assemble(previous=back)
    assert without.gate is without.gate_network is None
    assert np.array_equal(seen(without)[1], depth)
    # Other settings keep it too.
    assert np.array_equal(seen(back.with_settings(Settings(mask_margin=5)))[1], new)


def test_the_gates_weights_may_be_for_another_size(tmp_path):
    """The gate's network gets the image at its own size."""
    larger = changed(tmp_path / "larger.safetensors", assemble().depth, size=(640, 192))
    factory.check_weights(NetworkOptions(gate=larger))
    assembly = assemble(gate=larger, precision="float32")
    street = SyntheticStreet(frames=8, width=416, height=128, seed=7)
    for frame in street:
        step = assembly.recognizer.step(frame.name, frame.stamp_ns, frame.image, frame.camera)
    picture = torch.from_numpy(frame.image).permute(2, 0, 1)[None] / 255
    enlarged = torch.nn.functional.interpolate(picture, size=(192, 640), mode="bilinear")
    focal = torch.tensor([frame.camera.fy * 1.5])
    with torch.no_grad():
        own = assembly.gate_network.module(enlarged, focal)
    own = torch.nn.functional.interpolate(own, size=(128, 416), mode="bilinear")[0, 0].numpy()
    np.testing.assert_allclose(step.frame.gate_depth, own, rtol=1e-3)
    assert not np.allclose(step.frame.gate_depth, step.frame.depth, rtol=0.05)
    assert np.isfinite([region.score for region in step.pair.gate_result.regions]).any()
    assert step.pair.decision.why


def test_gate_weights_of_another_unit_are_refused(tmp_path):
    header = assemble().depth
    other = changed(tmp_path / "other.safetensors", header, unit="relative")
    for depth, gate in (("", other), (other, "depth-street")):
        with pytest.raises(WeightsError, match="relative"):
            assemble(depth=depth, gate=gate)
        with pytest.raises(WeightsError, match="relative"):
            factory.check_weights(NetworkOptions(depth=depth, gate=gate))


def test_weights_are_checked_without_loading_them():
    factory.check_weights(NetworkOptions(estimator="network"))
    with pytest.raises(WeightsError, match="a masks network is needed"):
        factory.check_weights(NetworkOptions(masks="depth-street"))
    with pytest.raises(WeightsError, match="no such weights file"):
        factory.check_weights(NetworkOptions(pose="/nowhere"))


def test_masks_load_with_their_settings(tmp_path, image):
    architecture = {"design": "refined_deeplab", "temperature": 1.7}
    network = segmentation_network(**architecture).eval().half().float()
    path = tmp_path / "own.safetensors"
    save_network(network, path, "masks", architecture, (640, 192), "metres")
    again, header = load_network(str(path), "masks")
    assert header.architecture == architecture
    torch.testing.assert_close(again(image), network(image))


@pytest.mark.parametrize("architecture", [{}, {"design": "moon"}])
def test_masks_of_an_unknown_design_are_refused(tmp_path, architecture):
    path = tmp_path / "m.safetensors"
    network = segmentation_network("refined_deeplab")
    save_network(network, path, "masks", architecture, (640, 192), "metres")
    with pytest.raises(WeightsError, match=r"unknown architecture.*refined_deeplab is known"):
        load_network(str(path), "masks")
