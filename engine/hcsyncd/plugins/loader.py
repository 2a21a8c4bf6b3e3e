"""Loading a site's ``transforms/``: from sources held in memory, under a private package name for each generation.

A generation is read from disk once. What a worker loads later, after a restart, is what was read then, however the
files have changed since; so one generation never runs two versions of a function. Files may import one another
relatively (``from .names import ward``); nothing of a site is ever found through ``sys.path``.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from msgspec import Struct

from hcsyncd.errors import PluginError
from hcsyncd.plugins.api import MARK

PACKAGE = "_hcsyncd_site_"

Plugin = Callable[..., Any]


class Fault(Struct, frozen=True, order=True):
    """One thing wrong with a transform file. ``file`` is relative to the site (``transforms/events.py``); ``line`` and
    ``column`` count from 1."""

    file: str
    line: int
    column: int
    code: str
    text: str
    hint: str = ""

    def __str__(self) -> str:
        hint = f" ({self.hint})" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column} error {self.code}: {self.text}{hint}"


class Sources(Struct, frozen=True):
    """The files of a ``transforms/`` folder as they were read: path below the folder -> content."""

    folder: str
    files: dict[str, bytes]

    @classmethod
    def read(cls, folder: Path) -> Sources:
        """Every ``*.py`` below the folder, sub-folders too; a folder that is not there has none. Raises PluginError
        when a file cannot be read."""
        files = {}
        for path in sorted(folder.rglob("*.py")):
            relative = path.relative_to(folder)
            if any(part.startswith((".", "__pycache__")) for part in relative.parts) or not path.is_file():
                continue
            try:
                files[relative.as_posix()] = path.read_bytes()
            except OSError as error:
                raise PluginError(f"{folder.name}/{relative}: cannot be read: {error.strerror}") from error
        return cls(str(folder), files)

    def label(self, relative: str) -> str:
        """How a file is named to a person: ``transforms/events.py``."""
        return f"{Path(self.folder).name}/{relative}"


class Plugins:
    """The marked functions of one generation, by ``file.function``. Empty where there is not even one file."""

    def __init__(self, sources: Sources, transforms: Mapping[str, Plugin], filters: Mapping[str, Plugin]) -> None:
        self.sources = sources
        self._transforms = transforms
        self._filters = filters

    def transform(self, name: str) -> Plugin:
        """Raises PluginError when no transform has this name."""
        return self._find(name, self._transforms, "transform")

    def filter(self, name: str) -> Plugin:
        """Raises PluginError when no filter has this name."""
        return self._find(name, self._filters, "filter")

    def names(self) -> dict[str, str]:
        """Every function's role, by its name."""
        return dict.fromkeys(self._transforms, "transform") | dict.fromkeys(self._filters, "filter")

    def _find(self, name: str, functions: Mapping[str, Plugin], role: str) -> Plugin:
        found = functions.get(name)
        if found is None:
            known = ", ".join(sorted(functions)) or "none"
            raise PluginError(f"there is no {role} {name!r} in {Path(self.sources.folder).name}/; known: {known}")
        return found


class FaultyPlugins(PluginError):
    """Some transform files cannot be loaded; ``faults`` are all that was found, in all files."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)


def load_plugins(sources: Sources, generation: int, before: Callable[[str], None] = lambda _label: None) -> Plugins:
    """Import every file under the generation's package. ``before`` is told each file before it is imported. Raises
    FaultyPlugins with what is wrong in all of them; nothing of the generation stays loaded then."""
    unload(generation)
    package = f"{PACKAGE}{generation}"
    finder = _SourceFinder(package, sources)
    sys.meta_path.insert(0, finder)
    transforms: dict[str, Plugin] = {}
    filters: dict[str, Plugin] = {}
    faults: set[Fault] = set()
    for name, relative in finder.modules.items():
        before(sources.label(relative))
        try:
            module = importlib.import_module(f"{package}.{name}" if name else package)
        except (Exception, SystemExit) as error:  # whatever a file does is a finding
            faults.add(_import_fault(error, sources, relative))
            continue
        for function_name, role, function in _marked(module):
            (transforms if role == "transform" else filters)[f"{name}.{function_name}"] = function
            faults.update(_signature_faults(function, role, sources, relative))
    if faults:
        unload(generation)
        raise FaultyPlugins(sorted(faults))
    return Plugins(sources, transforms, filters)


def unload(generation: int) -> None:
    """Drop a generation's modules; functions that are still held go on working."""
    package = f"{PACKAGE}{generation}"
    sys.meta_path[:] = [
        finder for finder in sys.meta_path if not (isinstance(finder, _SourceFinder) and finder.package == package)
    ]
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        del sys.modules[name]


