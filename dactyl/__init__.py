"""The ``dactyl`` command: the one place that knows every stage."""

from vision.versions import package_version

__version__ = package_version("dactyl-vision")
