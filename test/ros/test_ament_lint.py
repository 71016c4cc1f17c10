# SPDX-License-Identifier: Apache-2.0
"""The linters that ROS packages run under colcon test, configured to agree with ruff.

ament_copyright is left out: it requires a licence text at the top of each file. This package uses
the SPDX line, which is checked here.
"""

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = [str(ROOT / name) for name in ("benchmarks", "depth_recog", "launch", "setup.py", "test")]
ABSENT = "no {} here (it is not on PyPI)"


def test_every_file_names_its_licence() -> None:
    patterns = ("*.py", "*.yaml", "*.rviz", "*.xml", "*.toml", "Makefile")
    files = [path for folder in FOLDERS for path in Path(folder).rglob("*.py")]
    files += [path for name in patterns for path in ROOT.glob(name) if path.name != "package.xml"]
    files += [path for path in (ROOT / "config").rglob("*") if path.is_file()]
    assert len(files) > 100
    for path in files:
        head = "".join(path.read_text(encoding="utf-8").splitlines(keepends=True)[:3])
        assert "SPDX-License-Identifier: Apache-2.0" in head, path


def test_flake8() -> None:
    flake8 = pytest.importorskip("ament_flake8.main", reason=ABSENT.format("ament_flake8"))
    code, errors = flake8.main_with_errors(argv=["--config", str(ROOT / "setup.cfg"), *FOLDERS])
    assert code == 0, "\n".join(errors)


def test_pep257() -> None:
    pep257 = pytest.importorskip("ament_pep257.main", reason=ABSENT.format("ament_pep257"))
    # As in pyproject.toml. D402 misreads "at (N, 2) pixels" and D403 misreads "RViz".
    ignored = ["D105", "D107", "D402", "D403"]
    options = ["--convention", "google", "--add-ignore", *ignored, "--"]
    code = pep257.main(argv=[*options, str(ROOT / "depth_recog"), str(ROOT / "launch")])
    assert code == 0


def test_package_xml_is_valid() -> None:
    package = pytest.importorskip("catkin_pkg.package", reason="no catkin_pkg here")
    warnings: list[str] = []
    found = package.parse_package(str(ROOT / "package.xml"), warnings=warnings)
    found.validate(warnings=warnings)
    assert warnings == []
    assert found.get_build_type() == "ament_python"


def test_xmllint() -> None:
    xmllint = pytest.importorskip("ament_xmllint.main", reason=ABSENT.format("ament_xmllint"))
    if shutil.which("xmllint") is None:
        pytest.skip("no xmllint here (Debian: libxml2-utils)")
    assert xmllint.main(argv=[str(ROOT / "package.xml")]) == 0
