"""What pyproject.toml can't say: whoever builds without the native engine is told so, with the cure.

pip shows what a build prints with `-v` alone; without it the wheel's name tells: py3-none-any has no engine.
"""

import sys

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools_rust import RustExtension, build_rust

LEFT_OUT = """
zkdns: the native engine was LEFT OUT of this build (the reason stands above). Plain Python serves instead,
zkdns: with the same answers. To have it: install Rust 1.85 or newer and a C linker, then
zkdns: pip install --no-cache-dir --force-reinstall --no-deps zkdns (or . from a clone).
"""


class BuildEngine(build_rust):
    built = False

    def run_for_extension(self, ext: RustExtension) -> None:
        super().run_for_extension(ext)
        BuildEngine.built = True

    def run(self) -> None:
        super().run()
        if not self.built:
            print(LEFT_OUT, file=sys.stderr, flush=True)


class Wheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        """Without the engine there is nothing in it that would not run on another machine."""
        return super().get_tag() if BuildEngine.built else ("py3", "none", "any")


setup(cmdclass={"build_rust": BuildEngine, "bdist_wheel": Wheel})
