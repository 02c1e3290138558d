"""Image files: every format and mode that Pillow writes, with odd sizes, tags and chunks whose checksums are right."""

import io
import struct
import zlib
from random import Random

import numpy as np
from PIL import Image

from tests.fuzz.mutation import odd, raw

FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I"), "JPEG": ("L", "RGB", "CMYK", "YCbCr"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16", "I", "F"),
    "WEBP": ("RGB", "RGBA", "L"), "GIF": ("P", "L", "RGB"), "TGA": ("RGB", "L"), "PPM": ("RGB", "L", "1", "F"),
    "ICO": ("RGBA",), "PCX": ("RGB", "P"), "SGI": ("RGB", "L"), "DIB": ("RGB",), "MPO": ("RGB",),
    "JPEG2000": ("RGB", "L", "I;16"), "EPS": ("RGB", "L"), "PDF": ("RGB",), "IM": ("RGB", "F", "P"), "SPIDER": ("F",),
    "XBM": ("1",), "MSP": ("1",), "DDS": ("RGB",), "QOI": ("RGB",),
}  # fmt: skip
USUAL = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_TIFFS = (
    None,
    None,
    "tiff_lzw",
    "tiff_adobe_deflate",
    "packbits",
    "jpeg",
    "group4",
    "tiff_ccitt",
    "tiff_thunderscan",
    "lzma",
    "zstd",
    "webp",
)


def image(random: Random, size: tuple[int, int], *, formats: tuple[str, ...] = USUAL) -> bytes:
    """A file of noise, (height, width), valid: in a format and mode by chance. Where that cannot be written, a PNG."""
    chosen = random.choice(formats)
    mode = random.choice(FORMATS[chosen])
    height, width = size
    noise = np.random.default_rng(random.getrandbits(32)).integers(0, 256, (height, width, 3), np.uint8)
    picture = _in_mode(Image.fromarray(noise), mode)
    return _saved(random, picture, chosen)


def _in_mode(picture: Image.Image, mode: str) -> Image.Image:
    if mode == "I;16":
        return Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    if mode == "LAB":
        return Image.merge("LAB", picture.split())
    return picture.convert(mode)


def _saved(random: Random, picture: Image.Image, chosen: str) -> bytes:
    stream = io.BytesIO()
    options: dict[str, object] = {}
    if random.random() < 0.2:
        exif = Image.Exif()
        exif[0x0112] = random.choice((1, 3, 5, 6, 8, 9, 0, 65535))
        options["exif"] = exif
    if random.random() < 0.1:
        options["icc_profile"] = random.randbytes(200)
    if chosen == "TIFF":
        options["compression"] = random.choice(_TIFFS)
    if chosen in ("TIFF", "GIF", "WEBP", "PNG", "MPO") and random.random() < 0.15:
        options |= {"save_all": True, "append_images": [picture.copy(), picture.resize((3, 5))]}
    try:
        picture.save(stream, chosen, **options)
    except (OSError, ValueError, KeyError, TypeError, struct.error, RuntimeError, AttributeError):
        stream = io.BytesIO()
        picture.convert("RGB").save(stream, "PNG")
    return stream.getvalue()


def mutated(random: Random, content: bytes) -> bytes:
    """The file changed: chunks of a PNG with right checksums, tags of a TIFF, bytes of any."""
    roll = random.random()
    if content.startswith(b"\x89PNG") and roll < 0.7:
        return _png(random, content)
    if content[:2] in (b"II", b"MM") and roll < 0.6:
        return _tiff(random, content)
    return raw.mutated(random, content)


def _png(random: Random, content: bytes) -> bytes:
    """One chunk changed, doubled, deleted, added or moved."""
    chunks, place = [], 8
    while place + 8 <= len(content):
        (length,) = struct.unpack(">I", content[place : place + 4])
        chunks.append((content[place + 4 : place + 8], content[place + 8 : place + 8 + length]))
        place += 12 + length
    action, index = (
        random.choice(("head", "head", "change", "change", "double", "delete", "add", "move", "pixels")),
        random.randrange(len(chunks)),
    )
    kind, data = chunks[index]
    if action == "head":
        start = random.choice((0, 0, 4, 4, 8, 9, 10, 11, 12))
        new = (
            struct.pack(">I", odd.size(random) & 0xFFFFFFFF)
            if start < 8
            else bytes((random.choice((0, 1, 2, 3, 4, 6, 8, 16, 255)),))
        )
        chunks[0] = (b"IHDR", chunks[0][1][:start] + new + chunks[0][1][start + len(new) :])
    elif action == "change":
        chunks[index] = (kind, raw.mutated(random, data))
    elif action == "double":
        chunks.insert(index, chunks[index])
    elif action == "delete":
        del chunks[index]
    elif action == "add":
        name = random.choice(
            (
                b"tRNS",
                b"PLTE",
                b"iCCP",
                b"eXIf",
                b"zTXt",
                b"iTXt",
                b"tEXt",
                b"acTL",
                b"fcTL",
                b"gAMA",
                b"cHRM",
                b"pHYs",
                b"IDAT",
                b"xXxX",
            )
        )
        chunks.insert(
            index,
            (
                name,
                random.choice(
                    (b"", random.randbytes(8), random.randbytes(26), b"a\0\0" + zlib.compress(bytes(1 << 20)))
                ),
            ),
        )
    elif action == "move":
        chunks.insert(random.randrange(len(chunks)), chunks.pop(index))
    else:
        chunks = [
            (k, zlib.compress(random.randbytes(random.choice((0, 10, 1000))))) if k == b"IDAT" else (k, d)
            for k, d in chunks
        ]
    parts = [struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks]
    return content[:8] + b"".join(parts)


def _tiff(random: Random, content: bytes) -> bytes:
    """One entry of the first directory: another tag, type, count or value."""
    order = "<" if content[:2] == b"II" else ">"
    changed = bytearray(content)
    (start,) = struct.unpack(order + "I", content[4:8])
    if start + 2 > len(content):
        return raw.mutated(random, content)
    (count,) = struct.unpack(order + "H", content[start : start + 2])
    entry = start + 2 + 12 * random.randrange(max(count, 1))
    offset, form = random.choice(((0, "H"), (2, "H"), (4, "I"), (8, "I"), (8, "I"), (8, "H")))
    tags = (254, 256, 257, 258, 259, 262, 273, 274, 277, 278, 279, 284, 317, 320, 322, 323, 330, 338, 339, 347, 34665)
    number = random.choice(tags) if offset == 0 else odd.integer(random)
    bits = 16 if form == "H" else 32
    changed[entry + offset : entry + offset + bits // 8] = struct.pack(order + form, number & ((1 << bits) - 1))
    return bytes(changed)
