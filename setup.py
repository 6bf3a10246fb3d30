"""
What pyproject.toml cannot say well: which packages go in.

``twisted.plugins`` has no ``__init__.py`` (one here would overwrite Twisted's own), so no finder sees it and
it has to be named. ``package_dir`` makes an editable install put the project root on ``sys.path``:
``twisted.plugin`` looks for drop-ins in ``sys.path`` only, so setuptools' default, an import hook, would hide
ours from ``twist``.
"""

from setuptools import find_packages, setup

setup(
    package_dir={"": "."},
    packages=[*find_packages(include=["twistproxy", "twistproxy.*"]), "twisted.plugins"],
    package_data={"twistproxy": ["py.typed"]},
)
