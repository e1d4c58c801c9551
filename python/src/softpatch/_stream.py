"""Frames in flight to a detector."""

from __future__ import annotations

import ctypes as c
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from . import _abi
from ._arguments import whole
from ._images import ImageLike, several, view
from ._library import Handle, call
from ._results import Score
from ._scoring import Facts, finished
from ._errors import SoftpatchError, error_of

if TYPE_CHECKING:
    from typing_extensions import Self

# Milliseconds: closing the stream ends the wait, so that the length does not matter.
_LONG = 3_600_000
# Codes after which the result is still there: a frame that was taken back had a smaller map than the next.
_AGAIN = (_abi.PENDING, _abi.EMPTY, _abi.BUFFER_TOO_SMALL)


class _Frame(Future[Score]):
    """A frame's score to come."""

    ticket = -1

    def __init__(self, flight: _Flight, image: _abi.Image) -> None:
        super().__init__()
        self._flight, self.image = flight, image

    def cancel(self) -> bool:
        """Takes the frame back; False where it is being scored, or is done."""
        taken = c.c_uint32()
        if not self.done() and not self._flight.closed:
            call("stream_discard", self._flight.handle.id, self.ticket, c.byref(taken))
        if taken.value:
            self._flight.forget(self)
            self.dropped()
        return self.cancelled()

    def dropped(self) -> None:
        """No score will come for it."""
        super().cancel()
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> Score:
        """The score, once it is there. In a forked process, which has nobody to bring it: ForkedError."""
        self._flight.check()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What scoring the frame came to, where that is no score."""
        self._flight.check()
        return super().exception(timeout)


class _Flight:
    """The frames of a stream, and the thread that brings their scores. It does not know the Stream, so that
    one to which nothing refers any more ends."""

    def __init__(self, handle: Handle, detector: Handle, facts: Facts, kind: int, limit: int) -> None:
        self.handle, self.detector, self.facts, self.kind = handle, detector, facts, kind
        self.limit, self.process, self.closed = limit, os.getpid(), False
        # By ticket, the oldest first: submitted, and their results not taken.
        self.waiting: dict[int, _Frame] = {}
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self._bring, name="softpatch stream", daemon=True)
        self.thread.start()

    def check(self) -> None:
        """ForkedError in a child, which has no such thread, and whose locks may be held for ever."""
        if os.getpid() != self.process:
            call("stream_in_flight", self.handle.id, c.byref(c.c_size_t()))

    def forget(self, frame: _Frame) -> None:
        """Its result was taken, or will not come."""
        with self.changed:
            self.waiting.pop(frame.ticket, None)
            self.changed.notify_all()

    def end(self) -> None:
        """Drops what waits, and lets the thread end."""
        if os.getpid() == self.process:
            with self.changed:
                self.closed = True
                self.changed.notify_all()
            self.handle.close()

    def _bring(self) -> None:
        try:
            while (oldest := self._oldest()) is not None:
                self._bring_one(oldest)
        finally:
            with self.changed:
                self.closed = True
                left = list(self.waiting.values())
                self.waiting.clear()
                self.changed.notify_all()
            for frame in left:
                frame.dropped()

    def _oldest(self) -> _Frame | None:
        """Waits for a frame; None where the stream was closed."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed or self.waiting)
            return None if self.closed else next(iter(self.waiting.values()))

    def _bring_one(self, oldest: _Frame) -> None:
        """Waits for the oldest frame's result, and hands it over."""
        map, result = self.facts.map(self.kind, oldest.image), _abi.Result(ticket=oldest.ticket)
        kind, error = self.kind or _abi.MAPS["grid"], None
        try:
            call("stream_wait", self.handle.id, _LONG, kind, map.ctypes.data, map.size, c.byref(result))
        except SoftpatchError as caught:
            if caught.code in _AGAIN or self.closed:
                return
            error = caught
        with self.changed:
            frame = self.waiting.get(result.ticket, oldest)
        self.forget(frame)
        frame.set_running_or_notify_cancel()
        if error is not None:
            frame.set_exception(error)
            return
        # Of another frame where the oldest was taken back meanwhile.
        shape = result.map_height, result.map_width
        if map.shape != shape:
            map = map.ravel()[: shape[0] * shape[1]].reshape(shape).copy()
        try:
            frame.set_result(finished(self.detector, self.facts, result, self.kind, map, frame.image))
        except SoftpatchError as caught:
            frame.set_exception(caught)


