# SPDX-License-Identifier: Apache-2.0
"""Writes the figures as one self-contained HTML page."""

from __future__ import annotations

import base64
import io
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from depth_recog.errors import ConfigurationError
from depth_recog.evaluation.depth_errors import METRICS
from depth_recog.evaluation.depth_tally import DepthTally
from depth_recog.evaluation.evaluate import Evaluation, Example
from depth_recog.evaluation.table import verdict_sentence
from depth_recog.pictures import depth_colors
from depth_recog.texts import plain

_TEMPLATE = Path(__file__).with_name("report.html.j2")
_WIDTH = 900
_ERROR_RANGE = 0.5


def check_installed() -> None:
    """Raise a ConfigurationError where matplotlib or Jinja2 is not installed."""
    for name in ("jinja2", "matplotlib"):
        if find_spec(name) is None:
            raise ConfigurationError(
                f"the HTML report needs {name}: pip install 'depth-recog[report]'"
            )


def write_html(evaluation: Evaluation) -> str:
    """Return the page's text. Raises ConfigurationError as `check_installed`."""
    check_installed()
    import jinja2

    figures = evaluation.figures
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["figure"] = _figure
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    methods = {"answer": figures["depth"], **figures["baselines"]} if "depth" in figures else {}
    return template.render(
        f=_plain(figures),
        methods={name: m for name, m in methods.items() if m.get("images")},
        metrics=METRICS,
        verdict=verdict_sentence(figures) if "depth" in figures else "",
        plots=_plots(evaluation),
        examples=[
            (title, example, _picture(example))
            for title, example in (("Best", evaluation.best), ("Worst", evaluation.worst))
            if example is not None
        ],
        error_range=_ERROR_RANGE,
    )


def _plain(value: Any) -> Any:
    """Names from recordings and run.json without control characters and half surrogates."""
    if isinstance(value, dict):
        return {_plain(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return plain(value) if isinstance(value, str) else value


def _figure(value: Any) -> str:
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _plots(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Return captions and SVG texts."""
    plots = []
    if evaluation.depth.images > 1:
        caption = "median-scaled abs_rel and scale, frame by frame"
        plots.append((caption, _series(evaluation.depth)))
    if evaluation.figures.get("depth", {}).get("by_range"):
        plots.append(("abs_rel by true range", _ranges(evaluation.figures)))
    if evaluation.paths is not None:
        caption = "path of the camera from above, metres; the estimated one moved to the true start"
        plots.append((caption, _paths(*evaluation.paths)))
    return plots


def _svg(figure: Any) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _series(depth: DepthTally) -> str:
    from matplotlib.figure import Figure

    figure = Figure((9, 3.2))
    upper, lower = figure.subplots(2, 1, sharex=True)
    upper.plot(depth.abs_rel, color="#1f5fa8")
    upper.set_ylabel("abs_rel")
    upper.set_ylim(bottom=0)
    lower.plot(depth.scales, color="#b3541e")
    lower.axhline(1.0, color="#999999", linewidth=0.8)
    lower.set_ylabel("scale")
    lower.set_xlabel(
        f"frame, {plain(depth.names[0])} to {plain(depth.names[-1])}", parse_math=False
    )
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    return _svg(figure)


def _ranges(figures: dict[str, Any]) -> str:
    from matplotlib.figure import Figure

    figure = Figure((9, 2.6))
    axes = figure.subplots()
    methods = {"answer": figures["depth"]}
    if figures["baselines"].get("row_mean", {}).get("images"):
        methods["row mean"] = figures["baselines"]["row_mean"]
    names = list(figures["depth"]["by_range"])
    bars = [
        (name, kind, [m["by_range"].get(n, {}).get(kind, {}).get("abs_rel", 0.0) for n in names])
        for name, m in methods.items()
        for kind in ("unscaled", "median_scaled")
    ]
    colors = ("#1f5fa8", "#8fb6de", "#7a7a7a", "#c4c4c4")
    for i, ((name, kind, values), color) in enumerate(zip(bars, colors, strict=False)):
        places = np.arange(len(names)) + (i - len(bars) / 2 + 0.5) * 0.2
        axes.bar(places, values, 0.19, color=color, label=f"{name}, {kind.replace('_', '-')}")
    axes.set_xticks(range(len(names)), [f"{n} m" for n in names])
    axes.set_ylabel("abs_rel")
    axes.grid(axis="y", alpha=0.3)
    axes.legend(fontsize=8)
    return _svg(figure)


def _paths(estimated: NDArray[np.float64], true: NDArray[np.float64]) -> str:
    from matplotlib.figure import Figure

    figure = Figure((9, 4.0))
    axes = figure.subplots()
    for path, color, label in ((true, "#444444", "true"), (estimated, "#1f5fa8", "estimated")):
        axes.plot(path[:, 0], path[:, 2], color=color, label=label)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("x, right")
    axes.set_ylabel("z, ahead")
    axes.grid(alpha=0.3)
    axes.legend()
    return _svg(figure)


def _picture(example: Example) -> str:
    """Return image, scaled depth, truth and error, one below the other, as a data URL."""
    height, width = example.truth.shape
    size = (_WIDTH, round(height * _WIDTH / width))
    depth = (example.depth * np.float32(example.scale)).astype(np.float32)
    known = (example.truth > 0) & np.isfinite(example.truth)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.abs(depth - example.truth) / example.truth
    truth = np.where(known, example.truth, np.nan).astype(np.float32)
    rows = [
        cv2.resize(example.image, size, interpolation=cv2.INTER_AREA),
        cv2.resize(depth_colors(depth), size, interpolation=cv2.INTER_AREA),
        _dots(depth_colors(truth), known, size),
        _dots(_error_colors(error), known, size),
    ]
    pixels = np.vstack(rows)[..., ::-1]
    encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])[1]
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()


def _error_colors(error: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Colour errors: blue for 0, red for half of the truth and more."""
    level = np.nan_to_num(np.clip(error / _ERROR_RANGE, 0, 1), nan=0.0)
    colors = cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(colors[..., ::-1])


def _dots(
    colors: NDArray[np.uint8], known: NDArray[np.bool_], size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Resize a map; the pixels of a sparse one are enlarged first to be visible."""
    colors = np.where(known[..., None], colors, 0).astype(np.uint8)
    if known.mean() < 0.3:
        grown = cv2.dilate(colors, np.ones((3, 3), np.uint8))
        colors = np.where(known[..., None], colors, grown).astype(np.uint8)
    return np.asarray(cv2.resize(colors, size, interpolation=cv2.INTER_AREA), np.uint8)
