"""What the guest image is made of: packages, kernel arguments, and what is left out, each with its reason.

A guest without hardware virtualization pays for every process of its boot: emulation makes its
processor about seventeen times slower. Most of this page is therefore about what does not run.
"""

from __future__ import annotations

SUITE = "bookworm"
"""Debian release of the guests, as `debian-12` in subscription files."""

DISK_BYTES = 2 * 1024**3
"""Size of the image as a guest sees it; cloud-init grows the root file system to a larger disk."""

PACKAGES = (
    # boots
    "linux-image-cloud-amd64",
    "tiny-initramfs",
    "systemd-sysv",
    "udev",
    "dbus",
    # what Proxmox and the orchestrator talk to
    "cloud-init",
    "cloud-guest-utils",
    "qemu-guest-agent",
    "openssh-server",
    # what the orchestrator's playbooks need without a network
    "sudo",
    "python3",
    "nftables",
    "iproute2",
    "prometheus-node-exporter",
    # what people need to look around, and the listener of the demo
    "netcat-openbsd",
    "iputils-ping",
    "procps",
    "less",
    "nano",
)

LEFT_OUT_FILES = (
    "/usr/share/man/*",
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/i18n/*",
    "/usr/share/lintian/*",
    "/usr/share/bug/*",
    # Hardware that QEMU's virtio machine does not have.
    "/lib/modules/*/kernel/drivers/net/ethernet/*",
    "/lib/modules/*/kernel/drivers/gpu/*",
    "/lib/modules/*/kernel/drivers/infiniband/*",
    "/lib/modules/*/kernel/drivers/hv/*",
    "/lib/modules/*/kernel/drivers/xen/*",
    "/lib/modules/*/kernel/drivers/nvme/*",
    "/lib/modules/*/kernel/drivers/md/*",
    "/lib/modules/*/kernel/fs/btrfs/*",
    "/lib/modules/*/kernel/fs/xfs/*",
    "/lib/modules/*/kernel/fs/ceph/*",
    "/lib/modules/*/kernel/fs/cifs/*",
    "/lib/modules/*/kernel/fs/smb/*",
    "/lib/modules/*/kernel/fs/nfs*",
    "/lib/modules/*/kernel/fs/ocfs2/*",
    "/lib/modules/*/kernel/fs/gfs2/*",
    "/lib/modules/*/kernel/fs/f2fs/*",
    "/lib/modules/*/kernel/fs/jfs/*",
    "/lib/modules/*/kernel/sound/*",
)
"""Paths that dpkg does not unpack, neither now nor at an upgrade inside the guest."""

LEFT_IN_FILES = ("/usr/share/doc/*/copyright",)
"""Exceptions from `LEFT_OUT_FILES`: licences stay with what they cover."""

INITRAMFS_MODULES = (
    "virtio_pci",
    "virtio_scsi",
    "sd_mod",
    "sr_mod",
    "isofs",
    "virtio_net",
    "virtio_console",
    "virtio_rng",
    "button",
    "evdev",
)
"""Drivers loaded before systemd starts. With the CD and the network card there from the beginning,
nothing in the boot waits for udev to find them, and randomness is there for the first key. The last two
are the power button, which udev then need not look for. (ext4 is part of the kernel.)"""

KERNEL_ARGUMENTS = (
    "ro",
    "rootflags=noinit_itable",  # no thread that writes empty inode tables after the disk has grown
    "console=ttyS0",
    "quiet",
    "systemd.show_status=false",
    "net.ifnames=0",  # Proxmox's network configuration says eth0
    "mitigations=off",  # the machines are emulated and thrown away
    "apparmor=0",
    "selinux=0",
    "nokaslr",  # no pass over the kernel's half million relocations
    "cryptomgr.notests",
    "cgroup_disable=memory",
    "psi=0",
    "SYSTEMD_SECCOMP=0",  # reaches systemd's environment: filters of system calls are costly to compile
    "nowatchdog",
    # A boot on a busy computer must not panic because the first ticks of the timer came late. (KVM guests do without
    # this check by themselves.) Nothing is said here of the time stamp counter: the kernel may measure it wrongly if
    # its processor is taken away between two instructions, and finds that out by the HPET unless told to trust it.
    "no_timer_check",
    "8250.nr_uarts=1",
)

MASKED_UNITS = (
    # nothing in the lab has a way out, and no guest lives long enough for upkeep
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
    # consoles: the serial one goes to a log file, nobody can log in there
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    # not there, or decided when the image was made
    "systemd-pstore.service",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-journal-flush.service",
    "systemd-update-done.service",
    "systemd-machine-id-commit.service",
    "systemd-networkd-wait-online.service",
    "systemd-repart.service",
    "systemd-rfkill.socket",
    "systemd-sysusers.service",
    "systemd-random-seed.service",
    "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-tmpfiles-setup-dev.service",
    "kmod-static-nodes.service",
    "cryptsetup.target",
    "integritysetup.target",
    "veritysetup.target",
    "systemd-udev-settle.service",
    "ldconfig.service",
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "proc-sys-fs-binfmt_misc.automount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "modprobe@configfs.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@dm_mod.service",
    "modprobe@loop.service",
    "remote-fs.target",
    # cloud-init: one process instead of four, see overlay/usr/lib/orchestrator-lab/cloud-init-boot
    "cloud-init.service",
    "cloud-config.service",
    "cloud-final.service",
    "cloud-init-hotplugd.socket",
    "cloud-init-hotplugd.service",
)
"""Units that never start."""

MASKED_GENERATORS = (
    "cloud-init-generator",  # looks for clouds with a long shell script; here it is NoCloud or nothing
    "systemd-cryptsetup-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-bless-boot-generator",
    "systemd-integritysetup-generator",
    "systemd-veritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-sysv-generator",
    "systemd-system-update-generator",
    "systemd-debug-generator",
    "systemd-run-generator",
    "systemd-getty-generator",
)
"""Programs that systemd runs at each start to make units; none of theirs is wanted."""

DISABLED_UNITS = ("multi-user.target.wants/prometheus-node-exporter.service",)
"""Links of units that packages enable and a guest starts when it is told to: supervision switches the exporter on."""

ENABLED_UNITS = (
    "multi-user.target.wants/systemd-networkd.service",
    "multi-user.target.wants/cloud-init.target",
    "multi-user.target.wants/ssh.service",
    "multi-user.target.wants/ssh-host-key.service",
    "multi-user.target.wants/qemu-guest-agent.service",
)
"""Units that start, as their links in /etc/systemd/system."""
