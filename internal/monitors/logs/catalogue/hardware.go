package catalogue

import "time"

// hardwarePatterns are about memory, CPUs, buses and disks: drivers/edac, arch/x86/kernel/cpu/mce,
// drivers/firmware/efi/cper.c, drivers/pci/pcie/aer.c, block/blk-core.c, drivers/nvme/host/pci.c.
func hardwarePatterns() []Pattern {
	kernel := []Class{Kernel}
	return []Pattern{
		{
			Name: "memory-uncorrected", Doc: "Memory gave data that could not be corrected; the subject is the module or controller.",
			Classes: kernel, Literals: []string{" UE ", "Uncorrected hardware memory error", "Memory failure: 0x"}, TTL: 24 * time.Hour,
			Expr: `EDAC (\S+): \d+ UE |Uncorrected hardware memory error|Memory failure: (0x[0-9a-f]+): (?:recovery action|Sending SIGBUS|Killing)`,
			Fits: []string{
				"EDAC MC0: 1 UE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x12a offset:0x0 grain:32)",
				"mce: Uncorrected hardware memory error in user-access at 3f3b8d400",
				"Memory failure: 0x3f3b8d: recovery action for dirty LRU page: Recovered",
			},
			Misses: []string{"EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x12a offset:0x0 grain:32)", "EDAC MC: Ver: 3.0.0"},
		},
		{
			Name: "memory-corrected", Doc: "Memory gives many errors that could still be corrected; the subject is the controller.",
			Classes: kernel, Literals: []string{" CE ", "CE memory read error"}, AtLeast: 10, Within: time.Hour, TTL: 2 * time.Hour,
			Expr:   `EDAC (\S+): \d+ CE |CE memory read error`,
			Fits:   []string{"EDAC MC0: 1 CE memory read error on CPU_SrcID#0_Ha#0_Chan#1_DIMM#0 (channel:1 slot:0 page:0x12a offset:0x0 grain:32)"},
			Misses: []string{"EDAC MC0: Giving out device to module skx_edac controller Skylake Socket#0 IMC#0: DEV 0000:64:0a.0 (INTERRUPT)"},
		},
		{
			Name: "hardware-error", Doc: "The firmware or a CPU reported an error that was not corrected.",
			Classes: kernel, Literals: []string{"[Hardware Error]", "AER: ", "PCIe Bus Error"}, TTL: 24 * time.Hour,
			Expr: `event severity: (fatal|recoverable)|mce: \[Hardware Error\]: CPU \d+: Machine Check(?: Exception)?: \S+ Bank \d+: [abef][0-9a-f]{15}|AER: (?:Multiple )?Uncorrect(?:ed|able) \((?:Fatal|Non-Fatal)\)|PCIe Bus Error: severity=Uncorrect`,
			Fits: []string{
				"{1}[Hardware Error]: event severity: fatal",
				"mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 5: be00000000800400",
				"pcieport 0000:00:1c.0: AER: Uncorrected (Fatal) error received: 0000:00:1c.0",
				"pcieport 0000:00:1c.0: PCIe Bus Error: severity=Uncorrected (Non-Fatal), type=Transaction Layer, (Requester ID)",
			},
			Misses: []string{
				"{1}[Hardware Error]: event severity: corrected",
				"mce: [Hardware Error]: CPU 2: Machine Check: 0 Bank 7: 8c00004000010090",
				"pcieport 0000:00:1c.0: AER: Corrected error received: 0000:00:1c.0",
				"pcieport 0000:00:1c.0: AER: enabled with IRQ 122",
			},
		},
		{
			Name: "cpu-throttled", Doc: "A CPU was slowed down because it is too hot.",
			Classes: kernel, Literals: []string{"cpu clock"}, AtLeast: 3, Within: time.Hour, TTL: time.Hour,
			Expr:   `CPU(\d+): (?:Core|Package) temperature (?:is )?above threshold, cpu clock (?:is )?throttled`,
			Fits:   []string{"CPU0: Core temperature is above threshold, cpu clock is throttled (total events = 1)", "CPU4: Package temperature above threshold, cpu clock throttled (total events = 12)"},
			Misses: []string{"CPU0: Core temperature/speed normal"},
		},
		{
			Name: "disk-error", Doc: "A disk did not read or write what it was asked to; the subject is the device.",
			Classes: kernel, Literals: []string{"error, dev ", "Buffer I/O error on dev"}, TTL: 30 * time.Minute,
			Expr: `(?:I/O|critical medium|critical target|critical nexus|protection|recoverable|device offline) error, dev ([^ ,]+), sector|Buffer I/O error on dev(?:ice)? ([^ ,]+), logical block`,
			// Drives without a medium answer so when somebody looks into them, and loop devices when they are taken away.
			Not: `dev(?:ice)? (?:fd|sr|loop|ram)\d`,
			Fits: []string{
				"I/O error, dev sdb, sector 2048 op 0x0:(READ) flags 0x80700 phys_seg 1 prio class 0",
				"blk_update_request: I/O error, dev sdb, sector 2048 op 0x1:(WRITE) flags 0x100000 phys_seg 1 prio class 0",
				"print_req_error: I/O error, dev nvme0n1, sector 12345",
				"end_request: I/O error, dev sdc, sector 0",
				"critical medium error, dev sda, sector 998877 op 0x0:(READ) flags 0x0 phys_seg 2 prio class 2",
				"Buffer I/O error on dev sdb, logical block 0, async page read",
				"Buffer I/O error on device dm-3, logical block 77",
			},
			Misses: []string{
				"I/O error, dev fd0, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 2",
				"Buffer I/O error on dev sr0, logical block 0, async page read",
				"blk_update_request: I/O error, dev loop4, sector 0 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0",
			},
		},
		{
			Name: "nvme-timeout", Doc: "An NVMe disk did not answer and was reset; the subject is the controller.",
			Classes: kernel, Literals: []string{"nvme nvme"}, TTL: 30 * time.Minute,
			Expr: `nvme (nvme\d+): (?:I/O .*timeout, (?:aborting|reset controller|disable controller)|controller is down; will reset|Device not ready; aborting|Removing after probe failure|Disabling device after reset failure)`,
			Fits: []string{
				"nvme nvme0: I/O 123 QID 4 timeout, aborting",
				"nvme nvme0: I/O tag 12 (100c) opcode 0x2 (I/O Cmd) QID 1 timeout, aborting req_op:READ(0) size:4096",
				"nvme nvme1: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0x10",
				"nvme nvme0: Device not ready; aborting initialisation, CSTS=0x0",
			},
			Misses: []string{"nvme nvme0: 8/0/0 default/read/poll queues", "nvme nvme0: I/O 5 QID 0 timeout, completion polled"},
		},
		{
			Name: "ata-error", Doc: "A SATA disk or its cable gives errors; the subject is the port.",
			Classes: kernel, Literals: []string{"exception Emask", "failed command:"}, AtLeast: 3, Within: 10 * time.Minute, TTL: 30 * time.Minute,
			Expr:   `(ata\d+(?:\.\d+)?): (?:exception Emask|failed command:)`,
			Fits:   []string{"ata1.00: exception Emask 0x0 SAct 0x40 SErr 0x0 action 0x6 frozen", "ata1.00: failed command: READ FPDMA QUEUED"},
			Misses: []string{"ata2: SATA link down (SStatus 0 SControl 300)", "ata1.00: configured for UDMA/133"},
		},
		{
			Name: "disk-path-failed", Doc: "A path to a disk that has several was lost; the subject is the path's device.",
			Classes: kernel, Literals: []string{"Failing path"}, TTL: 10 * time.Minute,
			Expr:   `device-mapper: multipath: (?:\S+ )?Failing path (\S+?)\.?$`,
			Fits:   []string{"device-mapper: multipath: 253:0: Failing path 8:16.", "device-mapper: multipath: Failing path 8:32."},
			Misses: []string{"device-mapper: multipath: 253:0: Reinstating path 8:16."},
		},
		{
			Name: "iscsi-connection-lost", Doc: "An iSCSI target did not answer; the subject is the connection.",
			Classes: kernel, Literals: []string{"ping timeout of", "detected conn error"}, TTL: 10 * time.Minute,
			Expr:   `(connection\d+:\d+): (?:ping timeout of \d+ secs expired|detected conn error)`,
			Fits:   []string{"connection2:0: ping timeout of 5 secs expired, recv timeout 5, last rx 4295042361, last ping 4295043613, now 4295044864", "connection2:0: detected conn error (1022)"},
			Misses: []string{"scsi host2: iSCSI Initiator over TCP/IP"},
		},
		{
			Name: "disk-bad-sectors", Doc: "A disk's own test found sectors that cannot be read; the subject is the device.",
			Classes: []Class{Smartd}, Literals: []string{"unreadable (pending) sectors", "ffline uncorrectable sectors"}, TTL: 2 * time.Hour,
			Expr:   `Device: (\S+)[^,]*, [1-9]\d* (?:Currently unreadable \(pending\)|[Oo]ffline uncorrectable) sectors`,
			Fits:   []string{"Device: /dev/sda [SAT], 8 Currently unreadable (pending) sectors", "Device: /dev/sdb [SAT], 120 Offline uncorrectable sectors"},
			Misses: []string{"Device: /dev/sda [SAT], SMART Usage Attribute: 194 Temperature_Celsius changed from 117 to 116"},
		},
		{
			Name: "gpu-error", Doc: "An NVIDIA GPU reported an error; the subject is its address on the bus.",
			Classes: kernel, Literals: []string{"NVRM: Xid"}, TTL: time.Hour,
			Expr:   `NVRM: Xid \(PCI:([0-9a-fA-F:.]+)\): \d+`,
			Fits:   []string{"NVRM: Xid (PCI:0000:3b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."},
			Misses: []string{"NVRM: loading NVIDIA UNIX x86_64 Kernel Module  535.104.05"},
		},
	}
}
