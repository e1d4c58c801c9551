#!/usr/bin/env python3
"""What PyTorch reaches on a GPU for the work that softpatch does there, as fast as one can ask of it. JSON on
standard output.

    python tools/peers/torch_gpu.py > peer.json

Needs torch and torchvision, no network and no weights (they are made up: the work is the same). Measured are

- matrix products of 1024 and 4096 in f32, TF32 and f16, and a copy in memory;
- WideResNet-50-2 up to layer3, channels last, cuDNN's choice by trial: 32 images, one image, and 32 images as
  a CUDA graph, which leaves out the host's share;
- the embedding of those features (3x3 means, 1024 values, both layers brought to one size and one vector);
- the search of 32 images' patches in a bank of 30 105 rows, by matrix product and minimum;
- the greedy choice of a bank of 30 654 rows out of 306 544 (391 images of 784 patches), 128 values each;
- the local outlier factor of 784 positions with 391 patches each.

f32 is f32: TF32 is off but where the name says it. Times are medians between two events on the device. With
--device cpu, which is for trying this program out, sizes shrink and a clock of the host measures.
"""

import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F
import torchvision

torch.set_grad_enabled(False)

BATCH = 32
NEIGHBOURS = 6


class Clock:
    """Milliseconds on the device."""

    def __init__(self, device: str):
        self.gpu = device.startswith("cuda")

    def wait(self) -> None:
        if self.gpu:
            torch.cuda.synchronize()

    def once(self, run) -> float:
        if not self.gpu:
            start = time.perf_counter()
            run()
            return 1e3 * (time.perf_counter() - start)
        start, end = torch.cuda.Event(True), torch.cuda.Event(True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end)

    def median(self, run, runs: int = 10, warm_up: int = 3) -> float:
        for _ in range(warm_up):
            run()
        self.wait()
        return statistics.median(self.once(run) for _ in range(runs))


def tf32(on: bool) -> None:
    torch.backends.cuda.matmul.allow_tf32 = on
    torch.backends.cudnn.allow_tf32 = on


# Name, TF32, type of weights and activations.
KINDS = (("f32", False, torch.float32), ("tf32", True, torch.float32), ("f16", False, torch.float16))


def products(clock: Clock, device: str, small: bool) -> dict:
    figures = {}
    for n in (256,) if small else (1024, 4096):
        a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
        for kind, fast, dtype in KINDS:
            tf32(fast)
            x, y = a.to(dtype), b.to(dtype)
            figures[f"gemm{n}_{kind}_TFLOPs"] = 2 * n**3 / clock.median(lambda: x @ y) / 1e9
    x = torch.empty(1 << (22 if small else 29), dtype=torch.uint8, device=device)
    y = torch.empty_like(x)
    figures["copy_GBs"] = 2 * x.numel() / clock.median(lambda: y.copy_(x)) / 1e6
    return figures


def embed(stages: list) -> torch.Tensor:
    """[images * positions, 1024] as PatchCore publishes it."""
    images, _, height, width = stages[0].shape
    vectors = []
    for stage in stages:
        h, w = stage.shape[2:]
        patches = F.unfold(stage, 3, padding=1).reshape(images, -1, h, w)
        patches = F.interpolate(patches, size=(height, width), mode="bilinear", align_corners=False)
        patches = patches.flatten(2).transpose(1, 2).reshape(images * height * width, 1, -1)
        vectors.append(F.adaptive_avg_pool1d(patches, 1024)[:, 0])
    return F.adaptive_avg_pool1d(torch.cat(vectors, 1)[:, None], 1024)[:, 0]


