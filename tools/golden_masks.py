"""Golden values for tests/method/folder.rs: masks resized and cropped by torchvision on Pillow images.

    pip install pillow numpy torchvision
    python tools/golden_masks.py > tests/golden/masks.json
"""

import json
import sys

import numpy as np
import PIL
import torchvision
from PIL import Image
from torchvision import transforms


def shape(width, height, soft):
    """The mask that tests/method/folder.rs makes by the same formula."""
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    inside = (3 * x + 2 * y) % 97 < 55
    value = (x * 5 + y * 3) % 256 if soft else np.full_like(x, 255)
    return np.where(inside, value, 0).astype(np.uint8)


cases = []
for width, height, resize, crop, soft in [
    (100, 70, 32, 28, False),
    (70, 101, 33, 28, False),
    (61, 47, 47, 40, False),
    (20, 31, 40, 37, False),
    (100, 70, 32, 27, True),
    (64, 64, 16, 16, True),
]:
    image = Image.fromarray(shape(width, height, soft), "L")
    image = transforms.CenterCrop(crop)(transforms.Resize(resize)(image))
    value = np.asarray(image)
    defect = value >= 128 if soft else value == 255
    cases.append(
        {
            "width": width,
            "height": height,
            "resize": resize,
            "crop": crop,
            "soft": soft,
            "defect": "".join("1" if v else "0" for v in defect.ravel()),
        }
    )
made_with = {m.__name__: m.__version__ for m in (np, PIL, torchvision)}
json.dump({"made_with": made_with, "cases": cases}, sys.stdout, separators=(",", ":"))
print()
