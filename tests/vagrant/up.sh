#!/bin/bash
# `vagrant up` for real, with libvirt and without KVM, from a box of Debian's packages: bootstrap.sh runs in the machine,
# twice, with stand-ins only for Proxmox's own packages. As root; `make vagrant-test` installs what it needs.
#
# libvirt runs in namespaces of its own (network, mounts), with its own folders: the machine's own libvirt, if there is
# one, is not touched, and nothing has a way out.
set -euo pipefail
repository=$(cd "$(dirname "$0")/../.." && pwd)

say() { printf '\n==> %s\n' "$*"; }

if [ "${1:-}" != inside ]; then
  box=${ORCHESTRATOR_BOX:-/var/cache/orchestrator-lab/vagrant-$(sha256sum <"${0%/*}/box.sh" | cut -c1-12).box}
  mkdir -p "${box%/*}"
  say "a box of Debian's packages (two minutes, kept for the next time)"
  [ -e "$box" ] || "${0%/*}/box.sh" "$box"
  export box
  work=$(mktemp -d /var/tmp/orchestrator-vagrant.XXXXXX)
  export work
  code=0
  unshare --net --mount --pid --fork --kill-child --mount-proc "$0" inside || code=$?
  rm -rf "$work"
  exit "$code"
fi

ip link set lo up

say "libvirt in a namespace"
mkdir -p "$work"/{etc,lib,run,cache,log,home}
cp -a /etc/libvirt/. "$work/etc/"
sed -i '/^user *=\|^group *=\|^security_driver *=\|^namespaces *=\|^cgroup_controllers *=/d' "$work/etc/qemu.conf"
printf '%s\n' 'user = "root"' 'group = "root"' 'security_driver = "none"' 'namespaces = []' 'cgroup_controllers = []' \
  >>"$work/etc/qemu.conf"
rm -f "$work"/etc/qemu/networks/autostart/*
mkdir -p "$work/lib/images" "$work/lib/qemu" "$work/lib/dnsmasq"
mount --bind "$work/etc" /etc/libvirt
mount --bind "$work/lib" /var/lib/libvirt
mount --bind "$work/cache" /var/cache/libvirt
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/libvirt /run/lock
dbus-daemon --system --fork --nopidfile
virtlogd --daemon
libvirtd --daemon
for _ in $(seq 100); do virsh -q list >/dev/null 2>&1 && break; sleep 0.1; done
virsh -q pool-define-as default dir --target "$work/lib/images"
virsh -q pool-start default

say "stand-ins for Proxmox's packages"
"${0%/*}/standins.sh" "$work/standins"

export VAGRANT_HOME="$work/home" VAGRANT_CWD="$repository/vagrant" VAGRANT_DOTFILE_PATH="$work/dot" HOME="$work/home"
export VAGRANT_DEFAULT_PROVIDER=libvirt VAGRANT_CHECKPOINT_DISABLE=1 VAGRANT_BOX_UPDATE_CHECK_DISABLE=1
export PVE_BOX=standin PVE_RELEASE=8 PVE_DRIVER=qemu PVE_NESTED=no PVE_MEMORY=1024 PVE_CPUS=2 PVE_ADDRESS=dhcp
export PVE_STANDINS="$work/standins" PVE_INVENTORY="$work/inventory"
export PVE_KEY_URL=file:///tmp/standins/key.gpg PVE_REPOSITORY="file:///tmp/standins ./"
export IMAGE_URL=file:///tmp/standins/cloud.qcow2 IMAGE_HAS_AGENT=yes
PVE_KEY_SUM=$(sha256sum "$work/standins/key.gpg" | cut -d' ' -f1)
export PVE_KEY_SUM

say "vagrant validate"
vagrant validate
vagrant box add --provider libvirt --name standin "$box"

say "vagrant up (no KVM: some minutes)"
vagrant up
ls -l "$PVE_INVENTORY"

say "again: every step finds its work done"
vagrant ssh -c 'sudo cp /var/lib/standins/calls /tmp/before; sudo sha256sum /root/orchestrator/{token,id_ed25519} /etc/hosts /etc/network/interfaces > /tmp/sums' 2>/dev/null
vagrant provision
# shellcheck disable=SC2016  # for the shell in the machine
vagrant ssh -c 'sudo sha256sum --check --quiet /tmp/sums && sudo tail -n +$(($(wc -l < /tmp/before) + 1)) /var/lib/standins/calls' 2>/dev/null |
  tee "$work/second"
if grep -E '^(pvesm add|qm (create|set|template|destroy)|pveum (role add|user add|user token))' "$work/second"; then
  echo "the second run made something again" >&2
  exit 1
fi

say "what came over is good"
for name in token id_ed25519; do
  [ "$(stat -c %a "$PVE_INVENTORY/$name")" = 600 ] || { echo "$name is open to others" >&2; exit 1; }
done
"$repository/.venv/bin/python" -c 'import sys; from pathlib import Path; from orchestrator.sites import load_provider
print(load_provider(Path(sys.argv[1])).sites["vagrant"].virtualization)' "$PVE_INVENTORY"
vagrant ssh -c 'findmnt -n /mnt/elsewhere && ip -4 -o address show vmbr1 && sudo nft list table ip orchestrator_nat' 2>/dev/null
ssh -F "$PVE_INVENTORY/ssh_config" pve1 true

say "a key with another sum is refused"
vagrant ssh -c 'sudo dpkg --purge proxmox-ve >/dev/null; sudo PVE_RELEASE=8 PVE_KEY_URL=file:///tmp/standins/Release bash /tmp/vagrant-shell' \
  >"$work/refused" 2>&1 && { echo "a wrong key was taken" >&2; exit 1; }
cat "$work/refused"
grep -q 'another sum than Proxmox published' "$work/refused"

vagrant destroy --force
say "all as it should be"
