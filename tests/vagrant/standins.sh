#!/bin/bash
# Makes an apt repository with one package, proxmox-ve, that holds stand-ins for Proxmox's own commands: they keep just
# enough state for a script to be run twice, and write down every call. Debian's own packages are the real ones.
#   standins.sh FOLDER
set -euo pipefail
folder=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir -p "$work/pkg/DEBIAN" "$work/pkg/usr/bin" "$work/pkg/etc/pve" "$work/pkg/var/lib/standins" "$folder"
for name in pveversion pvesm pveum qm; do install -m 755 "$here/standins/$name" "$work/pkg/usr/bin/$name"; done
openssl req -x509 -newkey rsa:2048 -nodes -subj "/CN=Stand-in Cluster Manager CA" -days 30 \
  -keyout /dev/null -out "$work/pkg/etc/pve/pve-root-ca.pem" 2>/dev/null
cat >"$work/pkg/DEBIAN/control" <<CONTROL
Package: proxmox-ve
Version: 8.4.0
Architecture: all
Maintainer: stand-in
Description: stand-ins for Proxmox VE's own commands, for a test of vagrant/bootstrap.sh
CONTROL
dpkg-deb --root-owner-group --build "$work/pkg" "$folder/proxmox-ve_8.4.0_all.deb" >/dev/null
(cd "$folder" && apt-ftparchive packages . >Packages && apt-ftparchive release . >Release)
export GNUPGHOME="$work/gnupg"
mkdir -m 700 "$GNUPGHOME"
gpg --quiet --batch --passphrase '' --quick-generate-key standin@example.net default default never 2>/dev/null
gpg --quiet --batch --clearsign --output "$folder/InRelease" "$folder/Release"
gpg --quiet --batch --export >"$folder/key.gpg"
gpgconf --kill gpg-agent

truncate -s 1M "$folder/cloud.qcow2"
(cd "$folder" && sha512sum cloud.qcow2 >SHA512SUMS)
