#!/bin/bash
# Installs what the tests call besides Bun, where that is possible (root, apt-get) and something is missing.
set -euo pipefail
packages="gcc libc6-dev busybox-static bubblewrap debootstrap e2fsprogs xz-utils uidmap procps zsh fish podman runc crun"
packages="$packages zstd libarchive-tools attr acl docker-registry skopeo openssl umoci"
[ "$(uname -m)" = x86_64 ] && packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

missing=()
for package in $packages; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: not installed, so some tests will be skipped: ${missing[*]}"
  exit 0
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
