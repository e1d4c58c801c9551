"""How far long work is: shown by tqdm or on a terminal, or told to a function; and what stops it, Ctrl-C above all."""

from __future__ import annotations

import importlib
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _abi
from ._library import Progress
from ._errors import Cancelled

if TYPE_CHECKING:
    from typing_extensions import Self

# Hears (stage, done, total), and stops the work by returning False.
ProgressFunction = Callable[[str, int, int], Optional[bool]]
# True: a bar of tqdm where that is installed, else a line on the terminal, if there is one.
ProgressLike = Union[None, bool, ProgressFunction]


class _Bar:
    """A bar of tqdm for each stage."""

    def __init__(self, tqdm: Any) -> None:
        self._tqdm, self._bar, self._stage = tqdm, None, ""

    def __call__(self, stage: str, done: int, total: int) -> None:
        if self._bar is None or stage != self._stage:
            self.close()
            with warnings.catch_warnings():
                # In a notebook without widgets it warns, and draws text.
                warnings.simplefilter("ignore")
                self._bar = self._tqdm(total=total, desc=stage)
            self._stage = stage
        bar: Any = self._bar
        bar.total = total
        bar.update(done - bar.n)

    def close(self) -> None:
        """Ends the bar of the last stage."""
        if self._bar is not None:
            self._bar.close()


class _Line:
    """A line of the terminal for each stage."""

    def __init__(self) -> None:
        self._shown: tuple[str, int, int] | None = None

    def __call__(self, stage: str, done: int, total: int) -> None:
        if (stage, done, total) != self._shown:
            end = "" if self._shown is None or self._shown[0] == stage else "\n"
            sys.stderr.write(f"{end}\r{stage} {done}/{total}\x1b[K")
            sys.stderr.flush()
            self._shown = stage, done, total

    def close(self) -> None:
        """Ends the line."""
        if self._shown is not None:
            sys.stderr.write("\n")


def _shown() -> _Bar | _Line | None:
    try:
        return _Bar(importlib.import_module("tqdm.auto").tqdm)
    except ImportError:
        return _Line() if sys.stderr is not None and sys.stderr.isatty() else None


class Told:
    """Whoever is told how far work is, for the length of a `with`."""

    def __init__(self, progress: ProgressLike) -> None:
        if progress is not None and not isinstance(progress, bool) and not callable(progress):
            raise TypeError(f"progress is {progress!r}; it takes True, False or a function (stage, done, total)")
        self._bar = _shown() if progress is True else None
        self._tell = progress if callable(progress) else self._bar

    def tell(self, stage: str, done: int, total: int) -> bool:
        """Says it; whether the work is to go on."""
        return self._tell is None or self._tell(stage, done, total) is not False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.close()


class Watched(Told):
    """One who is told by C, by its `callback`; what a progress function raises comes out of the `with`.

    Python's signal handlers run between two steps of Python alone, so that Ctrl-C would wait for the end of the call. In
    the main thread the callback, which C calls ten times a second at least, gives them their turn, and what a handler raises
    (KeyboardInterrupt, say) cancels the work. It is caught in the handler: at the border between a callback and C it would
    be lost. So nothing but the call belongs into the `with`."""

    def __init__(self, progress: ProgressLike) -> None:
        super().__init__(progress)
        self._thrown: list[BaseException] = []
        self._handler: Any = None
        self.callback = Progress(self._watch)

    def _watch(self, _: Any, stage: int, done: int, total: int) -> int:
        try:
            return int(bool(self._thrown) or not self.tell(_abi.STAGES[stage], done, total))
        except BaseException as error:  # passed on below: it may not cross the border
            self._thrown.append(error)
            return 1

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        try:
            self._handler(number, frame)
        except BaseException as error:
            self._thrown.append(error)

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            handler = signal.getsignal(signal.SIGINT)
            # What is no function of Python is left alone: ignored, the system's, or of another language.
            if callable(handler):
                self._handler = handler
                signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        super().__exit__(kind, error, trace)
        # An interrupt after the work was done, too.
        if self._thrown and (kind is None or isinstance(error, Cancelled)):
            raise self._thrown[0] from None
