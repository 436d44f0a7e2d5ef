"""The ``dactyl`` command, the only package that depends on every stage."""

from vision.machine.versions import package_version

__version__ = package_version("dactyl-vision")
