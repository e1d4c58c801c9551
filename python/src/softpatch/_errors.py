"""What calls raise. All are SoftpatchError, with the code of softpatch.h."""

from __future__ import annotations

from . import _abi


class SoftpatchError(Exception):
    """A call failed; `code` is one of the SOFTPATCH_* codes of softpatch.h, the text names the cause and what
    to do."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code

    def __reduce__(self) -> tuple[type[SoftpatchError], tuple[int, str]]:
        # Workers send their errors to the process that waits for them.
        return type(self), (self.code, str(self))


class Cancelled(SoftpatchError):
    """The progress callback returned False."""


class ChoiceError(SoftpatchError):
    """Nothing says which images of the folder are good: give `layout`, `take` or `all`."""


class ForkedError(SoftpatchError):
    """The process was forked from one that had used softpatch: make workers by multiprocessing's "spawn"."""


class Busy(SoftpatchError):
    """As many frames as the stream's limit are in flight, and none was done in time: the frame was not taken
    in."""


_KINDS: dict[int, type[SoftpatchError]] = {
    _abi.CANCELLED: Cancelled,
    _abi.BUSY: Busy,
    _abi.CHOICE: ChoiceError,
    _abi.FORKED: ForkedError,
}


def error_of(code: int, text: str) -> SoftpatchError:
    """The error that stands for a status code."""
    if code == _abi.FORKED:
        text += '. In Python: multiprocessing.set_start_method("spawn") before the first worker'
    return _KINDS.get(code, SoftpatchError)(code, text)
