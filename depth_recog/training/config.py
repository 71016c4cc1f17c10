# SPDX-License-Identifier: Apache-2.0
"""What a training run is made of: one YAML file, checked before anything starts.

docs/training.md gives the reason of every default.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from depth_recog.errors import ConfigurationError
from depth_recog.method.geometry.viewport import STRIDE
from depth_recog.method.masking import CITYSCAPES, DYNAMIC

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]


class Group(BaseModel):
    """Keys that belong together; an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Start(Group):
    """Where the networks come from."""

    depth: str = Field(
        default="depth-street",
        description="depth weights: a shipped name, a .safetensors, a directory of transformers, "
        "or ImageNet's MobileNetV2 .pth",
    )
    pose: str = Field(
        default="pose-street",
        description="likewise (MobileNetV3-small); used where motion is the network's",
    )


class Loss(Group):
    """Weights of the loss's parts."""

    alpha: float = Field(
        default=0.85, ge=0, le=1, description="structure's share of the photometric error"
    )
    smoothness: Weight = Field(default=1e-3, description="gradient error, w of the method")
    exact: Weight = Field(
        default=0.15, description="mean |log depth error| where the truth is dense"
    )
    contact: Weight = Field(
        default=0.1,
        description="|log error| of what is left out against the road's depth where it stands",
    )
    sky: Weight = Field(default=0.5, description="mean inverse depth of the sky")
    scale: Weight = Field(
        default=1.0,
        description="squared log of the road's mean inverse depth over the start's; 0: free",
    )


class Augment(Group):
    """Random changes of what is read."""

    zoom: float = Field(
        default=1.3, ge=1, le=4, description="largest zoom, K carried along; 1: never"
    )
    colour: float = Field(
        default=0.2, ge=0, lt=1, description="saturation, contrast, brightness, gamma"
    )


class Validation(Group):
    """How the run is judged while it lasts."""

    every: Count = Field(
        default=200, description="steps between two validations, each with a checkpoint"
    )
    share: float = Field(
        default=0.1,
        gt=0,
        le=0.5,
        description="end of each source that is held back if none is named",
    )
    frames: Count = Field(default=64, description="at most so many frames, evenly spread")
    patience: Count = Field(
        default=8, description="end after so many validations without a better figure"
    )


class Config(Group):
    """A training run."""

    sources: tuple[str, ...] = Field(
        default=(), description="SOURCE or SOURCE@A:B; the command line's"
    )
    validate_on: tuple[str, ...] = Field(default=(), description="likewise, held out (--validate)")
    name: str = Field(
        default="", pattern=r"^[\w.-]*$", description="of the weights; '': the run folder's"
    )
    licence: str = Field(
        default="", description="of the weights, for their card: the data's terms decide"
    )
    seed: int = Field(default=0, ge=0, lt=2**31, description="of views, colours and order")
    size: tuple[Count, Count] | None = Field(
        default=None,
        description="[width, height] in training; null: as the start's weights have it",
    )
    start: Start = Field(default=Start(), description="where the networks come from")
    masks: str = Field(
        default="masks-street",
        description="mask weights (or .onnx), where a source has no labels",
    )
    dynamic_classes: tuple[str, ...] = Field(default=DYNAMIC, description="what can move")
    gate: Literal["auto", "off", "all", "image", "object"] = Field(
        default="auto",
        description="what is left out of what can move: nothing, all, or all but what the literal "
        "gate or the gate by object calls still; auto: object where the start knows metres, or all",
    )
    motion: Literal["auto", "recorded", "network"] = Field(
        default="auto", description="between frames; auto: recorded where a source has poses"
    )
    longest_gap: Positive = Field(default=0.5, description="between neighbours, seconds")
    loss: Loss = Field(default=Loss(), description="weights of the loss's parts")
    augment: Augment = Field(default=Augment(), description="random changes of what is read")
    steps: Count = Field(default=3000, description="at most")
    batch: Count = Field(default=6, description="samples of a step, on all devices together")
    rate: Positive = Field(default=4e-4, description="largest learning rate, of the decoder")
    encoder_rate: Weight = Field(default=0.4, description="the encoder's, as a share of it")
    average: Share = Field(default=0.995, description="of the running average that stays in a step")
    validation: Validation = Field(default=Validation(), description="how the run is judged")
    device: Literal["auto", "cpu", "gpu"] = Field(default="auto", description="what computes")
    devices: Count = Field(default=1, description="on each machine")
    machines: Count = Field(
        default=1, description="torchrun or SLURM starts one process for each device"
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32", description="of the networks"
    )
    compile: bool = Field(
        default=False, description="torch.compile the networks (needs a compiler)"
    )
    workers: int = Field(
        default=1, ge=0, description="processes that read data, for each device; 0: none"
    )
    cache: str = Field(default="", description="folder of prepared frames; the run folder if ''")

    @field_validator("gate", mode="before")
    @classmethod
    def _off(cls, gate: object) -> object:
        return "off" if gate is False else gate  # what YAML makes of the word

    @field_validator("dynamic_classes")
    @classmethod
    def _known_classes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in CITYSCAPES:
                raise ValueError(f"{name!r} is unknown: {', '.join(CITYSCAPES)}")
        return names

    @field_validator("size")
    @classmethod
    def _multiple(cls, size: tuple[int, int] | None) -> tuple[int, int] | None:
        if size is not None and (size[0] % STRIDE or size[1] % STRIDE):
            raise ValueError(f"both must be multiples of {STRIDE}")
        return size


