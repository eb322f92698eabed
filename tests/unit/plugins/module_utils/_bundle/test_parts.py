# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parts of a bundle take their places whole and verified, or not at all."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest
from ansible_collections.llmops.inference.plugins.module_utils._bundle import parts as bundle_parts
from ansible_collections.llmops.inference.plugins.module_utils._bundle.check import check_all
from ansible_collections.llmops.inference.plugins.module_utils._bundle.digests import Digests
from ansible_collections.llmops.inference.plugins.module_utils._bundle.manifest import BundleManifest
from ansible_collections.llmops.inference.plugins.module_utils._bundle.parts import Part, Progress, put
from ansible_collections.llmops.inference.plugins.module_utils._errors import InferenceError

FILES = {
    "wheels/a-1-py3-none-any.whl": b"wheel a" * 1000,
    "wheels/b-1-py3-none-any.whl": b"wheel b",
    "models/mini/config.json": b"{}",
    "models/mini/model.safetensors": b"weights" * 10000,
}
SETTLED_SECONDS = 0.06


def write(directory: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)


def flip(path: Path, position: int = 1) -> tuple[str, str]:
    """Flip a bit in place, with the times of the content set back, and return the digests before and after."""
    status, content = path.stat(), bytearray(path.read_bytes())
    before = hashlib.sha256(content).hexdigest()
    content[position] ^= 1
    with path.open("r+b") as stream:
        stream.write(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return before, hashlib.sha256(content).hexdigest()


class Host:
    """A host with the places of two parts, and a bundle."""

    def __init__(self, directory: Path) -> None:
        self.bundle = directory / "bundle"
        self.record = directory / "lib" / "verified.json"
        self.wheels = Part("wheels", directory / "lib" / "wheels", replace=True)
        self.model = Part("models/mini", directory / "models" / "mini", replace=False)
        self.read_bytes = 0
        write(self.bundle, FILES)
        self.manifest = BundleManifest({name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()})

    def put(
        self, *parts: Part, on_host: bool = True, brought: dict[str, Path] | None = None, **options: bool
    ) -> Progress:
        with Digests.locked(self.record, options.get("recheck", False)) as digests:
            source = self.bundle if on_host else None
            check_mode = options.get("check_mode", False)
            try:
                return put(
                    parts or (self.wheels, self.model),
                    self.manifest,
                    digests,
                    source=source,
                    brought=brought or {},
                    check_mode=check_mode,
                )
            finally:
                self.read_bytes = digests.read_bytes

    def left(self) -> list[str]:
        """What lies where parts belong, hidden files apart that are not taken for one."""
        places = (self.wheels.dest, self.model.dest)
        return sorted(path.name for place in places if place.parent.exists() for path in place.parent.iterdir())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_parts_are_put_in_their_places_and_a_second_time_nothing_is_done(host: Host) -> None:
    assert host.put().changed == ["wheels", "models/mini"]
    assert (host.model.dest / "model.safetensors").read_bytes() == FILES["models/mini/model.safetensors"]
    assert (host.model.dest / "model.safetensors").stat().st_mode & 0o777 == 0o644
    time.sleep(SETTLED_SECONDS)
    host.put()
    assert host.put() == Progress([], [])
    assert host.read_bytes == 0
    host.put(recheck=True)
    assert host.read_bytes == sum(map(len, FILES.values()))


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_bit_in_the_bundle_leaves_nothing_in_place(host: Host, name: str) -> None:
    before, after = flip(host.bundle / name)
    with pytest.raises(InferenceError, match="Copy the bundle again") as refused:
        host.put()
    for told in (str(host.bundle / name), before, after):
        assert told in str(refused.value)
    assert not host.wheels.dest.exists()
    assert not host.model.dest.exists()


def test_what_was_gathered_before_an_error_serves_the_next_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(host.bundle / "models/mini/model.safetensors")
    with pytest.raises(InferenceError):
        host.put()
    flip(host.bundle / "models/mini/model.safetensors")
    copied: list[str] = []
    copy = bundle_parts._copy

    def count(source: Path, dest: Path, expected: str) -> None:
        copied.append(source.name)
        copy(source, dest, expected)

    monkeypatch.setattr(bundle_parts, "_copy", count)
    host.put()
    assert copied == ["model.safetensors"]


def test_a_flipped_bit_in_a_verified_file_is_seen_although_its_size_and_time_are_the_same(host: Host) -> None:
    host.put()
    time.sleep(SETTLED_SECONDS)
    host.put()
    before, after = flip(host.model.dest / "model.safetensors")
    with pytest.raises(InferenceError, match="remove the directory and run again") as refused:
        host.put()
    assert before in str(refused.value)
    assert after in str(refused.value)


def test_a_file_that_was_just_written_is_hashed_again(host: Host) -> None:
    host.bundle.joinpath("wheels", "c").write_bytes(b"new")
    digests = Digests(host.record)
    path = host.bundle / "wheels" / "c"
    first = digests.of([path])[path]
    assert digests.of([path])[path] == first
    assert digests.read_bytes == 2 * len(b"new"), "it could have been written again in the same tick"


def test_damaged_or_foreign_wheels_are_replaced(host: Host) -> None:
    host.put()
    flip(host.wheels.dest / "a-1-py3-none-any.whl")
    (host.wheels.dest / "a-9-py3-none-any.whl").write_bytes(b"newer, and nobody's")
    assert host.put().changed == ["wheels"]
    assert sorted(path.name for path in host.wheels.dest.iterdir()) == ["a-1-py3-none-any.whl", "b-1-py3-none-any.whl"]
    assert host.put().changed == []


def test_a_model_of_another_content_is_not_overwritten(host: Host) -> None:
    write(host.model.dest, {"config.json": b"{}", "model.safetensors": b"another"})
    with pytest.raises(InferenceError, match="is not replaced, for an engine may serve it"):
        host.put()
    assert (host.model.dest / "model.safetensors").read_bytes() == b"another"
    assert not host.wheels.dest.exists(), "nor was anything else put in place"


def test_only_what_is_missing_has_to_be_brought_and_takes_its_place_when_all_is_there(
    host: Host, tmp_path: Path
) -> None:
    missing = host.put(host.wheels, on_host=False).missing
    assert missing == ["wheels/a-1-py3-none-any.whl", "wheels/b-1-py3-none-any.whl"]
    write(tmp_path / "tmp", {"0": FILES[missing[0]], "1": FILES[missing[1]]})
    assert host.put(host.wheels, on_host=False, brought={missing[0]: tmp_path / "tmp/0"}).missing == missing[1:]
    assert not host.wheels.dest.exists()
    assert not host.put(host.wheels, on_host=False, brought={missing[1]: tmp_path / "tmp/1"}).missing
    assert (host.wheels.dest / "b-1-py3-none-any.whl").read_bytes() == b"wheel b"


def test_what_is_damaged_on_its_way_is_refused(host: Host, tmp_path: Path) -> None:
    write(tmp_path, {"arrived": b"wheel c"})
    with pytest.raises(InferenceError, match="on its way to the host: run again"):
        host.put(host.wheels, on_host=False, brought={"wheels/b-1-py3-none-any.whl": tmp_path / "arrived"})
    assert not host.wheels.dest.exists()


def test_a_model_in_the_bundle_itself_is_verified_there(host: Host) -> None:
    in_place = Part("models/mini", host.bundle / "models" / "mini", replace=False)
    assert host.put(in_place) == Progress([], [])
    flip(host.bundle / "models/mini/config.json", 0)
    with pytest.raises(InferenceError, match="Copy the bundle again"):
        host.put(in_place)


def test_check_mode_changes_nothing(host: Host) -> None:
    assert host.put(check_mode=True).changed == ["wheels", "models/mini"]
    assert host.left() == ["verified.json", "verified.lock"]


def test_a_full_disk_is_refused_before_anything_is_copied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_parts, "free_disk_bytes", lambda place: 1 << 30)
    with pytest.raises(
        InferenceError, match=r"0\.00 GiB more of the bundle, and 1 GiB is to stay free, but only 1\.00 GiB"
    ):
        host.put()
    assert not host.wheels.dest.exists()


def test_a_part_that_the_bundle_lacks_is_named_with_what_there_is_instead(host: Host) -> None:
    with pytest.raises(InferenceError, match="has no models/large, which belongs in /x; it has models/mini"):
        host.put(Part("models/large", Path("/x"), replace=False))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda bundle: flip(bundle / "wheels/b-1-py3-none-any.whl"), "SHA-256"),
        (lambda bundle: (bundle / "wheels/b-1-py3-none-any.whl").unlink(), "is missing"),
        (lambda bundle: (bundle / "wheels/rogue.whl").write_bytes(b"rogue"), "is in no manifest"),
        (lambda bundle: (bundle / "wheels/link.whl").symlink_to("/etc/passwd"), "is in no manifest"),
        (lambda bundle: (bundle / "more").symlink_to("/etc"), "is in no manifest"),
    ],
)
def test_the_whole_bundle_has_every_file_and_no_other(host: Host, change: object, said: str) -> None:
    digests = Digests(host.record)
    check_all(host.bundle, host.manifest, digests)
    assert callable(change)
    change(host.bundle)
    with pytest.raises(InferenceError, match=said):
        check_all(host.bundle, host.manifest, digests)
