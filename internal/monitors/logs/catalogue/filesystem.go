package catalogue

import "time"

// filesystemPatterns are about file systems: fs/ext4/super.c, fs/xfs/xfs_fsops.c, fs/btrfs, net/sunrpc.
func filesystemPatterns() []Pattern {
	kernel := []Class{Kernel}
	return []Pattern{
		{
			Name: "filesystem-error", Doc: "A file system found itself damaged; the subject is the device.",
			Classes: kernel, Literals: []string{"EXT4-fs error", "EXT4-fs (", "XFS (", "BTRFS ", "JBD2"}, TTL: 24 * time.Hour,
			Expr: `EXT4-fs error \(device ([^)]+)\)|XFS \(([^)]+)\): (?:Metadata (?:corruption|CRC error) detected|Corruption (?:of in-memory data|detected|warning)|Internal error)|BTRFS (?:error|critical) \(device ([^):]+)[^)]*\): .*(?:corrupt|bad tree block|parent transid verify failed|csum)|JBD2: Detected IO errors.* on (\S+)`,
			Fits: []string{
				"EXT4-fs error (device sdb1): ext4_lookup:1785: inode #131073: comm ls: deleted inode referenced: 131074",
				"XFS (dm-3): Metadata corruption detected at xfs_agf_verify+0x70/0x170 [xfs], xfs_agf block 0x1",
				"XFS (dm-3): Metadata CRC error detected at xfs_agi_read_verify+0x9e/0x110, xfs_agi block 0x2",
				"XFS (sdb1): Corruption of in-memory data (0x8) detected at xfs_defer_finish_noroll+0x2b/0x150 (fs/xfs/libxfs/xfs_defer.c:504).  Shutting down filesystem.",
				"BTRFS error (device sda2: state EA): parent transid verify failed on logical 30408704 mirror 1 wanted 8 found 6",
			},
			Misses: []string{
				"EXT4-fs (sdb1): mounted filesystem 1f with ordered data mode. Quota mode: none.",
				"EXT4-fs warning (device sdb1): ext4_dx_add_entry:2461: Directory (ino: 2) index full, reach max htree level :2",
				"XFS (dm-3): Ending clean mount",
				"BTRFS info (device sda2): using crc32c (crc32c-intel) checksum algorithm",
			},
		},
		{
			Name: "filesystem-shutdown", Doc: "A file system stopped serving to save what it holds; the subject is the device.",
			Classes: kernel, Literals: []string{"hutting down filesystem", "has been shut down", "xfs_do_force_shutdown"}, TTL: 24 * time.Hour,
			Expr: `XFS \(([^)]+)\): (?:.*[Ss]hutting down filesystem|.*has been shut down|xfs_do_force_shutdown)|EXT4-fs \(([^)]+)\): shut down requested`,
			Fits: []string{
				"XFS (sdb1): Log I/O Error (0x2) detected at xlog_ioend_work+0x7c/0x90 [xfs] (fs/xfs/xfs_log.c:1377).  Shutting down filesystem.",
				"XFS (dm-0): xfs_do_force_shutdown(0x8) called from line 439 of file fs/xfs/libxfs/xfs_defer.c. Return address = ffffffffc0a6ae9e",
				"XFS (vdb): Filesystem has been shut down due to log error (0x2).",
			},
			Misses: []string{"XFS (sdb1): Unmounting Filesystem 7c"},
		},
		{
			Name: "filesystem-read-only", Doc: "The kernel made a file system read-only because of errors; the subject is the device.",
			Classes: kernel, Literals: []string{"Remounting filesystem read-only", "forced readonly"}, TTL: 24 * time.Hour, WhileReadOnly: true,
			Expr: `EXT[234]-fs (?:error )?\((?:device )?([^)]+)\):.*Remounting filesystem read-only|F2FS-fs \(([^)]+)\):.*Remounting filesystem read-only|BTRFS \w+ \(device ([^):]+)[^)]*\): forced readonly`,
			Fits: []string{
				"EXT4-fs (sdb1): Remounting filesystem read-only",
				"EXT3-fs (hda1): error: Remounting filesystem read-only",
				"BTRFS info (device sda2: state E): forced readonly",
			},
			Misses: []string{"EXT4-fs (sdb1): re-mounted 1f ro. Quota mode: none."},
		},
		{
			Name: "nfs-server-silent", Doc: "An NFS server does not answer, and what uses it hangs; the subject is the server.",
			Classes: kernel, Literals: []string{"nfs: server"}, TTL: 30 * time.Minute, Cleared: `nfs: server (\S+) OK`,
			Expr:   `nfs: server (\S+) not responding`,
			Fits:   []string{"nfs: server 10.0.0.9 not responding, still trying", "nfs: server nas.example not responding, timed out"},
			Misses: []string{"nfs: server 10.0.0.9 OK"},
		},
		{
			Name: "disk-full", Doc: "A component could not write because a file system is full.",
			Classes: []Class{Kubelet, Containerd, Docker, CRIO, Etcd, APIServer}, Literals: []string{"no space left on device"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 10 * time.Minute,
			Expr:   `(/\S+?)"?\\?"?: no space left on device|no space left on device`,
			Fits:   []string{`time="2026-11-21T10:00:00Z" level=error msg="failed to write" error="open /var/lib/containerd/tmp/x: no space left on device"`},
			Misses: []string{`"Image garbage collection succeeded" freed=1024`},
		},
	}
}
