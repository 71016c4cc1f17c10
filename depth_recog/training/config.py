# SPDX-License-Identifier: Apache-2.0
"""The settings of a training run: one YAML file, checked before anything starts.

docs/concepts/training.md explains the losses; `write_config` prints every key with its meaning.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from depth_recog.documents import parse_yaml, read_yaml, yaml_text
from depth_recog.errors import ConfigurationError, DocumentError
from depth_recog.limits import DEPTH, NETWORK_SIDE
from depth_recog.method.geometry.viewport import STRIDE
from depth_recog.method.masking import CITYSCAPES, DYNAMIC
from depth_recog.texts import shown

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


_MOST_SENTENCES = 10


class ConfigGroup(BaseModel):
    """Settings that belong together; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class StartConfig(ConfigGroup):
    """The initial networks."""

    depth: str = "depth-street"
    """initial depth weights: a shipped name, a .safetensors file, a directory of transformers, or
    ImageNet's MobileNetV2 .pth"""
    scale: Positive | None = None
    """metres per unit of these weights' depth, which --scale finds in the recordings: the training
    then begins in metres, and keeps them; null: the unit stays as it is"""
    pose: str = "pose-street"
    """initial pose weights (or ImageNet's MobileNetV3-small .pth); used where motion is not
    recorded"""


class LossWeights(ConfigGroup):
    """Weights of the parts of the loss."""

    alpha: float = Field(default=0.85, ge=0, le=1)
    """share of SSIM in the photometric error"""
    smoothness: Weight = 1e-3
    """gradient error, w of the method"""
    exact: Weight = 0.15
    """mean |log depth error| where a source has dense true depth"""
    edges: Weight = 0.0
    """gradients of that error at strides 1, 2 and 4: sharp edges of objects"""
    points: Weight = 0.3
    """mean |log depth error| of triangulated points; up to scale where motion is not recorded"""
    contact: Weight = 0.1
    """|log depth error| of excluded pixels against the road's depth where the object stands"""
    sky: Weight = 0.5
    """mean inverse depth of the sky"""
    scale: Weight = 1.0
    """squared log of the road's mean inverse depth over that of the initial weights, where motion
    is not recorded; 0: the scale is free"""
    start: Weight = 0.0
    """mean |log ratio| to the depth of the initial weights, in images without dense true depth"""
    deviation: Weight = 0.0
    """negative log-likelihood of log depth errors by the head for their standard deviation, which
    is added where it is missing; the depth is not changed by it"""
    teacher: Weight = 0.2
    """mean |log ratio| to the depth of the `teacher` where neither images nor triangulated points
    show the depth; its scale and shift are fitted in each image, to the points, else to the depth
    of the initial weights"""


class AugmentationConfig(ConfigGroup):
    """Random changes of the training images."""

    zoom: float = Field(default=1.3, ge=1, le=4)
    """largest zoom (K changes accordingly); 1: none"""
    colour: float = Field(default=0.2, ge=0, lt=1)
    """largest change of saturation, contrast, brightness and gamma, as a share"""


class ValidationConfig(ConfigGroup):
    """Validation during the training."""

    every: Count = 200
    """steps between two validations, each with a checkpoint"""
    share: float = Field(default=0.1, gt=0, le=0.5)
    """share of each source, at its end, that is held out if --validate is not used"""
    frames: Count = 64
    """largest number of held-out frames to use, evenly spaced"""
    patience: Count = 8
    """end after so many validations without improvement"""


