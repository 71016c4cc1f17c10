# SPDX-License-Identifier: Apache-2.0
"""Formats the figures without truth for the terminal."""

from __future__ import annotations

from typing import Any

from depth_recog.evaluation.table import columns, frames_line, number

_NOT = "not measurable here"


def table(figures: dict[str, Any]) -> str:
    """Format figures with those of `recording.judge`, each with what it rests on."""
    measured = figures["without_truth"]
    rows = [
        ["measured without truth", "value", "+-", "row fit", "constant", "unmoved", "rests on"],
        _row("against triangulated points, abs_rel", measured["triangulation"]),
        *_thirds(measured["triangulation"]),
        _row("flicker", measured["flicker"]),
        _row("warp error", measured["warp"]),
        *_road(measured["road"], measured["unit"]),
    ]
    aligned = columns([row[:-1] for row in rows]).splitlines()
    widest = max(len(line) for line in aligned)
    lines = [
        f"{line.ljust(widest)}  {row[-1]}".rstrip() for line, row in zip(aligned, rows, strict=True)
    ]
    return "\n\n".join((frames_line(figures), "\n".join(lines), "\n".join(_sentences(measured))))


def _row(name: str, figure: dict[str, Any], key: str = "value", digits: int = 3) -> list[str]:
    if key not in figure:
        return [name, "-", "", "", "", "", f"{_NOT}: {figure['why']}"]
    beside = (number(figure[n], digits) if n in figure else "" for n in _BESIDE)
    error = number(figure["standard_error"], digits)
    return [name, number(figure[key], digits), error, *beside, _rests(figure)]


_BESIDE = ("row_fit", "constant", "unmoved")


def _rests(figure: dict[str, Any]) -> str:
    of = "pairs" if "pairs" in figure else "frames"
    text = f"{figure[of]} of {figure['asked']} {of}"
    for unit in ("points", "pixels"):
        if unit in figure:
            text += f", {figure[unit]} {unit} each"
    return text


def _thirds(figure: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, third in figure.get("by_distance", {}).items():
        own, fit = number(third["value"]), number(third["row_fit"])
        rows.append([f"  {name} third of the points", own, "", fit, "", "", ""])
    return rows


def _road(figure: dict[str, Any], unit: str) -> list[list[str]]:
    rows = [_row("road, unevenness", figure, "unevenness")]
    if "height" in figure:
        named = "metres" if unit == "metres" else "the network's unit"
        rows.append([f"  height of the camera, {named}", number(figure["height"], 2)])
        rows.append(["  its spread over the frames", number(figure["height_spread"])])
    return [row + [""] * (7 - len(row)) for row in rows]


def _sentences(figures: dict[str, Any]) -> list[str]:
    found = figures["triangulation"]
    lines = []
    if "value" in found:
        gain = 1 - found["value"] / found["row_fit"]
        side = "below" if gain >= 0 else "ABOVE"
        lines.append(
            f"The error against the points is {abs(gain):.0%} {side} that of a quadratic fit of "
            f"the image row to the same points; the points' own deviation is "
            f"{found['point_std']:.3f}."
        )
    scale = found.get("scale_to_recorded_poses")
    if scale:
        lines.append(
            f"Recorded motion / motion in the depth's unit: {scale['median']:.3f}, spread "
            f"{scale['spread']:.3f} ({scale['pairs']} pairs)."
        )
    if figures["without_points"]:
        reasons = [f"{count} {why}" for why, count in figures["without_points"].items()]
        lines.append(f"Pairs without points: {'; '.join(reasons)}.")
    return lines
