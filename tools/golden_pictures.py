"""Writes tests/golden/pictures.safetensors: small picture files of every sort, and the pixels they have to give.

For each case the file's bytes (`<case>/file`), the 8-bit RGB pixels (`pixels/<n>`, shared by cases), and in the
metadata what is expected: exact pixels, pixels within some levels, or a refusal with a text. Files are written by
Pillow, tifffile and imagecodecs, and where those cannot, by the few lines below; pixels are those that were
written, checked against Pillow's where it reads the file.

    python tools/golden_pictures.py
"""

import io
import json
import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import tifffile
from PIL import Image
from safetensors.numpy import save_file

WIDTH, HEIGHT = 33, 18
rng = np.random.default_rng(7)
tensors, expected, shared = {}, {}, {}

yy, xx = np.mgrid[0:HEIGHT, 0:WIDTH]
smooth = np.stack([120 + 90 * np.sin(xx / 9 + yy / 14), 40 + 5 * xx + yy, 230 - 4 * xx - 3 * yy], -1)
SMOOTH = np.clip(smooth, 0, 255).astype(np.uint8)
RGB = np.clip(smooth + rng.integers(-20, 20, smooth.shape), 0, 255).astype(np.uint8)
GREY = RGB[..., 0].copy()
ALPHA = (xx * 7 % 256).astype(np.uint8)
BITS = (GREY > 128).astype(np.uint8)


def grey3(values):
    return np.repeat(np.asarray(values)[..., None], 3, -1)


