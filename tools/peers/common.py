"""What the comparison programs share: images, backbones, embeddings, metrics and the JSON they print.

A category folder has the layout of MVTec AD: train/**, test/good, test/<defect>, ground_truth/<defect>/<stem>_mask.png.
"""

import csv
import json
import os
import platform
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from PIL import Image
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).resolve().parent.parent.parent
LITE0 = ROOT / "weights" / "efficientnet_lite0_b10.safetensors"
SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
POOLED = 1024


def add_options(parser) -> None:
    parser.add_argument("category", type=Path, help="folder in the layout of MVTec AD")
    parser.add_argument("--backbone", type=Path, default=LITE0, help="safetensors with the names of torchvision or efficientnet_lite_pytorch")
    parser.add_argument("--ratio", type=float, default=0.1, help="rows of the bank as a share of all training patches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=8, help="training images that go through the backbone at a time")
    parser.add_argument("--resize", type=int, default=256)
    parser.add_argument("--crop", type=int, default=224)
    parser.add_argument("--score-batch", type=int, default=8, help="images that are scored at a time for score_s_batch")
    parser.add_argument("--device", default="cpu", help="where PyTorch computes: cpu, cuda or cuda:N")
    parser.add_argument("--half", action="store_true", help="the backbone in f16, by autocast")
    parser.add_argument("--pixels", action="store_true", help="pixel AUROC too (keeps all maps)")
    parser.add_argument("--scores", type=Path, help="CSV to write: path,score of every test image")


def set_up(args) -> None:
    """Threads, seed, and f32 that is f32: without this, cuDNN rounds its operands to 10 bits (TF32)."""
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True


def finish(device: str) -> None:
    """Waits for what has been handed to the device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def images(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"{folder}: no images")
    return found


class Geometry:
    """Shorter side to `resize` (Pillow's antialiased bilinear filter), then the middle `crop` x `crop`."""

    def __init__(self, resize: int, crop: int):
        t = torchvision.transforms
        self.image = t.Compose([t.Resize(resize), t.CenterCrop(crop), t.PILToTensor()])

    def load(self, path: Path) -> torch.Tensor:
        """[3][crop][crop] u8."""
        with Image.open(path) as image:
            return self.image(image.convert("RGB"))

    def mask(self, category: Path, path: Path) -> np.ndarray:
        """[crop][crop] bool of a test image."""
        kind = path.parent.name
        if kind == "good":
            return np.zeros((self.image.transforms[1].size[0],) * 2, bool)
        with Image.open(category / "ground_truth" / kind / f"{path.stem}_mask.png") as image:
            return self.image(image.convert("L"))[0].numpy() >= 128


class Lite0(torch.nn.Module):
    """EfficientNet-Lite0: blocks 4 and 10."""

    pooled = False

    def __init__(self, state: dict):
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        self.net = EfficientNet.from_name("efficientnet-lite0")
        missing = self.net.load_state_dict({k: v.float() for k, v in state.items()}, strict=False)
        used = ("_conv_stem.", "_bn0.", *(f"_blocks.{i}." for i in range(11)))
        check_loaded(missing, used)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Images [n][3][h][w] u8 to stages [n][c][h'][w']."""
        return self.stages((x.float() - 127) / 128)

    def stages(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The same of normalised images."""
        x = self.net._swish(self.net._bn0(self.net._conv_stem(x)))
        taps = []
        for i, block in enumerate(self.net._blocks[:11]):
            x = block(x)
            if i in (4, 10):
                taps.append(x)
        return taps


class ResNet(torch.nn.Module):
    """A ResNet of torchvision: layer2 and layer3."""

    pooled = True

    def __init__(self, state: dict):
        super().__init__()
        blocks = len({k.split(".")[1] for k in state if k.startswith("layer3.")})
        bottleneck = "layer1.0.conv3.weight" in state
        wide = bottleneck and state["layer1.0.conv1.weight"].shape[0] == 128
        self.arch = {(False, 2): "resnet18", (False, 6): "resnet34", (True, 6): "resnet50", (True, 23): "resnet101"}[bottleneck, blocks]
        if wide:
            self.arch = "wide_resnet50_2"
        net = getattr(torchvision.models, self.arch)(weights=None)
        check_loaded(net.load_state_dict({k: v.float() for k, v in state.items()}, strict=False), ("conv1.", "bn1.", "layer1.", "layer2.", "layer3."))
        self.stem = torch.nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
        self.layer2, self.layer3 = net.layer2, net.layer3
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406])[:, None, None])
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225])[:, None, None])

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Images [n][3][h][w] u8 to stages [n][c][h'][w']."""
        layer2 = self.layer2(self.stem((x.float() / 255 - self.mean) / self.std))
        return [layer2, self.layer3(layer2)]


def check_loaded(result, used: tuple[str, ...]) -> None:
    missing = [k for k in result.missing_keys if k.startswith(used) and not k.endswith("num_batches_tracked")]
    if missing:
        raise SystemExit(f"the weights lack {missing[0]} and {len(missing) - 1} more")


class Placed(torch.nn.Module):
    """A backbone on a device, in f16 where asked; takes images from anywhere, gives f32."""

    def __init__(self, net: torch.nn.Module, device: str, half: bool):
        super().__init__()
        self.net, self.device, self.half, self.pooled = net.to(device), device, half, net.pooled

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        with torch.autocast(self.device.split(":")[0], torch.float16, enabled=self.half):
            return [s.float() for s in self.net(x.to(self.device))]


def backbone(args) -> Placed:
    state = load_file(args.backbone)
    net = (Lite0(state) if "_conv_stem.weight" in state else ResNet(state)).eval()
    return Placed(net, args.device, args.half)


def embed(stages: list[torch.Tensor], pooled: bool) -> torch.Tensor:
    """Stages [n][c][h][w] to patches [n][h * w][d]: 3x3 means side by side, or as PatchCore's program pools."""
    n, _, h, w = stages[0].shape
    if not pooled:
        means = [F.avg_pool2d(s, 3, 1, 1) for s in stages]
        means[1:] = [F.interpolate(m, size=(h, w), mode="bilinear", align_corners=False) for m in means[1:]]
        return torch.cat(means, 1).flatten(2).transpose(1, 2)
    vectors = []
    for stage in stages:
        sh, sw = stage.shape[2:]
        patches = F.unfold(stage, 3, padding=1).reshape(n, -1, sh, sw)
        patches = F.interpolate(patches, size=(h, w), mode="bilinear", align_corners=False)
        patches = patches.flatten(2).transpose(1, 2).reshape(n * h * w, 1, -1)
        vectors.append(F.adaptive_avg_pool1d(patches, POOLED)[:, 0])
    joined = torch.cat(vectors, 1)[:, None]
    return F.adaptive_avg_pool1d(joined, POOLED).reshape(n, h * w, POOLED)


