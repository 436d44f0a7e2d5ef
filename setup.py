"""What pyproject.toml cannot say: a built package holds a copy of ``configs/``, as ``vision/configs``."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """An editable installation finds the folder itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            shutil.copytree("configs", Path(self.build_lib) / "vision" / "configs", dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithConfigs})
