"""Long work: what is told of it, and what stops it."""

import io
import signal
import sys
import unittest
from unittest import mock

import softpatch
from common import SMALL, Case, image, module, python

tqdm = module("tqdm")


def interrupted(program):
    """A process that is sent Ctrl-C once it says that it works: what it says, and the seconds from one to the other."""
    begin = """
import os, signal, sys, threading, time
import numpy as np, softpatch
def image(seed, side=256):
    return np.random.default_rng(seed).integers(0, 255, (side, side)).astype(np.uint8)
def ctrl_c(after):
    def send():
        time.sleep(after)
        global sent
        sent = time.monotonic()
        os.kill(os.getpid(), signal.SIGINT)
    threading.Thread(target=send, daemon=True).start()
"""
    return python(begin + program)


class Work(Case):
    def test_a_function_hears_of_it_and_stops_it(self):
        calls = []
        self.detector.score([image(i) for i in range(40)], progress=lambda *what: calls.append(what))
        self.assertEqual({c[0] for c in calls}, {"score"})
        self.assertEqual(calls[-1][1:], (40, 40))
        with self.assertRaises(softpatch.Cancelled):
            self.detector.score([image(i) for i in range(40)], progress=lambda *_: False)
        # Of an iterator nobody knows the length, and the tickets go on from piece to piece.
        scores = self.detector.score(image(i % 3) for i in range(30))
        self.assertEqual([s.ticket for s in scores], list(range(30)))
        self.assertEqual(scores[29].score, self.detector.score(image(2)).score)
        self.assertEqual(self.detector.score([]), [])

    def fit_shown(self, terminal):
        shown = io.StringIO()
        shown.isatty = lambda: terminal
        with mock.patch.object(sys, "stderr", shown):
            softpatch.Detector.fit([image(i) for i in range(4)], progress=True, **SMALL)
        return shown.getvalue()

    @unittest.skipUnless(tqdm, "there is no tqdm")
    def test_tqdm_has_a_bar_for_each_stage(self):
        shown = self.fit_shown(terminal=False)
        for stage in ("features", "denoise", "coreset", "calibrate"):
            self.assertIn(f"{stage}: 100%", shown)

    def test_without_tqdm_a_terminal_has_a_line_and_a_file_nothing(self):
        with mock.patch.dict(sys.modules, {"tqdm": None, "tqdm.auto": None}):
            self.assertIn("features 4/4", self.fit_shown(terminal=True))
            self.assertEqual(self.fit_shown(terminal=False), "")
        self.assertEqual(self.quiet(), "")

    def quiet(self):
        """What a fit shows that was not asked to."""
        shown = io.StringIO()
        with mock.patch.object(sys, "stderr", shown):
            softpatch.Detector.fit([image(i) for i in range(4)], **SMALL)
        return shown.getvalue()

    def test_a_handler_of_signals_is_put_back(self):
        before = signal.getsignal(signal.SIGINT)
        softpatch.Detector.fit([image(i) for i in range(4)], **SMALL)
        self.assertIs(signal.getsignal(signal.SIGINT), before)
        with self.assertRaises(KeyError):
            softpatch.Detector.fit([image(i) for i in range(4)], progress=lambda *_: {}["x"], **SMALL)
        self.assertIs(signal.getsignal(signal.SIGINT), before)

    @unittest.skipIf(sys.platform == "win32", "a process cannot send Ctrl-C to itself alone there")
    def test_ctrl_c_ends_a_fit_and_an_audit(self):
        done = interrupted(
            """
import tempfile, pathlib
images = [image(i) for i in range(300)]
with tempfile.TemporaryDirectory() as folder:
    for i, one in enumerate(images):
        (pathlib.Path(folder) / f"{i}.pgm").write_bytes(b"P5 256 256 255\\n" + one.tobytes())
    softpatch.Context.default()
    for work in (lambda: softpatch.Detector.fit(images), lambda: softpatch.audit(folder, all=True)):
        ctrl_c(0.3)
        try:
            # On a fast device more than once.
            while True:
                work()
        except KeyboardInterrupt:
            print("interrupted", time.monotonic() - sent < 8)
"""
        )
        self.assertEqual((done.stdout, done.returncode), ("interrupted True\ninterrupted True\n", 0), done.stderr)

    @unittest.skipIf(sys.platform == "win32", "a process cannot send Ctrl-C to itself alone there")
    def test_ctrl_c_ends_a_long_list_and_a_wait_and_handlers_of_others_are_called(self):
        done = interrupted(
            """
detector = softpatch.Detector.fit([image(i, 64) for i in range(4)], crop=64, resize=64, coreset_ratio=0.25)
def frames():
    while True:
        yield image(0, 64)
class Stop(Exception):
    pass
def stop(*_):
    raise Stop
for error in (KeyboardInterrupt, Stop):
    if error is Stop:
        signal.signal(signal.SIGINT, stop)
    for work in (lambda: detector.score(frames()), lambda: list(detector.stream().scores(frames()))):
        ctrl_c(0.3)
        try:
            work()
        except error as raised:
            print(type(raised).__name__, time.monotonic() - sent < 8)
ctrl_c(0.2)
images = [image(i) for i in range(300)]
try:
    while True:
        softpatch.Detector.fit(images)
except Stop:
    print("Stop", time.monotonic() - sent < 8)
"""
        )
        said = "KeyboardInterrupt True\n" * 2 + "Stop True\n" * 3
        self.assertEqual((done.stdout, done.returncode), (said, 0), done.stderr)


if __name__ == "__main__":
    unittest.main()
