# SPDX-License-Identifier: Apache-2.0
"""Formats the figures for the terminal."""

from __future__ import annotations

from typing import Any

from depth_recog.evaluation.depth_errors import METRICS
from depth_recog.evaluation.uncertainty import DROPPED

_AXES = {"by_range": "range in metres", "by_class": "class", "by_motion": "motion"}


def table(figures: dict[str, Any]) -> str:
    """Format `Evaluation.figures`."""
    parts = [frames_line(figures)]
    if "depth" in figures:
        parts += [_methods(figures), verdict_sentence(figures)]
        parts += [_groups(figures["depth"], axis) for axis in _AXES if axis in figures["depth"]]
        parts.append(_uncertainty(figures["depth"].get("uncertainty")))
        parts.append(_flicker(figures["flicker"]))
    if "pose" in figures:
        parts.append(_pose(figures["pose"]))
    if "gate" in figures:
        parts.append(_gate(figures["gate"]))
    return "\n\n".join(part for part in parts if part)


def verdict_sentence(figures: dict[str, Any]) -> str:
    """State whether the method is a third better than the row mean."""
    verdict = figures["verdict"]
    if verdict["gain"] is None:
        return "No row mean to compare with."
    share = f"{abs(verdict['gain']):.0%} {'below' if verdict['gain'] >= 0 else 'ABOVE'}"
    compared = f"abs_rel, median-scaled, is {share} the row mean's"
    if verdict["beats_row_mean"]:
        return f"{compared}."
    return f"{compared}; less than a third below it, the network is hardly better than no network."


def columns(rows: list[list[str]]) -> str:
    """Align rows of equal length: the first column left, the others right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float | None, digits: int = 3) -> str:
    """Format a value; a dash for None."""
    return "-" if value is None else f"{value:.{digits}f}"


def frames_line(figures: dict[str, Any]) -> str:
    """Say how many frames were judged, and which of them the weights were trained on."""
    frames = figures["frames"]
    text = f"{frames['answered']} of {frames['asked']} frames answered"
    splits = frames.get("splits")
    if splits:
        inside = [f"{splits[n]} of {n}" for n in ("train", "validation", "test") if splits[n]]
        text += f"; in splits: {', '.join(inside) or 'none'}"
        for name, count in splits["trained_on"].items():
            if count is None:
                text += f"\n{name}: unknown whether it was trained on these frames"
            elif count:
                text += f"\n{name} was TRAINED ON {count} of these frames"
    return text


def _methods(figures: dict[str, Any]) -> str:
    methods = {"answer": figures["depth"], **figures["baselines"]}
    rows = [["depth", "", *METRICS, "scale", "spread"]]
    for name, result in methods.items():
        if not result.get("images"):
            continue
        scale = [number(result["scale"]["median"]), number(result["scale"]["spread"])]
        for first, kind, last in ((name, "unscaled", scale), ("", "median_scaled", ["", ""])):
            metrics = (number(result[kind][m], 2 if m == "silog" else 3) for m in METRICS)
            rows.append([first, kind.replace("_", "-"), *metrics, *last])
    depth = figures["depth"]
    note = f"{depth['images']} images, {depth['pixels']} pixels, {depth['coverage']:.1%} answered"
    return columns(rows) + f"\n({note})"


def _groups(depth: dict[str, Any], axis: str) -> str:
    rows = [[_AXES[axis], "pixels", "abs_rel", "a1", "scaled abs_rel", "scaled a1"]]
    for name, group in depth[axis].items():
        kinds = group["unscaled"], group["median_scaled"]
        shares = (number(kind[metric]) for kind in kinds for metric in ("abs_rel", "a1"))
        rows.append([name, str(group["pixels"]), *shares])
    if axis == "by_class":
        rows[0][0] = f"class (labels: {depth['labels']})"
    return columns(rows)


def _uncertainty(figures: dict[str, Any] | None) -> str:
    if figures is None:
        return ""
    rows = [["standard deviation", "pixels", "within one", "abs_rel", "without the least certain"]]
    for name, group in {"all": figures, **figures["by_range"]}.items():
        for kind in ("unscaled", "median_scaled"):
            part = group[kind]
            first = name if kind == "unscaled" else "  median-scaled"
            pixels = str(group["pixels"]) if kind == "unscaled" else ""
            shares = number(part["abs_rel"]), number(part["abs_rel_certain"])
            rows.append([first, pixels, f"{part['within_one_std']:.0%}", *shares])
    note = f"{DROPPED:.0%} of the pixels are the least certain: above {figures['threshold']:.3f}"
    return columns(rows) + f"\n(68 % should be within one; {note})"


def _flicker(flicker: dict[str, Any]) -> str:
    if not flicker["pairs"]:
        return ""
    return (
        f"flicker, |log ratio| of warped and next depth: median {flicker['median']:.4f}, "
        f"mean {flicker['mean']:.4f} ({flicker['pairs']} pairs)"
    )


def _pose(pose: dict[str, Any]) -> str:
    rows = [["pose", "median", "mean", "p90"]]
    labels = {
        "rotation_degrees": "rotation degrees a pair",
        "rotation_degrees_per_frame": "rotation degrees a frame",
        "translation_percent": "translation percent a pair",
        "direction_degrees": "direction degrees a pair",
    }
    for name, label in labels.items():
        if name in pose:
            rows.append([label, *map(number, pose[name].values())])
    apart = pose.get("frames_apart")
    text = columns(rows) + f"\n({pose['pairs']} pairs, {pose['unanswered']} unanswered"
    text += f", {apart:.1f} frames apart)" if apart else ")"
    if "scale" in pose:
        scale = pose["scale"]
        text += (
            f"\nestimated / true length: median {scale['median']:.3f}, "
            f"spread {scale['spread']:.3f}, "
            f"drift {number(scale['drift_percent_per_100m'], 1)} % per 100 m"
        )
    trajectory = pose.get("trajectory", {})
    for kind in ("unscaled", "median_scaled"):
        if kind in trajectory:
            part = trajectory[kind]
            text += (
                f"\ntrajectory, {kind.replace('_', '-')}, over {trajectory['segment_m']:.0f} m: "
                f"{part['translation_percent']:.1f} %, "
                f"{part['rotation_degrees_per_100m']:.2f} degrees per 100 m"
            )
    return text


def _gate(gate: dict[str, Any]) -> str:
    rows = [["gate, by track", "value", "95 % interval"]]
    for name in (
        "auc",
        "recall",
        "recall_prompt",
        "seconds_to_detect",
        "false_positive_rate",
        "undecided",
    ):
        if name in gate:
            g = gate[name]
            interval = f"{g['low']:.2f} to {g['high']:.2f}"
            rows.append([name.replace("_", " "), number(g["value"], 2), interval])
    counts = f"({gate['moving_tracks']} moving tracks, {gate['parked_tracks']} parked)"
    return f"{columns(rows)}\n{counts}"
