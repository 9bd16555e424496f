#!/bin/bash
# Installs what the tests call besides Bun, where that is possible (root, apt-get) and something is missing.
set -euo pipefail
cd "$(dirname "$0")/.."
packages="gcc libc6-dev busybox-static bubblewrap debootstrap e2fsprogs xz-utils uidmap procps zsh fish podman buildah runc crun"
packages="$packages git bzip2 zstd libarchive-tools attr acl docker-registry skopeo openssl umoci nftables iperf3 iproute2 iptables passt dbus"
# not where they would be started at once, or with the machine: it may be somebody's
[ -d /run/systemd/system ] || packages="$packages ufw firewalld"
[ "$(uname -m)" = x86_64 ] && packages="$packages gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user"

# a distribution that tests make images of: 200 MB, kept beside the checkout's other caches
make_debian() {
  [ "$(id -u)" = 0 ] && command -v debootstrap >/dev/null && [ ! -e .cache/debian.tar ] || return 0
  echo "setup: making .cache/debian.tar"
  local work
  work=$(mktemp -d)
  mkdir -p .cache
  if debootstrap --variant=minbase --include=python3-minimal,libcap2-bin bookworm "$work" >"$work.log" 2>&1; then
    tar --xattrs --one-file-system --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' \
      --exclude='./var/cache/apt/archives/*.deb' -C "$work" -cf .cache/debian.new . && mv .cache/debian.new .cache/debian.tar
  else
    echo "setup: no Debian, so some tests will be skipped: $(tail -n 1 "$work.log")"
  fi
  rm -rf --one-file-system "$work" "$work.log"
}

missing=()
for package in $packages; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && make_debian && exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "setup: not installed, so some tests will be skipped: ${missing[*]}"
  exit 0
fi
echo "setup: installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
make_debian
