#!/usr/bin/perl -T
# Prints the configuration of every VM of this cluster, for `orchestrator`.
#
# It is what sshd runs for one key, whatever was asked for (a forced command in authorized_keys): it takes nothing from
# the client, writes nothing, and prints no password. It needs no more than to read /etc/pve as the group www-data may.
#
#   configurations 1
#   NODE VMID SHA1 BYTES        of each file; SHA1 is that of the file as it stands, Proxmox's digest
#   ...                         so many bytes: the file, with passwords as `**********`
#   end COUNT

use strict;
use warnings;
use Digest::SHA qw(sha1_hex);

my $root = shift(@ARGV) // '/etc/pve/nodes';
if (open(my $members, '<', "$root/../.members")) {
    # Without a quorum the files are those of the moment at which this node lost the others.
    local $/;
    die "this node has lost the cluster (no quorum): its files are old\n" if (<$members> // '') =~ m/"quorate": 0\b/;
}
my $count = 0;
binmode(STDOUT);
opendir(my $nodes, $root) or die "$root cannot be read: $!\n";
print "configurations 1\n";
for my $entry (sort readdir($nodes)) {
    my ($node) = $entry =~ m/^([A-Za-z0-9][A-Za-z0-9-]*)$/ or next;
    my $folder = "$root/$node/qemu-server";
    opendir(my $files, $folder) or next;
    for my $name (sort readdir($files)) {
        my ($vmid) = $name =~ m/^([1-9][0-9]{2,8})\.conf$/ or next;
        open(my $file, '<:raw', "$folder/$name") or next; # removed, or moved to another node, at this moment
        my $text = do { local $/; <$file> };
        next if !defined($text);
        my $digest = sha1_hex($text);
        $text =~ s/^cipassword:.*$/cipassword: **********/mg;
        print "$node $vmid $digest ", length($text), "\n", $text;
        $count++;
    }
}
print "end $count\n";
