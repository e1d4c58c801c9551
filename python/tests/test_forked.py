"""Processes that are forked after the library was used."""

import os
import unittest

from common import python


@unittest.skipUnless(hasattr(os, "fork"), "processes fork on Unix alone")
class Forked(unittest.TestCase):
    """Children of a process that has used the library: an error at once, and no end that waits for ever."""

    def child(self, code, timeout=30):
        """What a process prints whose child runs `code`; both have to end in time."""
        program = f"""
import logging, multiprocessing, os, sys
import numpy as np, softpatch
logging.disable()  # what the fit has to say of its images
image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
context = softpatch.Context()
detector = softpatch.Detector.fit([image] * 4, context=context, crop=64, resize=64, coreset_ratio=0.25)
stream = detector.stream()
future = stream.submit(image)
detector.score(image)
def worker(_):
    return detector.score(image).score
{code}
"""
        done = python(program, timeout + 60, PYTHONWARNINGS="ignore")
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    # The parent waits for its child for half a minute at most.
    WAIT = """
import time
for _ in range(1500):
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        print("status", status)
        break
    time.sleep(0.02)
else:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
    print("it hangs")
print("parent", detector.score(image).score >= 0)
"""

    def test_every_call_says_so(self):
        said = self.child(
            """
pid = os.fork()
if pid == 0:
    calls = [
        lambda: softpatch.adapters(), lambda: softpatch.Context(), lambda: context.info, lambda: softpatch.audit("x"),
        lambda: softpatch.Context.default(), lambda: softpatch.Detector.load(b"x", context=context),
        lambda: softpatch.Detector.fit([image]), lambda: detector.info, lambda: detector.to_bytes(),
        lambda: detector.save("x"), lambda: detector.score(image), lambda: detector.score([image]), lambda: detector.stream(),
        lambda: stream.submit(image), lambda: future.result(), lambda: stream.in_flight(),
        lambda: next(stream.scores([image])), lambda: detector.calibrated(1), lambda: detector.explain(image),
        lambda: detector.verify(), lambda: detector.undo(), lambda: detector.ignore(None),
        lambda: softpatch.ModelFile("x").undo(), lambda: softpatch.ModelFile("x", context).calibrate("x"),
        lambda: softpatch.ModelFile("x", context).allow("x"), lambda: softpatch.ModelFile("x").info,
    ]
    for call in calls:
        try:
            call()
            print("no error")
        except softpatch.ForkedError as error:
            assert error.code == 19 and "spawn" in str(error) and "forked" in str(error), error
    for one in (stream, detector, context):
        one.close()
    print("refused", flush=True)
    os._exit(0)
"""
            + self.WAIT
        )
        self.assertEqual(said, "refused\nstatus 0\nparent True\n")

    def test_a_child_ends_as_it_likes(self):
        for end in ("os._exit(0)", "sys.exit(0)", "del stream, detector, context; sys.exit(0)"):
            said = self.child(f"pid = os.fork()\nif pid == 0:\n    {end}\n{self.WAIT}")
            self.assertEqual(said, "status 0\nparent True\n", end)

    def test_workers_that_fork_pass_the_error_on(self):
        said = self.child(
            """
with multiprocessing.get_context("fork").Pool(2) as pool:
    try:
        pool.map_async(worker, [1, 2]).get(30)
    except softpatch.ForkedError as error:
        print(error.code)
"""
        )
        self.assertEqual(said, "19\n")


if __name__ == "__main__":
    unittest.main()
