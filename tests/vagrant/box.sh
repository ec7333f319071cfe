#!/bin/bash
# Makes a Vagrant box of Debian's packages: what `vagrant up` is tried with where no public box is to be had.
#   box.sh OUTPUT.box        as root; two minutes
set -euo pipefail
output=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/root

packages=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,udev,dbus,openssh-server,sudo,iproute2,ifupdown2,curl
packages+=,nftables,e2fsprogs,fdisk,python3,procps,debconf,ca-certificates,rsync,iputils-ping
mapfile -t apt < <(apt-config dump | sed -nE 's/^(Acquire::[^ ]+ "[^"]+";)$/--aptopt=\1/p' | grep -vE 'IndexTargets|Changelogs|Languages')
mmdebstrap --quiet --variant=minbase --include="$packages" "${apt[@]}" --aptopt='Acquire::Languages "none"' bookworm "$root"

printf '%s\n' virtio_pci virtio_blk virtio_net virtio_scsi ext4 >>"$root/etc/initramfs-tools/modules"
sed -i 's/^MODULES=.*/MODULES=list/' "$root/etc/initramfs-tools/initramfs.conf"
chroot "$root" update-initramfs -u -k all

# Vagrant's well-known key: it is replaced by one of its own at the first `vagrant up`.
chroot "$root" useradd -m -s /bin/bash vagrant
install -d -m 700 "$root/home/vagrant/.ssh"
cp "$(dpkg -L vagrant | grep '/keys/vagrant.pub$')" "$root/home/vagrant/.ssh/authorized_keys"
chroot "$root" chown -R vagrant:vagrant /home/vagrant
echo 'vagrant ALL=(ALL) NOPASSWD: ALL' >"$root/etc/sudoers.d/vagrant"
rm -f "$root"/etc/apt/sources.list.d/* "$root/etc/apt/sources.list" # nothing has a way out; what is needed is there
echo pve1 >"$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 pve1\n' >"$root/etc/hosts"
printf '[Match]\nName=eth*\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/50-dhcp.network"
for unit in systemd-networkd ssh; do chroot "$root" systemctl enable --quiet "$unit"; done
for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer; do
  chroot "$root" systemctl mask --quiet "$unit"
done
sed -i '/UseDNS/d; $a UseDNS no' "$root/etc/ssh/sshd_config"

# Debian's kernel and system on a disk, as the lab does it.
(cd "$here/../.." && python3 - "$root" "$work/disk.raw" "$work/box.img" <<'PYTHON'
import sys
from pathlib import Path
from lab.image.disk import build_disk, to_qcow2
root, raw, image = map(Path, sys.argv[1:])
build_disk(root, raw)
to_qcow2(raw, image)
PYTHON
)
echo '{"provider": "libvirt", "format": "qcow2", "virtual_size": 2}' >"$work/metadata.json"
tar -C "$work" -czf "$output.new" metadata.json box.img
mv "$output.new" "$output"