def level(values, most):
    """To 8 bit, as the rule of levels has it."""
    return ((values.astype(np.uint64) * 255 + most // 2) // most).astype(np.uint8)


def case(name, data, pixels=None, within=0, refused=None, **more):
    assert name not in expected, name
    tensors[f"{name}/file"] = np.frombuffer(bytes(data), np.uint8)
    expect = dict(more)
    if refused:
        expect["refused"] = refused
    else:
        pixels = np.ascontiguousarray(pixels if pixels.ndim == 3 else grey3(pixels))
        assert pixels.dtype == np.uint8 and pixels.shape[2] == 3, (name, pixels.dtype, pixels.shape)
        key = shared.setdefault(pixels.tobytes() + repr(pixels.shape).encode(), f"pixels/{len(shared)}")
        tensors[key] = pixels
        expect |= {"pixels": key, "within": within}
    expected[name] = expect


def pillow(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def saved(image, kind, **options):
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


# ---- PNG ------------------------------------------------------------------------------------------------------


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, colour, chunks=b"", interlaced=False):
    """A PNG of `samples`, `[height][width][channels]`."""

    def rows(part):
        out = b""
        for row in part.reshape(part.shape[0], -1):
            if depth == 16:
                out += b"\0" + row.astype(">u2").tobytes()
            else:
                bits = (row[:, None] >> np.arange(depth - 1, -1, -1)) & 1
                out += b"\0" + np.packbits(bits.astype(np.uint8)).tobytes()
        return out

    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    raw = b"".join(rows(samples[y::dy, x::dx]) for x, y, dx, dy in passes)
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, colour, 0, 0, interlaced)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


deep = GREY.astype(np.uint16) * 257 ^ rng.integers(0, 64, GREY.shape).astype(np.uint16)
deep_rgb = RGB.astype(np.uint16) * 250 + 7
low12 = (GREY.astype(np.uint16) << 4 | rng.integers(0, 16, GREY.shape)).astype(np.uint16)
palette = rng.integers(0, 256, (256, 3)).astype(np.uint8)
for depth in (1, 2, 4, 8):
    index = GREY >> (8 - depth)
    for interlaced in (False, True):
        suffix = f"{depth}{'-interlaced' if interlaced else ''}"
        data = png(index, depth, 0, interlaced=interlaced)
        case(f"png-grey-{suffix}", data, level(index, 2**depth - 1))
        colours = palette[: 2**depth]
        data = png(index, depth, 3, chunk(b"PLTE", colours.tobytes()), interlaced)
        case(f"png-palette-{suffix}", data, colours[index])
        assert (pillow(data) == colours[index]).all()
case("png-palette-trns", png(GREY >> 4, 4, 3, chunk(b"PLTE", palette[:16].tobytes()) + chunk(b"tRNS", b"\0\x80")), palette[GREY >> 4])
case("png-grey-trns", png(GREY, 8, 0, chunk(b"tRNS", b"\0\x80")), GREY)
case("png-grey-alpha", png(np.dstack([GREY, ALPHA]), 8, 4), GREY, notes=["alpha"])
case("png-rgba-constant", png(np.dstack([RGB, ALPHA * 0 + 9]), 8, 6), RGB, notes=[])
case("png-rgba", png(np.dstack([RGB, ALPHA]), 8, 6, interlaced=True), RGB, notes=["alpha"])
case("png-grey-16", png(deep, 16, 0), level(deep, 65535))
case("png-rgb-16", png(deep_rgb, 16, 2, interlaced=True), level(deep_rgb, 65535))
case("png-rgba-16", png(np.dstack([deep_rgb, deep]), 16, 6), level(deep_rgb, 65535), notes=["alpha"])
case("png-sbit-lower", png(low12, 16, 0, chunk(b"sBIT", b"\x0c")), level(low12, 4095), bits=12)
upper = low12 << 4
case("png-sbit-upper", png(upper, 16, 0, chunk(b"sBIT", b"\x0c")), level(upper, 65535), bits=16)
repeated = upper | low12 >> 8
case("png-sbit-repeated", png(repeated, 16, 0, chunk(b"sBIT", b"\x0c")), level(repeated, 65535), bits=16)
frames = [Image.fromarray(RGB), Image.fromarray(RGB[::-1].copy())]
case("png-animated", saved(frames[0], "PNG", save_all=True, append_images=frames[1:]), RGB, notes=["frames"])

# ---- TIFF -----------------------------------------------------------------------------------------------------


def tif(values, **options):
    out = io.BytesIO()
    tifffile.imwrite(out, values, metadata=None, **options)
    return out.getvalue()


def raw_tiff(data, tags, order="<"):
    """A TIFF of one strip."""
    tags = {256: WIDTH, 257: HEIGHT, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: HEIGHT, 279: len(data)} | tags
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(data) + len(data) % 2)
    entries, extra = b"", b""
    after = 8 + len(data) + len(data) % 2 + 2 + len(tags) * 12 + 4
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, tuple) else (value,)
        body = struct.pack(f"{order}{len(values)}I", *values)
        place = body if len(values) == 1 else struct.pack(order + "I", after + len(extra))
        extra += body if len(values) > 1 else b""
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + place
    return head + data + b"\0" * (len(data) % 2) + struct.pack(order + "H", len(tags)) + entries + b"\0" * 4 + extra


def packed(values, depth):
    """Rows of samples of `depth` bits."""
    rows = values.reshape(values.shape[0], -1).astype(np.uint32)
    return np.packbits(((rows[..., None] >> np.arange(depth - 1, -1, -1)) & 1).reshape(len(rows), -1).astype(np.uint8), axis=1).tobytes()


for name, options in {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "bigtiff": {"bigtiff": True},
    "bigtiff-big-endian": {"bigtiff": True, "byteorder": ">"},
    "strips": {"rowsperstrip": 4},
    "tiles": {"tile": (16, 32)},
    "lzw": {"compression": "lzw"},
    "deflate-predictor": {"compression": "zlib", "predictor": True},
    "packbits": {"compression": "packbits"},
    "zstd-tiles": {"compression": "zstd", "predictor": True, "tile": (16, 16)},
}.items():
    case(f"tiff-rgb-{name}", tif(RGB, photometric="rgb", **options), RGB)
    case(f"tiff-grey-16-{name}", tif(deep, photometric="minisblack", **options), level(deep, 65535))
for name, options in {"strips": {"rowsperstrip": 5}, "tiles": {"tile": (16, 16)}, "lzw": {"compression": "lzw", "predictor": True}}.items():
    planes = np.moveaxis(RGB, -1, 0)
    case(f"tiff-planar-{name}", tif(planes, photometric="rgb", planarconfig="separate", **options), RGB)