def graph_of(run):
    """The launches of `run` as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph


def network(clock: Clock, device: str, small: bool) -> tuple[dict, torch.Tensor]:
    figures, batch = {}, 2 if small else BATCH
    torch.manual_seed(0)
    net = torchvision.models.wide_resnet50_2(weights=None).eval().to(device)
    images = torch.randn(batch, 3, 224, 224, device=device)
    queries = None
    for kind, fast, dtype in KINDS:
        if small and dtype == torch.float16:
            continue
        tf32(fast)
        net = net.to(dtype).to(memory_format=torch.channels_last)
        stem = torch.nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool, net.layer1)
        all_, one = (x.to(dtype).contiguous(memory_format=torch.channels_last) for x in (images, images[:1]))

        def features(x):
            second = net.layer2(stem(x))
            return [second, net.layer3(second)]

        runs = 2 if small else 20
        figures[f"net_batch_{kind}_ms_an_image"] = clock.median(lambda: features(all_), runs) / batch
        figures[f"net_one_{kind}_ms"] = clock.median(lambda: features(one), runs)
        if queries is None:
            stages = features(all_)
            took = clock.median(lambda: embed(stages), 2 if small else 5, 1)
            figures["embed_batch_f32_ms_an_image"] = took / batch
            queries = embed(stages)
        if clock.gpu:
            try:
                graph = graph_of(lambda: features(all_))
                figures[f"net_batch_{kind}_graph_ms_an_image"] = clock.median(graph.replay) / batch
            except RuntimeError as error:
                figures[f"net_batch_{kind}_graph_error"] = str(error)[:100]
    return figures, queries


def search(clock: Clock, queries: torch.Tensor, small: bool) -> dict:
    figures = {}
    rows = 500 if small else 30_105
    bank = torch.randn(rows, queries.shape[1], device=queries.device) * queries.std() + queries.mean()
    norms = bank.square().sum(1)
    for kind, fast, dtype in KINDS:
        tf32(fast)
        b, q = bank.to(dtype), queries.to(dtype)

        def nearest():
            # In parts, so that the distances fit.
            return [(norms - 2 * (part @ b.T).float()).min(1) for part in q.split(8 * 784)]

        figures[f"search_batch_{kind}_ms_an_image"] = clock.median(nearest, 5) / (len(queries) / 784)
    return figures


def greedy(clock: Clock, device: str, small: bool) -> dict:
    """Each pick is the patch farthest from all picks so far. The rate of some picks stands for all."""
    tf32(False)
    images, measured = (8, 20) if small else (391, 1000)
    rows, picks = images * 784, 784 * images // 10
    z = torch.randn(rows, 128, device=device)
    norms = z.square().sum(1)
    farthest = torch.full((rows,), 1e9, device=device)

    def pick(count):
        for _ in range(count):
            i = farthest.argmax()
            torch.minimum(farthest, (norms + norms[i] - 2 * (z @ z[i])).clamp_(min=0), out=farthest)

    pick(min(measured, 50))
    clock.wait()
    start = time.perf_counter()
    pick(measured)
    clock.wait()
    figures = {f"greedy_{picks}_of_{rows}_s": (time.perf_counter() - start) / measured * picks}

    # The same patches by position.
    groups = z.reshape(images, 784, 128).transpose(0, 1).contiguous()

    def outlier_factor():
        distances = torch.cdist(groups, groups)
        distances.diagonal(dim1=1, dim2=2).fill_(float("inf"))
        near, which = distances.topk(NEIGHBOURS, largest=False)

        def of_neighbours(values):
            return torch.gather(values.unsqueeze(1).expand(-1, images, -1), 2, which)

        reach = torch.maximum(of_neighbours(near[:, :, -1]), near)
        density = 1 / (reach.mean(2) + 1e-10)
        return of_neighbours(density).mean(2) / density

    figures[f"lof_784x{images}x128_ms"] = clock.median(outlier_factor, 5)
    return figures


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N, or cpu to try the program out")
    device = parser.parse_args().device
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise SystemExit("PyTorch finds no CUDA device")
        torch.cuda.set_device(torch.device(device))
        torch.backends.cudnn.benchmark = True
    small = not device.startswith("cuda")
    clock = Clock(device)
    name = "cpu" if small else torch.cuda.get_device_name()
    figures = {"device": name, "torch": torch.__version__, **products(clock, device, small)}
    of_net, queries = network(clock, device, small)
    figures |= of_net | search(clock, queries, small) | greedy(clock, device, small)
    print(json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in figures.items()}, indent=1))


if __name__ == "__main__":
    main()
