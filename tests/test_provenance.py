"""Versions that are kept of a fit."""

from importlib.metadata import PackageNotFoundError, version

import pytest

from daskgmm.provenance import installed_version, package_versions


def test_versions_are_those_of_the_installed_packages():
    assert package_versions()["numpy"] == version("numpy")
    assert version("daskgmm") == installed_version("daskgmm")
    with pytest.raises(PackageNotFoundError, match="no-such-package"):
        installed_version("no-such-package")
