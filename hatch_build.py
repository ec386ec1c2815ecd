"""Compiles what is written in Cython beside its source, for wheels and for editable installations."""

import os
import runpy
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MODULES = ("lane", "lane_call", "lanes")  # the last one has the digest of what all are compiled from
_BUILT = "build/cython"


class CompileHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's type of a builder's configuration
    """What `[tool.hatch.build.hooks.custom]` runs before anything is packed. CFLAGS say for which processor."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have what came out packed: the wheel is for one platform then."""
        os.chdir(self.root)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        compiled = [Path("server", name + suffix) for name in _MODULES]
        digest = runpy.run_path("server/compiled.py")["sources_digest"]()
        if version != "editable" or not _current(compiled, digest):
            _compile(digest)
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["artifacts"] += [str(path) for path in compiled]


def _current(compiled: list[Path], digest: str) -> bool:
    """Whether nothing has changed since: Make installs twice, without and with what development needs."""
    if not all(path.exists() and path.stat().st_mtime > Path(__file__).stat().st_mtime for path in compiled):
        return False
    return digest.encode() in compiled[-1].read_bytes()


def _compile(digest: str) -> None:
    # of the build only
    from Cython.Build import cythonize  # noqa: PLC0415
    from setuptools import Distribution, Extension  # noqa: PLC0415

    extensions = [
        Extension(
            f"server.{name}",
            [f"server/{name}.pyx"],
            define_macros=[("SHORTLIST_COMPILED_FROM", f'"{digest}"')],
            extra_compile_args=["-O3", "-g0"],
        )
        for name in _MODULES
    ]
    modules = cythonize(extensions, build_dir=_BUILT, quiet=True)
    command = Distribution({"name": "shortlist", "ext_modules": modules}).get_command_obj("build_ext")
    command.inplace, command.build_temp = True, _BUILT
    command.force = True  # what has changed may be the digest alone
    command.ensure_finalized()
    command.run()