def make_config(values: dict[str, Any], origin: str) -> Config:
    """Check a configuration's values.

    Args:
        values: nested as in the YAML file; what is missing takes its default.
        origin: for the message.

    Raises:
        ConfigurationError: an unknown key or a bad value.
    """
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        lines = [_sentence(e) for e in error.errors()]
        raise ConfigurationError(f"{origin}: " + "; ".join(lines)) from error


def _sentence(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "extra_forbidden":
        *groups, _ = error["loc"]
        model: Any = Config
        for group in groups:
            model = type(model.model_fields[group].default)
        return f"unknown key {key!r} (known: {', '.join(model.model_fields)})"
    message = error["msg"].removeprefix("Value error, ")
    return f"{key}: {error['input']!r} cannot be used: {message}"


def read_config(path: Path) -> dict[str, Any]:
    """The values in a YAML file, not yet checked.

    Raises:
        ConfigurationError: it cannot be read, or is no mapping.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error})") from error
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path}: no YAML ({' '.join(str(error).split())})") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: keys with values are needed; see --print-config")
    return values


def set_value(values: dict[str, Any], assignment: str) -> None:
    """Put one KEY=VALUE of the command line, as `loss.sky=0`, into the values.

    Raises:
        ConfigurationError: not of that form.
    """
    key, equals, text = assignment.partition("=")
    *groups, last = key.split(".")
    if not equals or not last:
        raise ConfigurationError(f"{assignment!r}: KEY=VALUE is needed, as loss.sky=0")
    place = values
    for group in groups:
        place = place.setdefault(group, {})
        if not isinstance(place, dict):
            raise ConfigurationError(f"{assignment!r}: {group} has no keys of its own")
    try:
        place[last] = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{assignment!r}: the value is no YAML") from error


def write_config(config: Config) -> str:
    """A YAML file with every key, and what each is for. `make_config` reads it back."""
    return "\n".join(_lines(config, 0)) + "\n"


def _lines(group: Group, depth: int) -> list[str]:
    indent = "  " * depth
    lines = []
    for name, field in type(group).model_fields.items():
        value = getattr(group, name)
        lines.append(f"{indent}# {field.description}")
        if isinstance(value, Group):
            lines += [f"{indent}{name}:", *_lines(value, depth + 1)]
            continue
        plain = list(value) if isinstance(value, tuple) else value
        text = yaml.safe_dump(plain, default_flow_style=True, width=10**6, allow_unicode=True)
        lines.append(f"{indent}{name}: {text.removesuffix(chr(10)).removesuffix('...').rstrip()}")
    return lines
