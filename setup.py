"""What pyproject.toml can't say: the engine that was left out, and the README as an index shows it.

pip shows what a build prints with `-v` alone; without it the wheel's name tells: py3-none-any has no engine.
With ZKDNS_BUILD=native in the environment a build without it fails, and pip shows why.
"""

import os
import re
import sys
import tomllib
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools_rust import RustExtension, build_rust

HERE = Path(__file__).parent

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
            if os.environ.get("ZKDNS_BUILD") == "native":
                sys.exit("zkdns: ZKDNS_BUILD=native, and there is none")


class Wheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        """Without the engine there is nothing in it that would not run on another machine."""
        return super().get_tag() if BuildEngine.built else ("py3", "none", "any")


def index_form(text: str, source: str) -> str:
    """The README where its neighbours are not: links lead to `source`, or where there is none are plain
    words; a picture that can't be shown is left out, and so are the comments for our tests."""

    def link(found: re.Match[str]) -> str:
        picture, words, target = found.groups()
        if target.startswith(("http:", "https:", "#")):
            return found[0]
        if source:
            return f"{picture}[{words}]({source}/{'raw' if picture else 'blob'}/main/{target})"
        return "" if picture else words

    text = re.sub(r"<!-- .*? -->\n?", "", text)
    return re.sub(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)", link, text)


urls = tomllib.loads((HERE / "pyproject.toml").read_text())["project"].get("urls", {})
setup(
    cmdclass={"build_rust": BuildEngine, "bdist_wheel": Wheel},
    long_description=index_form((HERE / "README.md").read_text(), urls.get("Source", "")),
    long_description_content_type="text/markdown",
)
