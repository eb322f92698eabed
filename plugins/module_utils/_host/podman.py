# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The few calls of podman and its generator of units that a deployment needs."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .._errors import InferenceError, NotInstalledError
from .._generation.files import File
from .._places import QUADLETS
from .systemd import RunCommand

GENERATOR = "/usr/lib/systemd/system-generators/podman-system-generator"
# Where programs describe devices to container engines (Container Device Interface).
DEVICE_DIRECTORIES = ("/etc/cdi", "/run/cdi")


class Podman:
    """podman of this host, as root."""

    def __init__(self, run_command: RunCommand, generator: str = GENERATOR) -> None:
        self._run = run_command
        self._generator = generator

    def has_image(self, image: str) -> bool:
        """Whether the image, by its id, is in podman's storage."""
        return self._installed and self._run(["podman", "image", "exists", image])[0] == 0

    def remove_image(self, image: str) -> None:
        """Delete an image; one that something else runs from, or that is gone, stays as it is."""
        self._run(["podman", "rmi", image])

    @property
    def _installed(self) -> bool:
        return Path(self._generator).exists()

    def refuse_missing(self, image: str) -> None:
        """Raise NotInstalledError where containers cannot run from this image on this host."""
        if not self._installed:
            raise NotInstalledError(
                f"Podman on this host makes no units of Quadlets ({self._generator} is not there); install Podman "
                "5.3 or later, with the role llmops.inference.vllm_runtime, or deploy without an image"
            )
        if not self.has_image(image):
            raise NotInstalledError(
                f"the image {image} is not on this host any more; the role llmops.inference.vllm_runtime brings it back"
            )

    def refuse_quadlets(self, files: Mapping[str, File]) -> None:
        """Raise InferenceError with what the generator says, where it does not make a unit of every Quadlet of these.

        systemd itself would only miss the unit, after the services before have stopped.
        """
        quadlets = {Path(path).name: file.text for path, file in files.items() if path.startswith(f"{QUADLETS}/")}
        if not quadlets:
            return
        with tempfile.TemporaryDirectory(prefix="llmops-inference-") as directory:
            for name, text in quadlets.items():
                (Path(directory) / name).write_text(text)
            command = ["env", f"QUADLET_UNIT_DIRS={directory}", self._generator, "--dryrun"]
            status, out, error = self._run(command)
        made = set(re.findall(r"^---(.+)---$", out, re.MULTILINE))
        missing = [name for name in quadlets if f"{Path(name).stem}.service" not in made]
        if status != 0 or missing:
            said = " | ".join(line for line in error.splitlines() if "Loading source unit" not in line)
            raise InferenceError(
                f"Podman makes no unit of {', '.join(missing) or 'these Quadlets'}: {said or 'it does not say why'}; "
                "Podman 5.3 or later understands them"
            )


def refuse_undescribed(devices: Iterable[str], directories: Sequence[str] = DEVICE_DIRECTORIES) -> None:
    """Raise InferenceError for the first GPU that no specification of container devices on this host describes."""
    paths = [path for directory in directories for path in sorted(Path(directory).glob("*")) if path.is_file()]
    described = "\n".join(path.read_text(errors="replace") for path in paths)
    for device in devices:
        if not re.search(rf"{re.escape(device)}\b", described):
            raise InferenceError(
                f"no device specification in {' or '.join(directories)} names nvidia.com/gpu={device}; install the "
                "NVIDIA Container Toolkit and run 'nvidia-ctk cdi generate --device-name-strategy=uuid "
                "--output=/etc/cdi/nvidia.yaml'"
            )
