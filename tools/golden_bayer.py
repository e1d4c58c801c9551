"""Golden values for tests/method/pixels.rs: Bayer mosaics interpolated bilinearly by OpenCV, without the border.

    pip install numpy opencv-python-headless
    python tools/golden_bayer.py > tests/golden/bayer.json
"""

import json
import sys

import cv2
import numpy as np

# OpenCV has two names for each; these say the colours of the first two rows.
PATTERNS = {
    "BayerRg8": cv2.COLOR_BayerRGGB2RGB,
    "BayerGr8": cv2.COLOR_BayerGRBG2RGB,
    "BayerGb8": cv2.COLOR_BayerGBRG2RGB,
    "BayerBg8": cv2.COLOR_BayerBGGR2RGB,
}
cases = []
for width, height in [(9, 7), (12, 5)]:
    # The mosaic that tests/method/pixels.rs makes by the same formula.
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    mosaic = ((x * x * 31 + y * y * 57 + x * y * 23 + 5 * x) % 256).astype(np.uint8)
    for name, code in PATTERNS.items():
        inside = cv2.cvtColor(mosaic, code)[1:-1, 1:-1]
        cases.append({"format": name, "width": width, "height": height, "inside": inside.ravel().tolist()})
made_with = {m.__name__: m.__version__ for m in (np, cv2)}
json.dump({"made_with": made_with, "cases": cases}, sys.stdout, separators=(",", ":"))
print()
