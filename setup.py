"""Beside setup.cfg: the configs and the list of checkpoints lie at the top, and ship inside."""

from setuptools import find_packages, setup

SHIPPED = ('configs', 'checkpoints')

setup(
    packages=[*find_packages(include=['mim_bench*']), *(f'mim_bench.{name}' for name in SHIPPED)],
    package_dir={f'mim_bench.{name}': name for name in SHIPPED},
)
