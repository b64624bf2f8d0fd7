"""What pyproject.toml cannot say: the folder ``datasets/`` installs as the package ``gnnkg.manifests``."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["gnnkg", "gnnkg.*"]), "gnnkg.manifests"],
    package_dir={"gnnkg.manifests": "datasets"},
    package_data={"gnnkg": ["py.typed", "quickstart/*.yaml"], "gnnkg.manifests": ["*.yaml"]},
)
