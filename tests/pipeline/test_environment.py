"""Tests that pyproject.toml, constraints.txt and every way to install agree on the packages."""

import ast
import importlib.metadata
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPO = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
DIRECT = [Requirement(r) for r in PROJECT["dependencies"] + sum(EXTRAS.values(), [])]
PINS = {
    canonicalize_name(name): Version(version)
    for name, version in (
        line.split("==")
        for line in (REPO / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    )
}


def test_every_direct_dependency_is_pinned_within_its_bounds():
    for requirement in DIRECT:
        if requirement.name != PROJECT["name"]:
            pin = PINS[canonicalize_name(requirement.name)]
            assert pin in requirement.specifier, f"{requirement} against the pin {pin}"


def test_known_incompatibilities_stay_out():
    assert PINS["torch"] == Version("2.13.0") and PINS["torch"].local is None
    assert PINS["pandas"] < Version("3") and PINS["setuptools"] < Version("82")


def test_dependencies_of_the_pinned_packages_are_pinned_too():
    loose = set()
    for name in PINS:
        try:
            required = importlib.metadata.requires(name) or []
        except importlib.metadata.PackageNotFoundError:
            continue  # pinned for another system, or for an extra that is not installed
        for requirement in map(Requirement, required):
            needed = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
            if needed and canonicalize_name(requirement.name) not in PINS:
                loose.add(requirement.name)
    assert {name for name in loose if not name.startswith(("nvidia", "cuda", "triton"))} == set()


@pytest.mark.parametrize("name", sorted({r.name for r in DIRECT} - {PROJECT["name"]}))
def test_what_is_installed_is_what_is_pinned(name):
    try:
        installed = Version(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        spared = {
            Requirement(r).name for extra in ("cluster", "judge", "gguf") for r in EXTRAS[extra]
        }
        assert name in spared, "an extra tests do without"
        return
    assert Version(installed.public) == PINS[canonicalize_name(name)]


def test_conda_and_make_install_the_same_set():
    conda = yaml.safe_load((REPO / "environment.yml").read_text())
    plain = [entry for entry in conda["dependencies"] if isinstance(entry, str)]
    assert plain == ["python=3.11", "pip"], "packages come through pip and its constraints alone"
    assert conda["dependencies"][-1] == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    assert "install --quiet -c constraints.txt -e '.[dev]'" in (REPO / "Makefile").read_text()


def test_the_python_versions_agree():
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (REPO / "Makefile").read_text()
    assert (3, 11) <= sys.version_info[:2] <= (3, 13)


def test_everything_the_library_imports_is_declared():
    modules = set()
    for file in (REPO / "ecg_lib").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                modules.add(node.module.split(".")[0])
    modules -= {*sys.stdlib_module_names, "ecg_lib"}
    providers = importlib.metadata.packages_distributions()
    declared = {canonicalize_name(requirement.name) for requirement in DIRECT}
    undeclared = {
        module
        for module in modules
        if not declared & {canonicalize_name(name) for name in providers.get(module, [module])}
    }
    assert undeclared == set(), "add these to the dependencies in pyproject.toml"
