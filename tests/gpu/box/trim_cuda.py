# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zero the CUDA machine code of other architectures in shared libraries, so that they compress to a fraction.

``trim_cuda.py --keep 90 LIBRARY...`` changes the libraries in place. A library keeps its size and its symbols. Its
intermediate code (PTX) stays, since some kernels have no machine code for the kept architecture; ``--drop-ptx`` zeroes
that as well, for a library that will not be called.
"""

from __future__ import annotations

import argparse
import mmap
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# A fat binary as CUDA's own tools write it: a header, then entries, each with a header of its own.
FAT_BINARY = struct.Struct("<IHHQ")  # magic number, version, bytes of this header, bytes of all entries
MAGIC = struct.pack("<I", 0xBA55ED50)
ENTRY = struct.Struct("<HHIQ")  # kind, version, bytes of this header, bytes of the code
ARCHITECTURE = struct.Struct("<I")
ARCHITECTURE_AT = 28  # bytes from the start of an entry
PTX, MACHINE_CODE = 1, 2


@dataclass(frozen=True)
class Image:
    """The code of one kernel file for one architecture: ``start`` and ``size`` are bytes within the library."""

    kind: int
    architecture: int
    start: int
    size: int


def images(content: mmap.mmap | bytes) -> Iterator[Image]:
    """Yield every CUDA image of a library.

    Bytes that only look like a fat binary, because they reach beyond the library or their entries do not fill them
    exactly, are passed over.
    """
    at = content.find(MAGIC)
    while at >= 0:
        found = _entries(content, at)
        yield from found
        end = found[-1].start + found[-1].size if found else at + 4
        at = content.find(MAGIC, end)


def _entries(content: mmap.mmap | bytes, at: int) -> list[Image]:
    if at + FAT_BINARY.size > len(content):
        return []
    _magic, version, header, size = FAT_BINARY.unpack_from(content, at)
    end = at + header + size
    if version != 1 or header != FAT_BINARY.size or end > len(content):
        return []
    found, entry = [], at + header
    while entry < end:
        if entry + ARCHITECTURE_AT + ARCHITECTURE.size > end:
            return []
        kind, _version, entry_header, code = ENTRY.unpack_from(content, entry)
        (architecture,) = ARCHITECTURE.unpack_from(content, entry + ARCHITECTURE_AT)
        found.append(Image(kind, architecture, entry + entry_header, code))
        if entry_header == 0:
            return []
        entry += entry_header + code
    return found if entry == end else []


def trim(library: Path, keep: set[int], drop_ptx: bool = False) -> tuple[int, int]:
    """Zero the images for other architectures; return the bytes of images kept and zeroed."""
    kept = zeroed = 0
    with library.open("r+b") as file, mmap.mmap(file.fileno(), 0) as content:
        for image in list(images(content)):
            unwanted = image.architecture not in keep if image.kind == MACHINE_CODE else drop_ptx and image.kind == PTX
            if unwanted:
                content[image.start : image.start + image.size] = bytes(image.size)
                zeroed += image.size
            else:
                kept += image.size
        content.flush()
    return kept, zeroed


def main(arguments: list[str]) -> int:
    """Trim each library named and print what stayed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=int, action="append", default=[], help="90 for Hopper; once per architecture")
    parser.add_argument("--drop-ptx", action="store_true")
    parser.add_argument("library", nargs="+", type=Path)
    asked = parser.parse_args(arguments)
    for library in asked.library:
        if not library.is_file() or not library.stat().st_size:
            parser.error(f"{library} is not a file with content: name the shared libraries of an unpacked wheel")
        kept, zeroed = trim(library, set(asked.keep), asked.drop_ptx)
        print(f"{library.name}: {kept >> 20} MiB of CUDA code kept, {zeroed >> 20} MiB zeroed")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
