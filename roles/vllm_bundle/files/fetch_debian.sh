#!/bin/sh
# Copyright: (c) 2026, The llmops.inference maintainers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# fetch_debian.sh RELEASE ARCHITECTURE MIRROR DIRECTORY PACKAGE...
#
# Makes DIRECTORY a flat repository of the packages of a Debian release with all that they depend on. With a root of its
# own, apt takes nothing on this machine for installed, and checks the signatures of the mirror as it always does.
set -eu

release=$1 architecture=$2 mirror=$3 repository=$4
shift 4
if [ -z "$mirror" ]; then
  # The site that this machine's own packages come from.
  mirror=$(apt-get indextargets --format "\$(SITE)" 'Created-By: Packages' | sed -n 's|/debian/*$||p' | head -n 1)
fi
if [ -z "$mirror" ]; then
  echo "apt of this machine knows no mirror of Debian; set vllm_bundle_debian_mirror to the address of one" >&2
  exit 1
fi
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root/etc/apt/sources.list.d" "$root/etc/apt/apt.conf.d" "$root/etc/apt/preferences.d" \
  "$root/var/lib/apt/lists/partial" "$root/var/cache/apt/archives/partial" "$root/var/lib/dpkg" "$repository"
: > "$root/var/lib/dpkg/status"
for suite in "debian $release" "debian $release-updates" "debian-security $release-security"; do
  echo "deb [signed-by=$keyring] $mirror/${suite% *} ${suite#* } main"
done > "$root/etc/apt/sources.list"
apt() {
  apt-get --quiet=2 --option Dir="$root" --option Dir::State::status="$root/var/lib/dpkg/status" \
    --option APT::Architecture="$architecture" --option APT::Sandbox::User="$(id -un)" "$@"
}
apt update
apt install --yes --no-install-recommends --download-only "$@"
# An epoch is in no file's name on a mirror, and its colon is not to be in a URI.
for file in "$root"/var/cache/apt/archives/*.deb; do
  mv "$file" "$repository/$(basename "$file" | sed 's/_[0-9]*%3a/_/')"
done
cd "$repository"
for file in *.deb; do
  dpkg-deb --field "$file"
  printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$file" "$(stat -c %s "$file")" \
    "$(sha256sum "$file" | cut -d ' ' -f 1)"
done > Packages