class TrainingConfig(ConfigGroup):
    """A training run."""

    sources: tuple[str, ...] = ()
    """recordings to train on, SOURCE or SOURCE@A:B"""
    fov: float | None = Field(default=None, ge=1, le=170)
    """horizontal field of view assumed of sources without calibration, degrees; metres are a guess
    then (--fov)"""
    focal: Positive | None = None
    """the same as a focal length, pixels of the images (--focal)"""
    validate_on: tuple[str, ...] = ()
    """held-out recordings, SOURCE or SOURCE@A:B (--validate)"""
    name: str = Field(default="", pattern=r"^[\w.-]*$")
    """name of the weights; '': the name of the run's folder"""
    licence: str = ""
    """licence of the weights, for their card: see the data's terms"""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """seed of augmentation and of the order of samples"""
    size: tuple[Count, Count] | None = None
    """[width, height] in training, pixels; null: as for the initial weights"""
    start: StartConfig = StartConfig()
    """initial networks"""
    teacher: str = ""
    """depth weights, or a directory of transformers, whose depth teaches where motion shows nothing
    (--teacher); '': none"""
    masks: str = "masks-street"
    """mask weights (or .onnx) for sources without labels"""
    trains: Literal["all", "deviation"] = "all"
    """deviation: trains the head for the standard deviation alone, all else is kept bit by bit;
    the held-out frames need true depth"""
    dynamic_classes: tuple[str, ...] = DYNAMIC
    """classes of objects that could move"""
    gate: Literal["auto", "off", "all", "image", "object"] = "auto"
    """dynamic pixels that are excluded from the comparison of images: off: none; all: all; image,
    object: all but those that this gate decides to be still; auto: object where the initial weights
    give metres, else all"""
    motion: Literal["auto", "recorded", "network", "points"] = "auto"
    """motion between frames; auto: recorded where a source has poses, else by the pose network;
    points: images are not compared where motion is not recorded, triangulated points teach alone"""
    longest_gap: Positive = 0.5
    """longest time between neighbours, seconds"""
    loss: LossWeights = LossWeights()
    """weights of the parts of the loss"""
    augment: AugmentationConfig = AugmentationConfig()
    """random changes of the training images"""
    steps: Count = 3000
    """largest number of steps"""
    batch: Count = 6
    """samples of a step, on all devices together"""
    rate: Positive = 4e-4
    """largest learning rate, of the decoder"""
    encoder_rate: Weight = 0.4
    """learning rate of the encoder, as a share of `rate`"""
    average: Share = 0.995
    """weight of the old value in the running average of the weights"""
    validation: ValidationConfig = ValidationConfig()
    """validation during the training"""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """device to train on"""
    devices: Count = 1
    """number of devices on each machine"""
    machines: Count = 1
    """number of machines; torchrun or SLURM starts one process for each device"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """precision of the networks' arithmetic"""
    compile: bool = False
    """use torch.compile (needs a C++ compiler)"""
    workers: int = Field(default=1, ge=0)
    """processes that read data, for each device; 0: none"""
    cache: str = ""
    """folder of prepared frames; '': a folder in the run's folder"""

    @property
    def teaches_deviation(self) -> bool:
        """Whether the head for the standard deviation is trained."""
        return self.loss.deviation > 0 or self.trains == "deviation"

    def needs_pose_network(self, posed: bool) -> bool:
        """Whether a pose network is needed; `posed`: the motion of every frame is recorded."""
        if self.trains == "deviation":
            return False
        return self.motion == "network" or (self.motion != "points" and not posed)

    @field_validator("gate", mode="before")
    @classmethod
    def _off(cls, gate: object) -> object:
        return "off" if gate is False else gate  # YAML reads the word off as False

    @field_validator("dynamic_classes")
    @classmethod
    def _known_classes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CITYSCAPES:
                raise ValueError(f"{shown(name)} is unknown: {', '.join(CITYSCAPES)}")
        return names

    @field_validator("size")
    @classmethod
    def _multiple(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size is not None and (size[0] % STRIDE or size[1] % STRIDE or max(size) > NETWORK_SIDE):
            raise ValueError(f"both must be multiples of {STRIDE}, up to {NETWORK_SIDE}")
        return size


def make_config(values: dict[str, Any], origin: str) -> TrainingConfig:
    """Check values, nested as in the YAML file; missing keys get their defaults.

    Raises:
        ConfigurationError: an unknown key or a bad value; the message begins with `origin`.
    """
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        sentences = "; ".join(_sentence(e) for e in error.errors()[:_MOST_SENTENCES])
        raise ConfigurationError(f"{origin}: {sentences}") from error


def _sentence(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        *groups, _ = error["loc"]
        model: Any = TrainingConfig
        for group in groups:
            model = type(model.model_fields[group].default)
        return f"unknown key {shown(key)} (known: {', '.join(model.model_fields)})"
    message = error["msg"].removeprefix("Value error, ")
    return f"{shown(key)[1:-1]}: {shown(error['input'])} cannot be used: {message}"


def read_config(path: Path) -> dict[str, Any]:
    """Read the values of a YAML file, without checking them.

    Raises:
        ConfigurationError: it cannot be read, or is not a mapping.
    """
    try:
        values = read_yaml(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except DocumentError as error:
        raise ConfigurationError(f"{path}: not YAML ({error})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: must hold keys with values; see --print-config")
    return values


def set_value(values: dict[str, Any], assignment: str) -> None:
    """Set one KEY=VALUE of the command line, such as `loss.sky=0`, in the values.

    Raises:
        ConfigurationError: the assignment has another form.
    """
    key, equals, text = assignment.partition("=")
    *groups, last = key.split(".")
    if not equals or not last or len(groups) > DEPTH:
        raise ConfigurationError(
            f"{shown(assignment)}: must have the form KEY=VALUE, such as loss.sky=0"
        )
    place = values
    for group in groups:
        place = place.setdefault(group, {})
        if not isinstance(place, dict):
            raise ConfigurationError(f"{shown(assignment)}: {group} has no keys of its own")
    try:
        place[last] = parse_yaml(text)
    except DocumentError as error:
        raise ConfigurationError(f"{shown(assignment)}: the value is not YAML ({error})") from error


def write_config(config: TrainingConfig) -> str:
    """A YAML file with every key and its description. `make_config` reads it back."""
    return "\n".join(_lines(config, 0)) + "\n"


def _lines(group: ConfigGroup, depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        lines.append(f"{indent}# {' '.join(str(field.description).split())}")
        if isinstance(value, ConfigGroup):
            lines += [f"{indent}{name}:", *_lines(value, depth + 1)]
            continue
        plain = list(value) if isinstance(value, tuple) else value
        text = yaml_text(plain, default_flow_style=True, width=10**6)
        lines.append(f"{indent}{name}: {text.removesuffix(chr(10)).removesuffix('...').rstrip()}")
    return lines
