"""Puts the compiled launcher and the engine's front into the wheel, where there is a compiler, and the front into the
checkout of an editable install; everything else is in pyproject.toml."""

from __future__ import annotations

import functools
import os
import runpy
import tempfile

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

HERE = os.path.dirname(os.path.abspath(__file__))
# by path: a build has neither this directory nor the package on its import path
BUILD = runpy.run_path(os.path.join(HERE, "launcher", "build.py"))
ENGINE = os.path.join("netd", "engine")


@functools.cache
def launcher() -> bytes | None:
    """The compiled launcher, None where no compiler works; `pynet install` tries again or takes the Python twin."""
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, BUILD["BINARY"])
        if BUILD["compile_launcher"](path) is None:
            return None
        with open(path, "rb") as file:
            return file.read()


class BuildWithLauncher(build_py):
    def run(self) -> None:
        super().run()
        if launcher() is None:
            return
        top = HERE if self.editable_mode else self.build_lib
        BUILD["compile_library"](os.path.join(top, ENGINE, "libfront.so"), os.path.join(HERE, ENGINE, "front.c"))
        if self.editable_mode:
            return
        path = os.path.join(self.build_lib, "pycni_launcher", BUILD["BINARY"])
        with open(path, "wb") as file:
            file.write(launcher() or b"")
        os.chmod(path, 0o755)


class WithLauncher(Distribution):
    def has_ext_modules(self) -> bool:
        """What makes a wheel one for this platform."""
        return launcher() is not None


class WheelForAnyPython(bdist_wheel):
    """The launcher depends on the platform, but not on the version of Python."""

    def get_tag(self) -> tuple[str, str, str]:
        python, abi, platform = super().get_tag()
        return (python, abi, platform) if self.root_is_pure else ("py3", "none", platform)


setup(distclass=WithLauncher, cmdclass={"build_py": BuildWithLauncher, "bdist_wheel": WheelForAnyPython})
