"""Compiles what is written in Cython beside its source, for wheels and for editable installations."""

import os
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MODULES = ("lane", "lane_call", "lanes")
_BUILT = "build/cython"


class CompileHook(BuildHookInterface):  # type: ignore[type-arg] # hatchling's type of a builder's configuration
    """What `[tool.hatch.build.hooks.custom]` runs before anything is packed. CFLAGS say for which processor."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and have what came out packed: the wheel is for one platform then."""
        os.chdir(self.root)
        suffix = sysconfig.get_config_var("EXT_SUFFIX")
        compiled = [Path("server", name + suffix) for name in _MODULES]
        if version != "editable" or not _newer(compiled):
            _compile()
        build_data["pure_python"], build_data["infer_tag"] = False, True
        build_data["artifacts"] += [str(path) for path in compiled]


def _newer(compiled: list[Path]) -> bool:
    """Whether nothing has changed since: Make installs twice, without and with what development needs."""
    sources = [*Path("server").glob("*.pyx"), *Path("server").glob("*.pxd"), Path(__file__)]
    newest = max(path.stat().st_mtime for path in sources)
    return all(path.exists() and path.stat().st_mtime > newest for path in compiled)


def _compile() -> None:
    # of the build only
    from Cython.Build import cythonize  # noqa: PLC0415
    from setuptools import Distribution, Extension  # noqa: PLC0415

    extensions = [
        Extension(f"server.{name}", [f"server/{name}.pyx"], extra_compile_args=["-O3", "-g0"]) for name in _MODULES
    ]
    modules = cythonize(extensions, build_dir=_BUILT, quiet=True)
    command = Distribution({"name": "shortlist", "ext_modules": modules}).get_command_obj("build_ext")
    command.inplace, command.build_temp = True, _BUILT
    command.ensure_finalized()
    command.run()
