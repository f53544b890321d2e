"""Broken images through the door from bytes to pixels: none may crash the process, hang it, or take its memory.

    python benchmarks/fuzz_decode.py --images=40000

Real photos are written in each format, then damaged: bits flipped, runs overwritten, parts cut out, doubled or swapped,
sizes in headers made absurd. Workers decode them under limits of memory and processor time, and say which one they are
at, so that a crash names its image: `--first=N --images=1` makes it again, `--keep=FOLDER` writes it.
"""

import argparse
import io
import json
import os
import random
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

BATCH = 2000  # images of one worker
HANGS_AFTER = 120  # seconds at one image
MEMORY = 3 * 2**30  # bytes that a worker may grow by; the largest image allowed takes 0.9 GiB in RGBA and its copies
NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
FORMATS = {
    "JPEG": [("RGB", {}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})],
    "PNG": [("RGB", {}), ("RGBA", {}), ("P", {}), ("L", {}), ("I;16", {})],
    "BMP": [("RGB", {}), ("RGBA", {}), ("L", {}), ("1", {})],
    "GIF": [("P", {}), ("P", {"animated": True})],
    "WEBP": [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", {"animated": True})],
    "PPM": [("RGB", {}), ("L", {}), ("1", {})],
    "TIFF": [("RGB", {}), ("L", {"compression": "tiff_lzw"}), ("RGB", {"compression": "tiff_deflate"}), ("F", {})],
}


def originals() -> list[tuple[str, bytes]]:
    """(format, contents): two photos in every format and mode."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_sample_images

    found = []
    for pixels in load_sample_images().images:
        photo = Image.fromarray(pixels).resize((48, 32))
        for kind, variants in FORMATS.items():
            for mode, options in variants:
                if mode == "I;16":
                    image = Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257)
                else:
                    image = photo.convert(mode)
                options = dict(options)
                frames = {"save_all": True, "append_images": [image.rotate(90)]} if options.pop("animated", 0) else {}
                out = io.BytesIO()
                image.save(out, kind, **options, **frames)
                found.append((kind, out.getvalue()))
    return found


def damage(contents: bytes, other: bytes, draw: random.Random) -> bytes:
    """`contents` with one to eight harms, more of them near the start, where headers are."""
    data = bytearray(contents)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        if len(data) < 8:
            break
        at = min(int(len(data) * draw.random() ** draw.choice((1, 4))), len(data) - 5)
        length = min(draw.choice((1, 2, 4, 16, 256)), len(data) - at)
        harm = draw.randrange(8)
        if harm == 0:
            data[at] ^= 1 << draw.randrange(8)
        elif harm == 1:
            data[at : at + length] = draw.randbytes(length)
        elif harm == 2:
            data[at : at + length] = bytes([draw.choice((0, 255))]) * length
        elif harm == 3:
            del data[at : at + length]
        elif harm == 4:
            data[at:at] = data[at : at + length] * draw.choice((1, 2, 64))
        elif harm == 5:
            del data[at:]
        elif harm == 6:
            size = draw.choice((2, 4))
            number = draw.choice(NUMBERS) % 256**size
            data[at : at + size] = number.to_bytes(size, draw.choice(("big", "little")))
        else:
            data[at : at + length] = other[at : at + length]
    return bytes(data)


def mutant(number: int, sources: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """The image of a number; the same in every run."""
    draw = random.Random(number)
    kind, contents = draw.choice(sources)
    return kind, damage(contents, draw.choice(sources)[1], draw)


def work(first: int, last: int, folder: Path) -> None:
    """Decodes images `first` to `last`; prints a line of JSON before and after each."""
    sources = originals()
    from keras_imgcls.data.decode import BadImage, read_image

    path = folder / "image"
    path.write_bytes(sources[0][1])
    read_image(path, 3), read_image(path, 1)  # TensorFlow is loaded, its graphs are traced
    before = _memory()
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + MEMORY, resource.RLIM_INFINITY))
    for number in range(first, last):
        kind, contents = mutant(number, sources)
        print(json.dumps({"number": number}), flush=True)
        path.write_bytes(contents)
        began = time.perf_counter()
        try:
            read_image(path, 3 if number % 2 else 1)
            outcome = "decoded"
        except BadImage:
            outcome = "refused"
        seconds = time.perf_counter() - began
        print(
            json.dumps({"kind": kind, "outcome": outcome, "seconds": seconds, "grown": _memory() - before}), flush=True
        )


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def run(first: int, last: int) -> tuple[list[dict], str]:
    """What a worker said, and how it ended; an empty string where it did all."""
    said: list[dict] = []
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            __file__,
            "--worker",
            f"--first={first}",
            f"--images={last - first}",
            f"--keep={folder}",
        ]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(Path(__file__).parents[1])}
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        while True:
            if not select.select([process.stdout], [], [], HANGS_AFTER)[0]:
                process.kill()
                return said, f"hangs at {said[-1:]}"
            line = process.stdout.readline()
            if not line:
                break
            said.append(json.loads(line))
        errors = process.stderr.read().strip().splitlines()[-1:]
        return said, "" if process.wait() == 0 else f"exit code {process.returncode} at {said[-1:]}: {errors}"


def main() -> int:
    """Runs workers one after another and prints a table; 1 where an image did harm."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--images", type=int, default=20_000)
    arguments.add_argument("--first", type=int, default=0)
    arguments.add_argument("--keep", type=Path)
    arguments.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = arguments.parse_args()
    last = given.first + given.images
    if given.worker:
        work(given.first, last, given.keep)
        return 0
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
        sources = originals()
        for number in range(given.first, last):
            kind, contents = mutant(number, sources)
            (given.keep / f"{number}.{kind.lower()}").write_bytes(contents)
        return 0
    counts, slowest, grown, harms, number = Counter(), 0.0, 0, [], given.first
    while number < last:
        said, harm = run(number, min(number + BATCH, last))
        done = [answer for answer in said if "outcome" in answer]
        counts.update((answer["kind"], answer["outcome"]) for answer in done)
        slowest = max([slowest, *(answer["seconds"] for answer in done)])
        grown = max([grown, *(answer["grown"] for answer in done)])
        harms += [harm] if harm else []
        number += len(done) + bool(harm)
        print(f"{number - given.first:,} of {given.images:,} images, {len(harms)} did harm {harm}", flush=True)
    print(f"\n{'format':<8}{'images':>10}{'decoded':>10}{'refused':>10}")
    for kind in FORMATS:
        decoded, refused = counts[kind, "decoded"], counts[kind, "refused"]
        print(f"{kind:<8}{decoded + refused:>10,}{decoded:>10,}{refused:>10,}")
    print(f"\nslowest {slowest:.2f} s; memory grew by {grown / 2**20:,.0f} MiB at most; {len(harms)} did harm")
    return 1 if harms else 0


if __name__ == "__main__":
    sys.exit(main())