class Stream:
    """Frames in flight to a detector, scored in order; `Detector.stream` makes one.

    `submit` gives a concurrent.futures.Future for each frame, `scores` takes an iterable of frames. At most
    `limit` frames wait or are being scored. At the end of a `with` all scores are there; where an error ends
    it, frames that wait are dropped, and their Futures cancelled. Every method may be called from every
    thread.
    """

    def __init__(self, detector: Handle, facts: Facts, limit: int, kind: int, order: str, bits: int) -> None:
        out, limit = c.c_uint64(), whole("limit", limit, c.c_size_t)
        call("stream_create", detector.id, limit, c.byref(out))
        self._order, self._bits = order, bits
        self._flight = _Flight(Handle("stream", out.value), detector, facts, kind, limit)
        # Also where nothing refers to it any more, and at the end of the program.
        self._end = weakref.finalize(self, self._flight.end)

    def submit(self, frame: ImageLike, timeout: float | None = None) -> Future[Score]:
        """Copies a frame into the queue. The Future has the score; its `cancel` takes the frame back while it
        waits.

        While as many frames as the limit are in flight it waits for room, up to `timeout` seconds (None: as
        long as it takes), and raises Busy where none came: the frame was not taken in, and whether to drop it
        is the caller's choice. Functions given to `add_done_callback` run on the thread that brings the
        scores, and wait for no room."""
        return self._submit(frame, timeout, "the frame")

    def _submit(self, frame: Any, timeout: float | None, what: str) -> _Frame:
        flight = self._flight
        flight.check()
        if threading.current_thread() is flight.thread:
            timeout = 0
        seen = view(frame, self._order, self._bits, what)
        future, ticket = _Frame(flight, seen.image), c.c_uint64()
        with flight.changed:
            if not flight.changed.wait_for(lambda: flight.closed or len(flight.waiting) < flight.limit, timeout):
                raise error_of(_abi.BUSY, f"{flight.limit} frames are in flight; this one was not taken in")
            call("stream_submit", flight.handle.id, c.byref(seen.image), c.byref(ticket))
            future.ticket = ticket.value
            flight.waiting[ticket.value] = future
            flight.changed.notify_all()
        return future

    def scores(self, frames: Iterable[ImageLike]) -> Iterator[Score]:
        """Scores of all frames, in order, keeping the stream full. What is no image is an error that names
        the frame's number, from 0, once the frames before it have their scores.

        >>> with detector.stream(map="source") as stream:
        ...     [score.anomalous for score in stream.scores([good[0], bad, good[1]])]
        [False, True, False]
        """
        held: deque[_Frame] = deque()
        wrong: Exception | None = None
        for number, frame in enumerate(several(frames, "frames")):
            while held and (held[0].done() or len(held) >= self._flight.limit):
                yield held.popleft().result()
            try:
                held.append(self._submit(frame, None, f"frame {number}"))
            except (TypeError, ValueError) as error:
                wrong = error
                break
        while held:
            yield held.popleft().result()
        if wrong is not None:
            raise wrong

    def in_flight(self) -> int:
        """Frames that were submitted and have no score yet."""
        count, handle = c.c_size_t(), self._flight.handle
        call("stream_in_flight", handle.id, c.byref(count))
        return count.value

    def close(self, cancel: bool = False) -> None:
        """Frees it once the scores of all frames are there, or with `cancel` drops those that wait; their
        Futures are cancelled."""
        flight = self._flight
        if os.getpid() == flight.process and threading.current_thread() is not flight.thread:
            if not cancel:
                with flight.changed:
                    flight.changed.wait_for(lambda: flight.closed or not flight.waiting)
            self._end()
            flight.thread.join()
        else:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.close(cancel=kind is not None)