class _SourceFinder(MetaPathFinder, InspectLoader):
    """Finds and loads the modules of one generation, and nothing else."""

    def __init__(self, package: str, sources: Sources) -> None:
        self.package = package
        self._sources = sources
        self.modules = {_module_name(relative): relative for relative in sources.files}
        parents = {name.rpartition(".")[0] for name in self.modules} | {""}
        self._packages = parents | {parent.rpartition(".")[0] for parent in parents}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the interface's own
        target: ModuleType | None = None,  # noqa: ARG002 - importlib's signature
    ) -> ModuleSpec | None:
        name = self._inner(fullname)
        if name is None or (name not in self.modules and name not in self._packages):
            return None
        spec = importlib.util.spec_from_loader(
            fullname, self, origin=self._file(name), is_package=self.is_package(fullname)
        )
        if spec is not None:
            spec.has_location = True
        return spec

    def is_package(self, fullname: str) -> bool:
        name = self._inner(fullname) or ""
        return name in self._packages or self.modules.get(name, "").endswith("__init__.py")

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._content(fullname))

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self._content(fullname), self._file(self._inner(fullname) or ""))

    def _content(self, fullname: str) -> bytes:
        relative = self.modules.get(self._inner(fullname) or "")
        return b"" if relative is None else self._sources.files[relative]

    def _file(self, name: str) -> str:
        relative = self.modules.get(name, name.replace(".", "/"))
        return str(Path(self._sources.folder) / relative)

    def _inner(self, fullname: str) -> str | None:
        """The module's name inside the package, "" for the package itself, None when it is not ours."""
        if fullname == self.package:
            return ""
        return fullname[len(self.package) + 1 :] if fullname.startswith(f"{self.package}.") else None


def _module_name(relative: str) -> str:
    parts = relative.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _marked(module: ModuleType) -> list[tuple[str, str, Plugin]]:
    return [
        (name, role, value)
        for name, value in vars(module).items()
        if callable(value) and isinstance(role := getattr(value, MARK, None), str)
    ]


def _import_fault(error: BaseException, sources: Sources, relative: str) -> Fault:
    if isinstance(error, SyntaxError) and error.filename:
        label = _label_of(error.filename, sources) or sources.label(relative)
        return Fault(label, error.lineno or 1, max(error.offset or 1, 1), "plugin-syntax", error.msg)
    file, line = innermost_frame(error, sources) or (sources.label(relative), 1)
    hint = ""
    if isinstance(error, ModuleNotFoundError) and error.name:
        sibling = error.name.split(".")[0]
        if any(name.split(".")[0] == sibling for name in map(_module_name, sources.files)):
            hint = f"files beside this one are imported relatively: from .{sibling} import ..."
    if isinstance(error, SystemExit):
        return Fault(file, line, 1, "plugin-exit", "the file ends its process when it is imported")
    return Fault(file, line, 1, "plugin-import", f"{type(error).__name__}: {error}", hint)


def _signature_faults(function: Plugin, role: str, sources: Sources, relative: str) -> list[Fault]:
    code = getattr(inspect.unwrap(function), "__code__", None)
    file = (_label_of(code.co_filename, sources) if code else None) or sources.label(relative)
    line = code.co_firstlineno if code else 1
    name = getattr(function, "__name__", role)
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        text = f"{name} is a coroutine or a generator; a {role} is a plain function that returns its result"
        return [Fault(file, line, 1, "plugin-signature", text)]
    try:
        inspect.signature(function).bind(None, None)
    except (TypeError, ValueError) as error:
        text = f"{name} cannot be called as {name}(document, context): {error}"
        return [Fault(file, line, 1, "plugin-signature", text)]
    return []


def innermost_frame(error: BaseException, sources: Sources) -> tuple[str, int] | None:
    """File and line of the deepest frame that is the site's own; None when the error never passed through one."""
    found = None
    trace = error.__traceback__
    while trace is not None:
        label = _label_of(trace.tb_frame.f_code.co_filename, sources)
        if label:
            found = (label, trace.tb_lineno)
        trace = trace.tb_next
    return found


def _label_of(filename: str, sources: Sources) -> str | None:
    root = sources.folder.rstrip("/") + "/"
    return sources.label(filename[len(root) :]) if filename.startswith(root) else None
