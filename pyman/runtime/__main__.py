"""`pyman-runtime`: argv to runtime.main. Started by the launcher without site, or by `python -m pyman.runtime`."""

import gc
import posix
import sys
from _frozen_importlib_external import MAGIC_NUMBER
from marshal import loads

ROOT = __file__.rsplit("/", 2)[0]
if not __package__:
    sys.path[0:1] = [ROOT.rsplit("/", 1)[0]]

gc.disable()  # loading modules makes no garbage, only work for the collector; main enables it for what may last

word = next((word for word in sys.argv[1:] if word[:1] != "-"), "").replace("/", "")
# The same lines as in pyman/__main__.py: a module that both read would have to be found in two directories before there is a finder.
bundle = {}
try:  # the finder itself is in the bundle too: importlib would go through two directories for it
    fd = posix.open(f"{ROOT}/__pycache__/bundle-runtime-{word}.{sys.implementation.cache_tag}.bin", posix.O_RDONLY | posix.O_CLOEXEC)
    data = posix.read(fd, posix.fstat(fd).st_size)
    posix.close(fd)
    if data[:4] == MAGIC_NUMBER:
        bundle = loads(memoryview(data)[4:])
        _, time, size, _, code = bundle.pop("pyman.fastimport")
        info = posix.stat(f"{ROOT}/fastimport.py")
        if int(info.st_mtime) == time and info.st_size == size:
            finder = type(sys)("pyman.fastimport")
            finder.__file__ = f"{ROOT}/fastimport.py"
            exec(code, finder.__dict__)
            sys.modules["pyman.fastimport"] = finder
            finder.install(bundle)
    del data
except (OSError, EOFError, ValueError, TypeError, KeyError):
    pass  # there is none, or its installation was interrupted

from pyman import leanos  # noqa: E402

leanos.install()

from pyman import fastimport  # noqa: E402

if fastimport.Finder not in sys.meta_path:
    fastimport.install(bundle)

if sys.stdin is None or sys.stdout is None or sys.stderr is None:
    from pyman.linux import streams

    streams.fill()

fastimport.preload()

from pyman.runtime.main import main  # noqa: E402 (the finder must stand before)

main(sys.argv[1:])
