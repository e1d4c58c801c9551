"""Frames in flight."""

import concurrent.futures
import gc
import threading
import time
import unittest

import numpy as np
import softpatch
from common import SIDE, Case, image


class Streams(Case):
    def test_stream(self):
        frames = [image(i, SIDE + i) for i in range(5)] * 6
        want = self.detector.score(frames[:5], map="source")
        with self.detector.stream(limit=3, map="source") as stream:
            for i, score in enumerate(stream.scores(frames)):
                self.assertEqual(score.ticket, i)
                np.testing.assert_array_equal(score.map, want[i % 5].map)
            self.assertEqual(i, len(frames) - 1)
            futures = [stream.submit(frames[0]) for _ in range(7)]
            self.assertEqual([f.result().ticket for f in futures], list(range(30, 37)))
            self.assertEqual(stream.in_flight(), 0)

    def test_a_stream_that_is_full_says_so_or_waits(self):
        large = image(1, 400)
        with self.detector.stream(limit=1, map="source") as stream:
            first = stream.submit(large)
            with self.assertRaises(softpatch.Busy):
                while not first.done():
                    stream.submit(large, timeout=0)
            self.assertIsInstance(stream.submit(large).result(timeout=60), softpatch.Score)

    def test_futures_are_those_of_concurrent_futures(self):
        seen = threading.Event()
        with self.detector.stream(limit=4) as stream:
            futures = [stream.submit(image(i)) for i in range(4)]
            futures[2].add_done_callback(lambda future: seen.set())
            done, left = concurrent.futures.wait(futures, timeout=60)
            self.assertEqual((len(done), len(left)), (4, 0))
            self.assertEqual(
                [f.result().score for f in futures], [s.score for s in self.detector.score([image(i) for i in range(4)])]
            )
            self.assertTrue(seen.wait(60))
            self.assertFalse(futures[0].cancel())

    def test_frames_that_wait_can_be_taken_back(self):
        # Maps of other sizes: whoever waits for the oldest frame must take another's.
        with self.detector.stream(limit=64, map="source") as stream:
            futures = [stream.submit(image(i % 7, SIDE + 16 * (i % 7))) for i in range(40)]
            cancelled = [i for i in range(1, 40, 2) if futures[i].cancel()]
            for i in set(range(40)) - set(cancelled):
                self.assertEqual(futures[i].result(60).map.shape, (SIDE + 16 * (i % 7),) * 2)
            self.assertTrue(cancelled)
            for i in cancelled:
                self.assertTrue(futures[i].cancelled())
                with self.assertRaises(concurrent.futures.CancelledError):
                    futures[i].result()

    def test_ends(self):
        detector, frames = self.detector, [image(i) for i in range(8)]
        with detector.stream(limit=8) as stream:
            futures = [stream.submit(frame) for frame in frames]
        self.assertTrue(all(future.done() and not future.cancelled() for future in futures))
        with self.assertRaises(ZeroDivisionError), detector.stream(limit=64) as stream:
            futures = [stream.submit(frame) for frame in frames * 8]
            _ = 1 / 0
        self.assertTrue(all(future.done() for future in futures))
        self.assertTrue(futures[-1].cancelled())
        self.refused(softpatch.SoftpatchError, lambda: stream.submit(frames[0]))
        # One that is forgotten: its thread ends.
        stream = detector.stream()
        thread = stream._flight.thread
        del stream
        gc.collect()
        thread.join(60)
        self.assertFalse(thread.is_alive())

    def test_a_function_that_is_called_back_may_submit(self):
        frames, scores, done = [image(i) for i in range(6)], [], threading.Event()
        waiting = iter(frames)

        def next_one(future=None):
            if future is not None:
                scores.append(future.result().score)
            frame = next(waiting, None)
            if frame is None:
                done.set()
            else:
                stream.submit(frame).add_done_callback(next_one)

        with self.detector.stream(limit=1) as stream:
            next_one()
            self.assertTrue(done.wait(60))
        self.assertEqual(scores, [s.score for s in self.detector.score(frames)])

    def test_a_frame_that_is_none_ends_no_stream_silently(self):
        frames, start = [image(i) for i in range(4)], time.monotonic()
        for place in range(5):
            with self.detector.stream(limit=2) as stream:
                got = []
                with self.assertRaises(TypeError) as caught:
                    for score in stream.scores(frames[:place] + [None] + frames[place:]):
                        got.append(score.ticket)
                self.assertIn(f"frame {place} is None", str(caught.exception))
                self.assertIn("cv2.imread", str(caught.exception))
                # Those before it have their scores, and nothing is left for what comes next.
                self.assertEqual((got, stream.in_flight()), (list(range(place)), 0))
                self.assertEqual([s.ticket for s in stream.scores(iter(frames[:1]))], [place])
                self.refused(TypeError, lambda: stream.submit(None), "the frame is None")
                for wrong in (None, "a.jpg", frames[0]):
                    self.refused(TypeError, lambda: list(stream.scores(wrong)), "frames is ", "a list of images")
        # Nobody waits for a stream with nothing in flight, which would take a minute.
        self.assertLess(time.monotonic() - start, 50)


if __name__ == "__main__":
    unittest.main()
