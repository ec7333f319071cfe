#!/bin/bash
# Turns a Debian machine into a Proxmox VE node: packages, a bridge with NAT for guests, a second disk as the storage
# of "another data centre", a template, and the role, user and token that the orchestrator uses.
#
# Every step checks first and only does what is missing, so you can run it again at any time, as root, in the machine
# itself. It only downloads Proxmox's packages and their key, and a Debian cloud image, each checked against a checksum.
# The environment variables that you can set are in the first lines.
set -euo pipefail

PVE_RELEASE="${PVE_RELEASE:-9}"                 # 8 on Debian 12, 9 on Debian 13
NODE_ADDRESS="${NODE_ADDRESS:-dhcp}"            # the node's own address; dhcp: that of the default route
API_PORT="${API_PORT:-8006}"                    # where the host reaches the API, on its 127.0.0.1
BACKUP_DISK="${BACKUP_DISK:-}"                  # default: the one disk that is not in use
GUEST_BRIDGE="${GUEST_BRIDGE:-vmbr1}"
GUEST_NET="${GUEST_NET:-10.90.0}"               # guests get addresses of this /24; the node is .1
TEMPLATE_ID="${TEMPLATE_ID:-9000}"
HANDOVER="${HANDOVER:-/root/orchestrator}"

case "$PVE_RELEASE" in
  8)
    suite=bookworm image=debian-12
    default_key=https://enterprise.proxmox.com/debian/proxmox-release-bookworm.gpg
    default_sum=7da6fe34168adc6e479327ba517796d4702fa2f8b4f0a9833f5ea6e6b48f6507a6da403a274fe201595edc86a84463d50383d07f64bdde2e3658108db7d6dc87
    agent_privileges="VM.Monitor"
    redundancy_privileges="Sys.Console VM.Migrate Datastore.Allocate"
    ;;
  9)
    suite=trixie image=debian-13
    default_key=https://enterprise.proxmox.com/debian/proxmox-archive-keyring-trixie.gpg
    default_sum=136673be77aba35dcce385b28737689ad64fd785a797e57897589aed08db6e45
    agent_privileges="VM.GuestAgent.Audit VM.GuestAgent.FileRead"
    redundancy_privileges="Sys.Console VM.Migrate VM.Replicate"
    ;;
  *) echo "PVE_RELEASE is 8 or 9, not $PVE_RELEASE" >&2; exit 2 ;;
esac
PVE_KEY_URL="${PVE_KEY_URL:-$default_key}"
PVE_KEY_SUM="${PVE_KEY_SUM:-$default_sum}"      # SHA-256 or SHA-512, as Proxmox publishes it
PVE_REPOSITORY="${PVE_REPOSITORY:-http://download.proxmox.com/debian/pve $suite pve-no-subscription}"
IMAGE_URL="${IMAGE_URL:-https://cloud.debian.org/images/cloud/$suite/latest/$image-genericcloud-amd64.qcow2}"
IMAGE_SUMS_URL="${IMAGE_SUMS_URL:-${IMAGE_URL%/*}/SHA512SUMS}"
IMAGE_HAS_AGENT="${IMAGE_HAS_AGENT:-no}"        # yes: qemu-guest-agent is in the image already

privileges="VM.Allocate VM.Audit VM.Backup VM.Clone VM.Config.CDROM VM.Config.CPU VM.Config.Cloudinit
  VM.Config.Disk VM.Config.HWType VM.Config.Memory VM.Config.Network VM.Config.Options VM.Console VM.PowerMgmt VM.Snapshot
  Datastore.AllocateSpace Datastore.Audit Pool.Allocate Pool.Audit SDN.Use Sys.Audit
  $agent_privileges $redundancy_privileges"

step() { printf '==> %s\n' "$*"; }
fail() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }

# Fetch a file: an address, or a path (file://) where there is no network.
fetch() { curl --fail --silent --show-error --location --retry 3 --output "$2" "$1"; }

# Write standard input to a file if that changes it; say whether it did.
put() {
  local fresh
  fresh=$(mktemp "$1.XXXXXX")
  cat >"$fresh"
  chmod "${2:-644}" "$fresh"
  if cmp -s "$fresh" "$1"; then rm "$fresh"; return 1; fi
  mv "$fresh" "$1"
}

