"""Threads, asyncio, and other processes."""

import asyncio
import copy
import pickle
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import softpatch
from common import Case, image, python


class Concurrent(Case):
    def test_threads_share_a_detector(self):
        frames = [image(i) for i in range(8)]
        want = self.detector.score(frames, map="frame")
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda frame: self.detector.score(frame, map="frame"), frames * 4))
        for one, other in zip(got, want * 4):
            np.testing.assert_array_equal(one.map, other.map)

    def test_threads_use_a_detector_that_is_edited(self):
        detector = softpatch.Detector.load(self.detector.to_bytes())
        bad, stop, seen = image(50), threading.Event(), set()
        bad[30:46, 30:46] = [255, 0, 0]

        def work():
            while not stop.is_set():
                score = detector.score(bad, map="source")
                seen.add((score.score, score.anomalous))
                _ = score.regions

        with ThreadPoolExecutor(2) as pool:
            workers = [pool.submit(work) for _ in range(2)]
            for _ in range(3):
                detector.allow(bad, name="alarm")
                detector.undo()
            stop.set()
            for worker in workers:
                worker.result()
        self.assertLessEqual(len(seen), 2)

    def test_a_call_releases_the_gil(self):
        # While a fit is on, another thread of Python counts.
        counted, stop = [0], threading.Event()

        def count():
            while not stop.is_set():
                counted[0] += 1
                time.sleep(0.001)

        thread = threading.Thread(target=count)
        thread.start()
        before = counted[0]
        softpatch.Detector.fit([image(i) for i in range(8)], size=128)
        after = counted[0]
        stop.set()
        thread.join()
        self.assertGreater(after - before, 5)

    def test_asyncio(self):
        frames = [image(i) for i in range(4)]
        want = [s.score for s in self.detector.score(frames)]

        async def main():
            one = await self.detector.score_async(frames[0])
            several = await asyncio.gather(*(self.detector.score_async(frame, map="grid") for frame in frames))
            together = await self.detector.score_async(frames)
            with self.detector.stream() as stream:
                futures = [asyncio.wrap_future(stream.submit(frame)) for frame in frames]
                streamed = await asyncio.gather(*futures)
            return [[one.score]] + [[s.score for s in scores] for scores in (several, together, streamed)]

        self.assertEqual(asyncio.run(main()), [want[:1], want, want, want])

    def test_detectors_and_scores_are_pickled(self):
        bad = image(50)
        bad[30:46, 30:46] = [255, 0, 0]
        want = self.detector.score(bad, map="source")
        for again in (pickle.loads(pickle.dumps(self.detector)), copy.deepcopy(self.detector)):
            np.testing.assert_array_equal(again.score(bad, map="source").map, want.map)
            self.assertEqual(again.to_bytes(), self.detector.to_bytes())
        score = pickle.loads(pickle.dumps(want))
        np.testing.assert_array_equal(score.map, want.map)
        for name in ("score", "anomalous", "threshold", "peak", "calibrated"):
            self.assertEqual(getattr(score, name), getattr(want, name))
        self.assertEqual([r.bbox for r in score.regions], [r.bbox for r in want.regions])
        # A context comes as its options; the default one as the default one.
        self.assertIs(pickle.loads(pickle.dumps(softpatch.Context.default())), softpatch.Context.default())
        with softpatch.Context(memory_budget=1 << 30, self_test=False) as context:
            detector = softpatch.Detector.load(self.detector.to_bytes(), context=context)
            again = pickle.loads(pickle.dumps(detector))
            self.assertEqual(again._context._options, (("memory_budget", 1 << 30), ("self_test", False)))
            self.assertIs(pickle.loads(pickle.dumps(context)), again._context)

    def test_workers_that_are_spawned_score(self):
        done = python(
            """
import multiprocessing, sys
import numpy as np, softpatch
from concurrent.futures import ProcessPoolExecutor
images = [np.random.default_rng(i).integers(0, 255, (64, 64)).astype(np.uint8) for i in range(4)]
if __name__ == "__main__":
    detector = softpatch.Detector.fit(images, crop=64, resize=64, coreset_ratio=0.25)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        # The detector goes along by pickle, and its scores come back.
        got = list(pool.map(detector.score, images))
    print([s.score for s in got] == [s.score for s in detector.score(images)])
"""
        )
        self.assertEqual((done.stdout, done.returncode), ("True\n", 0), done.stderr)


if __name__ == "__main__":
    unittest.main()