class Stopwatch:
    """Seconds of named stages on a device."""

    def __init__(self, device: str):
        self.device, self.seconds, self.last = device, {}, time.perf_counter()

    def lap(self, name: str) -> None:
        finish(self.device)
        now = time.perf_counter()
        self.seconds[name] = now - self.last
        self.last = now


def score_all(args, geometry: Geometry, score) -> dict:
    """Scores every test image, one at a time; `score(images u8 [n])` gives image scores [n] and maps [n][crop][crop].

    `score_s_p50` is of decoded images, `score_s_mean` has the decoding in it; `score_s_batch` is of decoded images,
    `--score-batch` at a time.
    """
    paths = images(args.category / "test")
    for _ in range(3):  # warm-up
        score(geometry.load(paths[0])[None])
    scores, seconds, whole, maps = [], [], [], []
    for path in paths:
        start = time.perf_counter()
        image = geometry.load(path)
        decoded = time.perf_counter()
        (value,), (heat,) = score(image[None])
        end = time.perf_counter()
        seconds.append(end - decoded)
        whole.append(end - start)
        scores.append(float(value))
        if args.pixels:
            maps.append(heat.astype(np.float32))
    batch = torch.stack([geometry.load(paths[i % len(paths)]) for i in range(args.score_batch)])
    batches = []
    for _ in range(7):
        start = time.perf_counter()
        score(batch)
        batches.append((time.perf_counter() - start) / len(batch))
    defect = [p.parent.name != "good" for p in paths]
    out = {
        "test_images": len(paths),
        "score_s_p50": float(np.median(seconds)),
        "score_s_mean": float(np.mean(whole)),
        "score_batch": args.score_batch,
        "score_s_batch": float(np.median(batches[2:])),
        "image_auroc": float(roc_auc_score(defect, scores)),
        "pixel_auroc": None,
    }
    if args.pixels:
        masks = np.stack([geometry.mask(args.category, p) for p in paths])
        out["pixel_auroc"] = float(roc_auc_score(masks.ravel(), np.stack(maps).ravel()))
    if args.scores:
        with args.scores.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "score"])
            writer.writerows((p.relative_to(args.category), s) for p, s in zip(paths, scores))
    return out


def report(**fields) -> None:
    """Prints the JSON object, peak memory of this process included."""
    scale = 1 if sys.platform == "darwin" else 1024
    fields["peak_rss_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6
    if torch.cuda.is_available():
        fields["peak_device_mb"] = torch.cuda.max_memory_allocated() / 1e6
        fields["device"] = torch.cuda.get_device_name()
    fields["versions"] = {"python": platform.python_version(), "torch": torch.__version__}
    fields["omp_wait_policy"] = os.environ.get("OMP_WAIT_POLICY")
    print(json.dumps(fields, indent=1))
