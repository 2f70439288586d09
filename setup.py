"""The packages of a wheel: `gan` with the configuration files of `conf/` inside, and Hydra's plugins."""

from setuptools import find_namespace_packages, setup

folders = find_namespace_packages("conf")
setup(
    packages=[
        *find_namespace_packages(include=["gan", "gan.*", "hydra_plugins"], exclude=["*__pycache__*"]),
        *("gan.conf", *(f"gan.conf.{folder}" for folder in folders)),
    ],
    package_dir={"gan.conf": "conf"},
    package_data={"": ["*"]},
)