check_machine() {
  [ "$(id -u)" = 0 ] || fail "run it as root"
  # shellcheck source=/dev/null
  . /etc/os-release
  [ "${VERSION_CODENAME:-}" = "$suite" ] ||
    fail "Proxmox VE $PVE_RELEASE needs Debian $suite, this is ${VERSION_CODENAME:-unknown}: choose another box, or another PVE_RELEASE"
  if [ "$NODE_ADDRESS" = dhcp ]; then
    NODE_ADDRESS=$(ip -4 route get 192.0.2.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')
    [ -n "$NODE_ADDRESS" ] || fail "there is no default route: name the node's address in NODE_ADDRESS"
  fi
  ip -4 -o address show | grep -q " $NODE_ADDRESS/" || fail "no interface has the address $NODE_ADDRESS"
}

# Proxmox takes the node's address from its host name; 127.0.1.1, which Debian writes there, does not work.
name_node() {
  step "host name: $(hostname) is $NODE_ADDRESS"
  { grep -vE "^127\.0\.1\.1|[[:space:]]$(hostname)([[:space:]]|\$)" /etc/hosts || true
    echo "$NODE_ADDRESS $(hostname).vagrant.test $(hostname)"; } | put /etc/hosts || true
}

install_proxmox() {
  if dpkg-query -W -f='${Status}' proxmox-ve 2>/dev/null | grep -q 'ok installed'; then
    step "Proxmox VE: $(pveversion)"
    return
  fi
  step "Proxmox VE $PVE_RELEASE: key, repository, packages (ten minutes)"
  local key=/usr/share/keyrings/proxmox-archive-keyring.gpg fresh
  fresh=$(mktemp)
  fetch "$PVE_KEY_URL" "$fresh"
  local tool=sha256sum
  [ ${#PVE_KEY_SUM} = 128 ] && tool=sha512sum
  echo "$PVE_KEY_SUM  $fresh" | "$tool" --check --status ||
    fail "the key from $PVE_KEY_URL has another sum than Proxmox published: do not trust it; nothing was installed"
  install -m 644 "$fresh" "$key"
  rm "$fresh"
  local uri parts
  read -r uri parts <<<"$PVE_REPOSITORY"
  put /etc/apt/sources.list.d/proxmox.list <<<"deb [arch=amd64 signed-by=$key] $uri $parts" || true
  export DEBIAN_FRONTEND=noninteractive
  apt-get update
  echo "postfix postfix/main_mailer_type select Local only" | debconf-set-selections || true
  apt-get install --yes --no-install-recommends proxmox-ve
  # It adds a repository that requires a subscription; without one every update would fail.
  rm -f /etc/apt/sources.list.d/pve-enterprise.list /etc/apt/sources.list.d/pve-enterprise.sources
}

make_bridge() {
  step "bridge $GUEST_BRIDGE: $GUEST_NET.1/24, guests reach the world through the node"
  put /etc/network/orchestrator-nat.nft <<EOT || true
table ip orchestrator_nat
delete table ip orchestrator_nat
table ip orchestrator_nat {
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr $GUEST_NET.0/24 oifname != "$GUEST_BRIDGE" masquerade
  }
}
EOT
  touch /etc/network/interfaces
  if ! grep -q "^iface $GUEST_BRIDGE " /etc/network/interfaces; then
    cat >>/etc/network/interfaces <<EOT

auto $GUEST_BRIDGE
iface $GUEST_BRIDGE inet static
	address $GUEST_NET.1/24
	bridge-ports none
	bridge-stp off
	bridge-fd 0
	post-up sysctl -q -w net.ipv4.ip_forward=1
	post-up nft -f /etc/network/orchestrator-nat.nft
EOT
  fi
  # At boot, and while packages are being set up, something else may be changing the network.
  for _ in $(seq 60); do
    ip -4 -o address show dev "$GUEST_BRIDGE" 2>/dev/null | grep -q " $GUEST_NET.1/" && return
    ifup "$GUEST_BRIDGE" || sleep 1
  done
  fail "the bridge $GUEST_BRIDGE does not come up: see \`ifup -v $GUEST_BRIDGE\`"
}

# A separate disk represents the other data centre (article 3.5 of the contract: backups are stored elsewhere).
mount_elsewhere() {
  if mountpoint -q /mnt/elsewhere; then
    step "backup storage: $(findmnt -n -o SOURCE /mnt/elsewhere)"
  else
    local disk="$BACKUP_DISK"
    if [ -z "$disk" ]; then
      disk=$(lsblk -dnpo NAME,TYPE | awk '$2 == "disk" {print $1}' | while read -r name; do
        [ "$(lsblk -no MOUNTPOINT "$name" | tr -d '[:space:]')" = "" ] && [ "$(lsblk -no NAME "$name" | wc -l)" = 1 ] &&
          case "$(blkid -o value -s TYPE "$name" || true):$(blkid -o value -s LABEL "$name" || true)" in
            : | ext4:elsewhere) echo "$name" ;;
          esac
      done | head -n 1)
      [ -n "$disk" ] || fail "no second disk is free for backups: add one, or name it in BACKUP_DISK"
    fi
    step "backup storage: $disk on /mnt/elsewhere"
    blkid -o value -s LABEL "$disk" | grep -qx elsewhere || {
      [ -z "$(blkid -o value -s TYPE "$disk" || true)" ] || fail "$disk holds something already: it is not touched"
      mkfs.ext4 -q -L elsewhere "$disk"
    }
    mkdir -p /mnt/elsewhere
    grep -q '^LABEL=elsewhere ' /etc/fstab || echo 'LABEL=elsewhere /mnt/elsewhere ext4 defaults,nofail 0 2' >>/etc/fstab
    mount /mnt/elsewhere
  fi
  if pvesm status --storage backup-elsewhere >/dev/null 2>&1; then
    pvesm set backup-elsewhere --content backup --is_mountpoint yes
  else
    pvesm add dir backup-elsewhere --path /mnt/elsewhere --content backup --is_mountpoint yes
  fi
  pvesm set local --content images,rootdir,iso,vztmpl,snippets
}

# By testing: /dev/kvm may exist and open and still run no guest. A boot sector writes 42 to a port that ends QEMU with 85.
detect_virtualization() {
  virtualization=emulated
  local probe code=0
  probe=$(mktemp)
  { printf '\xb0\x2a\xba\xf4\x00\xee\xf4'; head -c 503 /dev/zero; printf '\x55\xaa'; } >"$probe"
  local qemu
  qemu=$(command -v kvm || command -v qemu-system-x86_64 || echo false)
  timeout 30 "$qemu" -accel kvm -nodefaults -display none -m 16 -device isa-debug-exit,iobase=0xf4,iosize=1 \
    -drive "file=$probe,format=raw,if=ide" >/dev/null 2>&1 || code=$?
  rm "$probe"
  [ "$code" = 85 ] && virtualization=kvm
  step "virtualization: $virtualization"
}

make_template() {
  if qm config "$TEMPLATE_ID" >/dev/null 2>&1; then
    if qm config "$TEMPLATE_ID" | grep -q '^template: 1'; then
      step "template $TEMPLATE_ID: there"
      return
    fi
    step "template $TEMPLATE_ID: begun and not finished, made again"
    qm destroy "$TEMPLATE_ID" --purge
  fi
  step "template $TEMPLATE_ID: $image"
  local folder name
  folder=/var/lib/vz/template/cloud name=${IMAGE_URL##*/}
  mkdir -p "$folder"
  fetch "$IMAGE_SUMS_URL" "$folder/SUMS"
  grep " \*\?$name\$" "$folder/SUMS" >"$folder/SUM" || fail "$IMAGE_SUMS_URL does not know $name"
  (cd "$folder" && sha512sum --check --status SUM 2>/dev/null) || fetch "$IMAGE_URL" "$folder/$name"
  (cd "$folder" && sha512sum --check --status SUM) || { rm "$folder/$name"; fail "$IMAGE_URL has another sum than $IMAGE_SUMS_URL says"; }
  cp "$folder/$name" "$folder/template.qcow2"
  if [ "$IMAGE_HAS_AGENT" != yes ]; then
    # The agent has to be in the image: to install it at the first boot, each machine would need access to Debian's packages.
    apt-get install --yes --no-install-recommends libguestfs-tools
    LIBGUESTFS_BACKEND=direct virt-customize -a "$folder/template.qcow2" --install qemu-guest-agent --truncate /etc/machine-id
  fi
  qm create "$TEMPLATE_ID" --name "$image" --memory 1024 --cores 1 --ostype l26 --scsihw virtio-scsi-pci \
    --net0 "virtio,bridge=$GUEST_BRIDGE" --serial0 socket --vga serial0 --agent enabled=1
  qm set "$TEMPLATE_ID" --scsi0 "local:0,import-from=$folder/template.qcow2,format=qcow2"
  qm set "$TEMPLATE_ID" --scsi1 local:cloudinit --boot order=scsi0
  [ "$virtualization" = kvm ] || qm set "$TEMPLATE_ID" --kvm 0
  qm template "$TEMPLATE_ID"
  rm "$folder/template.qcow2"
}

make_account() {
  step "role, user and token of the orchestrator"
  local list
  # shellcheck disable=SC2086  # one word a privilege
  list=$(printf '%s\n' $privileges | sort | paste -sd' ')
  pveum role modify Orchestrator --privs "$list" 2>/dev/null || pveum role add Orchestrator --privs "$list"
  pveum user list --noborder --noheader | grep -q '^orchestrator@pve\b' ||
    pveum user add orchestrator@pve --comment "hosting orchestrator"
  pveum acl modify / --users orchestrator@pve --roles Orchestrator
  mkdir -p "$HANDOVER"
  chmod 700 "$HANDOVER"
  if ! [ -s "$HANDOVER/token" ]; then
    # Proxmox shows a secret once: a token whose secret was not saved is useless.
    pveum user token remove orchestrator@pve apply 2>/dev/null || true
    (umask 077 && pveum user token add orchestrator@pve apply --privsep 0 --output-format json |
      sed -n 's/.*"value" *: *"\([^"]*\)".*/\1/p' >"$HANDOVER/token")
    [ -s "$HANDOVER/token" ] || fail "no token was made"
  fi
}

write_inventory() {
  step "inventory in $HANDOVER"
  [ -s "$HANDOVER/id_ed25519" ] || ssh-keygen -q -t ed25519 -N '' -C provider@vagrant -f "$HANDOVER/id_ed25519"
  cp /etc/pve/pve-root-ca.pem "$HANDOVER/pve-root-ca.pem"
  for key in /etc/ssh/ssh_host_*_key.pub; do
    echo "pve1 $(cut -d' ' -f1,2 "$key")"
  done >"$HANDOVER/known_hosts"
  cat >"$HANDOVER/sites.yaml" <<EOT
# Written by vagrant/bootstrap.sh: a Proxmox VE $PVE_RELEASE node in a Vagrant machine. Its guests are reached through it.
management:
  addresses: [$GUEST_NET.1/32] # guests see connections come from the node
  user: admin
  ssh_public_key: $(cat "$HANDOVER/id_ed25519.pub")
  ssh_private_key: id_ed25519
  ssh_proxy_command: ssh -F inventories/vagrant/ssh_config -W %h:%p pve1 # from the repository's folder

sites:
  vagrant:
    api:
      url: https://127.0.0.1:$API_PORT
      token_id: orchestrator@pve!apply
      token_secret: { file: token }
      ca_file: pve-root-ca.pem
    virtualization: $virtualization
    storage: local
    disk_format: qcow2
    networks:
      - name: guests
        bridge: $GUEST_BRIDGE
        subnet: $GUEST_NET.0/24
        gateway: $GUEST_NET.1
        range: $GUEST_NET.10-$GUEST_NET.200
        nameservers: [$(sed -n 's/^nameserver \([0-9.]*\)$/\1/p' /etc/resolv.conf | grep -v '^127\.' | head -n 1 || true)]
    images:
      $image: { template: $image }
    backup_storages:
      - { name: backup-elsewhere, site: elsewhere } # the second disk
EOT
  tar -C "$HANDOVER" -cf "$HANDOVER/handover.tar" sites.yaml token id_ed25519 id_ed25519.pub pve-root-ca.pem known_hosts
}

check_machine
name_node
install_proxmox
make_bridge
mount_elsewhere
detect_virtualization
make_template
make_account
write_inventory
step "done"