data = tif(SMOOTH, photometric="rgb", compression="jpeg", compressionargs={"level": 95}, tile=(16, 16))
case("tiff-jpeg", data, tifffile.imread(io.BytesIO(data)), within=4, why="another inverse transform")
data = saved(Image.fromarray(SMOOTH), "TIFF", compression="jpeg")
case("tiff-jpeg-pillow", data, pillow(data), within=3, why="another inverse transform")
case("tiff-palette", tif(GREY, photometric="palette", colormap=palette.T.astype(np.uint16) * 257), palette[GREY])
case("tiff-palette-4", raw_tiff(packed(GREY >> 4, 4), {258: 4, 262: 3, 320: tuple(int(v) * 257 for v in palette[:16].T.ravel())}), palette[GREY >> 4])
case("tiff-palette-8-in-16", raw_tiff(GREY.tobytes(), {262: 3, 320: tuple(int(v) for v in palette.T.ravel())}), palette[GREY])
ink = np.dstack([255 - RGB, ALPHA // 3])
cmyk = saved(Image.fromarray(ink, "CMYK"), "TIFF")
case("tiff-cmyk", cmyk, pillow(cmyk), notes=["CMYK"])
case("tiff-rgb-alpha", tif(np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unassalpha"]), RGB, notes=["alpha"])
case("tiff-rgb-extra", tif(np.dstack([RGB, ALPHA]), photometric="rgb", extrasamples=["unspecified"]), RGB, notes=["channels"])
case("tiff-grey-alpha-16", tif(np.dstack([deep, deep]), photometric="minisblack", planarconfig="contig", extrasamples=["unassalpha"]), level(deep, 65535), notes=["alpha"])
case("tiff-pages", tif(np.stack([RGB, RGB[::-1], RGB]), photometric="rgb"), RGB, notes=["pages"])
case("tiff-stack", tif(np.dstack([RGB, RGB]), photometric="minisblack", planarconfig="contig"), refused="6 channels")
case("tiff-white-is-zero", tif(255 - GREY, photometric="miniswhite"), GREY)
case("tiff-white-is-zero-16", tif(65535 - deep, photometric="miniswhite", compression="zlib"), level(deep, 65535))
case("tiff-1-black-is-zero", raw_tiff(packed(BITS, 1), {258: 1}), BITS * 255)
case("tiff-1-white-is-zero", raw_tiff(packed(1 - BITS, 1), {258: 1, 262: 0}), BITS * 255)
reverse = bytes(int(f"{b:08b}"[::-1], 2) for b in packed(BITS, 1))
case("tiff-1-reversed", raw_tiff(reverse, {258: 1, 266: 2}), BITS * 255)
for compression in ("group3", "group4", "packbits", "tiff_lzw", "tiff_adobe_deflate"):
    data = saved(Image.fromarray(BITS * 255).convert("1"), "TIFF", compression=compression)
    case(f"tiff-1-{compression}", data, BITS * 255)
for depth in (2, 4, 6, 10, 12, 14):
    values = (deep >> (16 - depth)).astype(np.uint16)
    for order in "<>":
        data = raw_tiff(packed(values, depth), {258: depth}, order)
        case(f"tiff-packed-{depth}-{'little' if order == '<' else 'big'}", data, level(values, 2**depth - 1), **({"bits": depth} if depth > 8 else {}))
triple = np.dstack([deep >> 6, deep >> 7, deep >> 8])
case("tiff-packed-rgb-10", raw_tiff(packed(triple, 10), {258: (10, 10, 10), 262: 2, 277: 3}), level(triple, 1023), bits=10)
case("tiff-max-sample", raw_tiff(low12.tobytes(), {258: 16, 281: int(low12.max())}), level(low12, 4095), bits=12)
case("tiff-smax-sample", raw_tiff(low12.tobytes(), {258: 16, 341: 4095}), level(low12, 4095), bits=12)
case("tiff-12-in-16", raw_tiff(low12.tobytes(), {258: 16}), level(low12, 65535), bits=12)
case("tiff-12-in-16-bits", raw_tiff(low12.tobytes(), {258: 16}), level(low12, 4095), options={"bits": 12})
case("tiff-8-in-16", raw_tiff(GREY.astype("<u2").tobytes(), {258: 16}), GREY, options={"bits": 8})
case("tiff-wrong-length", raw_tiff(GREY.tobytes(), {279: 7}), GREY)
case("tiff-12-upper", raw_tiff(upper.tobytes(), {258: 16}), level(upper, 65535), bits=16)
case("tiff-12-too-large", raw_tiff(upper.tobytes(), {258: 16}), refused="--bits 16", options={"bits": 12})
case("tiff-16-range", raw_tiff(low12.tobytes(), {258: 16}), np.round(np.clip((low12 - 500.0) / 2500, 0, 1) * 255 - 1e-9).astype(np.uint8), options={"black": 500, "white": 3000})
floats = GREY / np.float32(255)
for name, values in {"float16": floats.astype(np.float16), "float32": floats, "float64": floats.astype(np.float64), "uint32": deep.astype(np.uint32) << 16, "int16": deep.astype(np.int32).astype(np.int16), "int32": deep.astype(np.int32) - 9}.items():
    case(f"tiff-{name}", tif(values, photometric="minisblack"), refused="--black and --white")
    white = 1.0 if "float" in name else 2.0**32 - 1 if name == "uint32" else 30000.0
    scaled = np.floor(np.clip(values.astype(np.float64) / white, 0, 1) * 255 + 0.5).astype(np.uint8)
    for order in "<>":
        data = tif(values, photometric="minisblack", byteorder=order)
        case(f"tiff-{name}-range{order}", data, scaled, options={"black": 0, "white": white})
case("tiff-float32-predictor", tif(floats, photometric="minisblack", compression="zlib", predictor=True), level(GREY, 255), options={"black": 0, "white": 1})
case("tiff-float32-predictor-big", tif(floats, photometric="minisblack", compression="zlib", predictor=True, byteorder=">"), level(GREY, 255), options={"black": 0, "white": 1})
holes = floats.copy()
holes[3, 4] = np.nan
case("tiff-nan", tif(holes, photometric="minisblack"), refused="NaN", options={"black": 0, "white": 1})
case("tiff-lzma", tif(RGB, photometric="rgb", compression="lzma"), refused="LZMA")
case("tiff-jpeg2000", tif(RGB, photometric="rgb", compression="jpeg2000"), refused="JPEG 2000")
case("tiff-lab", raw_tiff(RGB.tobytes(), {258: (8, 8, 8), 262: 8, 277: 3}), refused="L*a*b*")
case("tiff-raw-photo", raw_tiff(GREY.tobytes(), {262: 32803}), refused="RAW")
case("tiff-subsampled", raw_tiff(RGB.tobytes(), {258: (8, 8, 8), 262: 6, 277: 3}), refused="halved colours")

# ---- BMP ------------------------------------------------------------------------------------------------------


def bmp(rows, bits, height=HEIGHT, compression=0, colours=b"", offset=None, header=40, masks=b""):
    if header == 12:
        head = struct.pack("<IHHHH", 12, WIDTH, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, WIDTH, height, 1, bits, compression, len(rows), 0, 0, len(colours) // 4, 0)
        head += b"\0" * (header - 40)
    start = 14 + len(head) + len(masks) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start if offset is None else offset) + head + masks + colours + rows


def bmp_rows(row_bytes, down=False):
    rows = [bytes(r) + b"\0" * (-len(bytes(r)) % 4) for r in row_bytes]
    return b"".join(rows if down else rows[::-1])


four = np.hstack([palette[:, ::-1], np.zeros((256, 1), np.uint8)])
for depth in (1, 4, 8):
    index = GREY >> (8 - depth)
    rows = [packed(index[y : y + 1], depth) for y in range(HEIGHT)]
    case(f"bmp-palette-{depth}", bmp(bmp_rows(rows), depth, colours=four[: 2**depth].tobytes()), palette[index])
    case(f"bmp-core-{depth}", bmp(bmp_rows(rows), depth, colours=four[: 2**depth, :3].tobytes(), header=12), palette[index])
rows = bmp_rows(GREY)
case("bmp-top-down", bmp(bmp_rows(GREY, True), 8, -HEIGHT, colours=four.tobytes()), palette[GREY])
case("bmp-offset-0", bmp(rows, 8, colours=four.tobytes(), offset=0), palette[GREY], notes=["pixel offset"])
case("bmp-offset-in-palette", bmp(rows, 8, colours=four.tobytes(), offset=54), palette[GREY], notes=["pixel offset"])
case("bmp-offset-mid-palette", bmp(rows, 8, colours=four.tobytes(), offset=90), palette[GREY], notes=["pixel offset"])
case("bmp-grey", saved(Image.fromarray(GREY), "BMP"), GREY)
case("bmp-rgb", saved(Image.fromarray(RGB), "BMP"), RGB)
case("bmp-rgba", saved(Image.fromarray(np.dstack([RGB, ALPHA])), "BMP"), RGB)
for name, masks in {"565": (0xF800, 0x7E0, 0x1F), "555": (0x7C00, 0x3E0, 0x1F)}.items():
    widths = [bin(m).count("1") for m in masks]
    parts = [(RGB[..., c].astype(int) >> (8 - w)) for c, w in enumerate(widths)]
    word = sum(p << (m & -m).bit_length() - 1 for p, m in zip(parts, masks)).astype("<u2")
    data = bmp(bmp_rows([r.tobytes() for r in word]), 16, compression=3, masks=struct.pack("<III", *masks))
    case(f"bmp-{name}", data, pillow(data), within=1, why="5 bits to 8 round in two ways")
runs = b"".join(b"".join(bytes([1, v]) for v in GREY[y]) + b"\0\0" for y in range(HEIGHT - 1, -1, -1)) + b"\0\1"
case("bmp-rle8", bmp(runs, 8, compression=1, colours=four.tobytes()), palette[GREY])

# ---- GIF, WebP, QOI, portable anymaps ---------------------------------------------------------------------------

indexed = Image.fromarray(GREY >> 3)
indexed.putpalette(palette[:32].tobytes())
case("gif", saved(indexed, "GIF"), palette[GREY >> 3], notes=[])
other = Image.fromarray((GREY >> 3)[::-1].copy())
other.putpalette(palette[:32].tobytes())
case("gif-frames", saved(indexed, "GIF", save_all=True, append_images=[other]), palette[GREY >> 3], notes=["frames"])
for name, options in {"": {}, "-transparent": {"transparency": 5}}.items():
    # On a larger screen, at 4, 6.
    data = bytearray(saved(indexed, "GIF", **options))
    frame = data.index(b"," + bytes(4) + struct.pack("<HH", WIDTH, HEIGHT))
    data[6:10], data[frame + 1 : frame + 5] = struct.pack("<HH", 40, 30), struct.pack("<HH", 4, 6)
    case(f"gif-offset{name}", data, pillow(data))
case("gif-interlaced", saved(indexed, "GIF", interlace=1), palette[GREY >> 3])
case("webp-lossless", saved(Image.fromarray(RGB), "WEBP", lossless=True), RGB)
case("webp-alpha", saved(Image.fromarray(np.dstack([RGB, ALPHA])), "WEBP", lossless=True, exact=True), RGB, notes=["alpha"])
data = saved(Image.fromarray(SMOOTH), "WEBP", quality=90)
case("webp-lossy", data, pillow(data), within=2, why="another rounding from YUV to RGB")
data = saved(frames[0], "WEBP", lossless=True, save_all=True, append_images=frames[1:])
case("webp-frames", data, RGB, notes=["frames"])
case("qoi", imagecodecs.qoi_encode(RGB), RGB)


def text(values):
    return " ".join(map(str, np.asarray(values).ravel())).encode()


size = f"{WIDTH} {HEIGHT}\n".encode()
case("pnm-p1", b"P1 # made\n" + size + text(1 - BITS), BITS * 255)
case("pnm-p4", b"P4\n" + size + packed(1 - BITS, 1), BITS * 255)
case("pnm-p2", b"P2\n" + size + b"255\n" + text(GREY), GREY)
case("pnm-p2-small", b"P2\n" + size + b"99\n" + text(GREY % 100), level(GREY % 100, 99))
case("pnm-p3", b"P3\n#c\n" + size + b"255\n" + text(RGB), RGB)
case("pnm-p5", b"P5\n" + size + b"255\n" + GREY.tobytes(), GREY)
case("pnm-p6", b"P6\n" + size + b"255\n" + RGB.tobytes(), RGB)
case("pnm-p5-16", b"P5\n" + size + b"65535\n" + deep.astype(">u2").tobytes(), level(deep, 65535))
case("pnm-p5-12", b"P5\n" + size + b"4095\n" + low12.astype(">u2").tobytes(), level(low12, 4095), bits=12)
case("pnm-p7", b"P7\n" + f"WIDTH {WIDTH}\nHEIGHT {HEIGHT}\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n".encode() + np.dstack([RGB, ALPHA]).tobytes(), RGB, notes=["alpha"])

# ---- JPEG -----------------------------------------------------------------------------------------------------

WHY = "another inverse transform and another way to make colours finer"
tables = saved(Image.fromarray(SMOOTH), "JPEG", quality=90)
DQT = [np.frombuffer(tables[tables.index(b"\xff\xdb") + 5 :][:64], np.uint8)] * 2


def huffman_tables():
    """The standard tables as a segment and as codes, from a file of Pillow's."""
    at, out, codes = 2, b"", {}
    while tables[at + 1] != 0xDA:
        length = struct.unpack(">H", tables[at + 2 : at + 4])[0]
        if tables[at + 1] == 0xC4:
            out += tables[at : at + 2 + length]
            body = tables[at + 4 : at + 2 + length]
            while body:
                counts, code, place = body[1:17], 0, 17
                for bits, count in enumerate(counts, 1):
                    for _ in range(count):
                        codes[body[0], body[place]] = (code, bits)
                        code, place = code + 1, place + 1
                    code <<= 1
                body = body[place:]
        at += 2 + length
    return out, codes


DHT, CODES = huffman_tables()
ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))
DCT = np.array([[np.cos((2 * x + 1) * u * np.pi / 16) * (0.5 if u else 0.5**1.5) for x in range(8)] for u in range(8)])


def jpeg(factors, apart=False, dht=DHT, restart=0, width=WIDTH, height=HEIGHT, grey=False):
    """A baseline JPEG of SMOOTH with these sampling factors, in one scan or with a scan for each component."""
    pixels = np.asarray(Image.fromarray(SMOOTH).convert("YCbCr"))[:height, :width].astype(float)
    hs, vs = [h for h, _ in factors], [v for _, v in factors]
    across, down = -(-width // (8 * max(hs))), -(-height // (8 * max(vs)))
    planes = []
    for c, (h, v) in enumerate(factors):
        y = np.minimum((np.arange(down * 8 * v) + 0.5) * max(vs) / v, height - 1).astype(int)
        x = np.minimum((np.arange(across * 8 * h) + 0.5) * max(hs) / h, width - 1).astype(int)
        planes.append(pixels[y][:, x, c] - 128)

    def encode(order):
        bits, out, last, done = [], b"", dict.fromkeys(range(3), 0), 0

        def put(value, count):
            bits.extend((value >> i) & 1 for i in range(count - 1, -1, -1))

        def number(value):
            size = int(abs(value)).bit_length()
            return size, value if value >= 0 else value + (1 << size) - 1

        def flush():
            bits.extend([1] * (-len(bits) % 8))
            data = np.packbits(np.array(bits, np.uint8)).tobytes().replace(b"\xff", b"\xff\0")
            bits.clear()
            return data

        for n, unit in enumerate(order):
            if restart and n and n % restart == 0:
                out += flush() + bytes([0xFF, 0xD0 + done % 8])
                done, last = done + 1, dict.fromkeys(range(3), 0)
            for c, row, column in unit:
                block = DCT @ planes[c][row * 8 : row * 8 + 8, column * 8 : column * 8 + 8] @ DCT.T
                values = [int(v) for v in np.round(block.ravel()[ZIGZAG] / DQT[0])]
                size, code = number(values[0] - last[c])
                last[c] = values[0]
                put(*CODES[0, size])
                put(code, size)
                zeros = 0
                for value in values[1:]:
                    if value == 0:
                        zeros += 1
                        continue
                    while zeros > 15:
                        put(*CODES[0x10, 0xF0])
                        zeros -= 16
                    size, code = number(value)
                    put(*CODES[0x10, zeros << 4 | size])
                    put(code, size)
                    zeros = 0
                if zeros:
                    put(*CODES[0x10, 0])
        return out + flush()

    def scan(parts, order):
        return struct.pack(">BBHB", 0xFF, 0xDA, 6 + 2 * len(parts), len(parts)) + b"".join(bytes([c + 1, 0]) for c in parts) + b"\0\x3f\0" + encode(order)

    frame = struct.pack(">BHHB", 8, height, width, len(factors)) + b"".join(bytes([c + 1, h << 4 | v, 0]) for c, (h, v) in enumerate(factors))
    out = b"\xff\xd8\xff\xdb\0\x43\0" + DQT[0].tobytes() + b"\xff\xc0" + struct.pack(">H", len(frame) + 2) + frame + dht
    if restart:
        out += b"\xff\xdd\0\x04" + struct.pack(">H", restart)
    if apart:
        for c, (h, v) in enumerate(factors):
            rows, columns = -(--(-height * v // max(vs)) // 8), -(--(-width * h // max(hs)) // 8)
            out += scan([c], [[(c, y, x)] for y in range(rows) for x in range(columns)])
    else:
        out += scan(range(len(factors)), [[(c, my * v + j, mx * h + i) for c, (h, v) in enumerate(factors) for j in range(v) for i in range(h)] for my in range(down) for mx in range(across)])
    return out + b"\xff\xd9"


ONE = (1, 1)
for name, factors in {"444": [ONE] * 3, "422": [(2, 1), ONE, ONE], "440": [(1, 2), ONE, ONE], "420": [(2, 2), ONE, ONE], "411": [(4, 1), ONE, ONE], "410": [(4, 2), ONE, ONE], "311": [(3, 1), ONE, ONE], "313": [(1, 3), ONE, ONE], "finer-2x1": [ONE, (2, 1), (2, 1)], "finer-2x2": [ONE, (2, 2), (2, 2)], "uneven": [(2, 2), (2, 1), (1, 2)], "all-2x2": [(2, 2)] * 3, "all-2x1": [(2, 1)] * 3, "grey": [ONE], "grey-2x2": [(2, 2)]}.items():
    for apart in (False, True):
        if apart and len(factors) == 1 or not apart and sum(h * v for h, v in factors) > 10:
            continue  # a unit has ten blocks at most
        data = jpeg(factors, apart)
        case(f"jpeg-{name}{'-apart' if apart else ''}", data, pillow(data), within=4, why=WHY)
data = jpeg([(3, 1), (2, 1), ONE])
case("jpeg-no-whole-ratio", data, refused="no whole number")
data = jpeg([(2, 1), ONE, ONE])
bare = jpeg([(2, 1), ONE, ONE], dht=b"")
case("jpeg-no-tables", bare, pillow(data), within=4, why=WHY)
case("jpeg-no-end", data[:-2], pillow(data), within=4, why=WHY, notes=["end marker"])
case("jpeg-trailing", data + bytes(range(200)), pillow(data), within=4, why=WHY)
thumbnail = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
case("jpeg-thumbnail", data[:2] + thumbnail + data[2:], pillow(data), within=4, why=WHY)
data = jpeg([(2, 2), ONE, ONE], restart=2)
case("jpeg-restart", data, pillow(data), within=4, why=WHY)
gone = data.index(b"\xff\xd1")
case("jpeg-restart-missing", data[: data.index(b"\xff\xd0")] + data[gone:], refused="missing")
for name, options in {"progressive": {"progressive": True}, "progressive-444": {"progressive": True, "subsampling": 0}, "optimised": {"optimize": True}}.items():
    data = saved(Image.fromarray(RGB), "JPEG", quality=85, **options)
    case(f"jpeg-{name}", data, pillow(data), within=4, why=WHY)
data = saved(Image.fromarray(GREY), "JPEG", progressive=True)
case("jpeg-grey-progressive", data, pillow(data), within=2, why=WHY)
data = saved(Image.fromarray(SMOOTH), "JPEG", keep_rgb=True, quality=90)
case("jpeg-rgb", data, pillow(data), within=2, why=WHY)
data = saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=90)
case("jpeg-cmyk", data, pillow(data), within=4, why=WHY, notes=["CMYK"])
at = data.index(b"\xff\xee")
data = data[:at] + data[at + 16 :]
case("jpeg-cmyk-plain", data, pillow(data), within=4, why=WHY)
data = imagecodecs.jpeg8_encode(255 - ink, level=90, colorspace="CMYK", outcolorspace="YCCK")
case("jpeg-ycck", data, pillow(data), within=4, why=WHY)
data = imagecodecs.jpeg8_encode(GREY, lossless=True, predictor=4)
case("jpeg-lossless", data, GREY)
data = imagecodecs.jpeg8_encode(RGB, lossless=True, predictor=1)
case("jpeg-lossless-rgb", data, RGB)
deep_jpeg = imagecodecs.jpeg8_encode(deep, lossless=True, bitspersample=16)
case("jpeg-lossless-16", deep_jpeg, level(deep, 65535), bits=16)
case("jpeg-lossless-12", imagecodecs.jpeg8_encode(low12, lossless=True, bitspersample=12), level(low12, 4095), bits=12)
case("jpeg-12", imagecodecs.jpeg8_encode((GREY.astype(np.uint16) << 4), bitspersample=12), refused="JPEG of 12 bit")
case("jpeg-ls", imagecodecs.jpegls_encode(GREY), refused="JPEG-LS")
data = jpeg([ONE])
case("jpeg-arithmetic", data.replace(b"\xff\xc0", b"\xff\xc9", 1), refused="arithmetic")
case("jpeg-hierarchical", data.replace(b"\xff\xc0", b"\xff\xc5", 1), refused="hierarchical")
data = jpeg([(2, 2), ONE, ONE])
case("jpeg-cut-but-ended", data[: len(data) * 3 // 5] + b"\xff\xd9", refused="ends too early")
data = saved(Image.fromarray(RGB), "JPEG", progressive=True)
case("jpeg-progressive-cut-but-ended", data[: data.rindex(b"\xff\xda")] + b"\xff\xd9", refused="ends too early")

# ---- Kinds that are known and not read ------------------------------------------------------------------------

for name, data, text in [
    ("heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "a HEIC file"),
    ("avif", b"\0\0\0\x1cftypavif\0\0\0\0mif1avif", "an AVIF file"),
    ("jpeg-xl", imagecodecs.jpegxl_encode(GREY), "a JPEG XL file"),
    ("jpeg-2000", imagecodecs.jpeg2k_encode(GREY), "a JPEG 2000 file"),
    ("psd", b"8BPS\0\1", "a PSD file"),
    ("exr", b"v/1\x01\2\0\0\0", "an EXR file"),
    ("dicom", b"\0" * 128 + b"DICM", "a DICOM file"),
    ("fits", b"SIMPLE  =                    T", "a FITS file"),
    ("svg", b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "an SVG file"),
    ("text", b"This is no picture.", "no known image format"),
]:
    case(f"other-{name}", data, refused=text)

path = Path(__file__).parent.parent / "tests/golden/pictures.safetensors"
save_file(tensors, path, {"expected": json.dumps(expected)})
print(f"{len(expected)} cases, {path.stat().st_size} bytes")
