"""scripts/get-backends as the module `backends`, for other scripts that fetch packages of Debian without root."""

from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path

_PATH = Path(__file__).resolve().parent / "get-backends"
_SPEC = spec_from_loader("get_backends", SourceFileLoader("get_backends", str(_PATH)))
backends = module_from_spec(_SPEC)
_SPEC.loader.exec_module(backends)
