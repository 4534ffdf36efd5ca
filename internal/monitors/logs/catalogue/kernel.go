package catalogue

import "time"

// kernelPatterns are about the kernel itself: mm/oom_kill.c, kernel/hung_task.c, kernel/watchdog.c,
// kernel/rcu/tree_stall.h, arch/x86/mm/fault.c.
func kernelPatterns() []Pattern {
	kernel := []Class{Kernel}
	return []Pattern{
		{
			Name: "oom-kill", Doc: "The kernel killed a process because the whole machine was out of memory.",
			Classes: kernel, Literals: []string{"Out of memory: Kill"}, TTL: 30 * time.Minute,
			Expr: `^Out of memory: Kill(?:ed)? process \d+ \(([^)]*)\)`,
			Fits: []string{
				"Out of memory: Killed process 4711 (java) total-vm:9437184kB, anon-rss:8123456kB, file-rss:0kB, shmem-rss:0kB, UID:1000 pgtables:16384kB oom_score_adj:0",
				"Out of memory: Kill process 4711 (java) score 912 or sacrifice child",
			},
			Misses: []string{"Memory cgroup out of memory: Killed process 2345 (stress) total-vm:204800kB, anon-rss:65536kB, file-rss:0kB, shmem-rss:0kB"},
		},
		{
			Name: "oom-kill-cgroup", Doc: "The kernel killed a process because its control group was at its memory limit; the subject is the group.",
			Classes: kernel, Literals: []string{"CONSTRAINT_MEMCG", "killed as a result of limit of"}, TTL: 30 * time.Minute,
			Expr: `oom-kill:constraint=CONSTRAINT_MEMCG.*oom_memcg=([^,]+)|killed as a result of limit of (\S+)`,
			Fits: []string{
				"oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=cri-containerd-1a.scope,mems_allowed=0,oom_memcg=/kubepods/burstable/pod7f,task_memcg=/kubepods/burstable/pod7f/1a,task=stress,pid=2345,uid=0",
				"Task in /kubepods/burstable/pod7f/1a killed as a result of limit of /kubepods/burstable/pod7f",
			},
			Misses: []string{"oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/system.slice/x.service,task=java,pid=4711,uid=1000"},
		},
		{
			Name: "task-hung", Doc: "A task waits in the kernel without end, mostly for a disk or a network file system; the subject is the task.",
			Classes: kernel, Literals: []string{"blocked for more than", "blocked in I/O wait for more than"}, TTL: 10 * time.Minute,
			Expr: `INFO: task (.+):\d+ blocked(?: in I/O wait)? for more than \d+ seconds`,
			Fits: []string{
				"INFO: task dockerd:1234 blocked for more than 120 seconds.",
				"INFO: task kworker/u8:2:88 blocked for more than 241 seconds.",
				"INFO: task jbd2/sda1-8:301 blocked in I/O wait for more than 122 seconds.",
			},
			Misses: []string{"\"echo 0 > /proc/sys/kernel/hung_task_timeout_secs\" disables this message."},
		},
		{
			Name: "soft-lockup", Doc: "A CPU ran in the kernel without end and could do nothing else; the subject is its number.",
			Classes: kernel, Literals: []string{"soft lockup"}, TTL: 10 * time.Minute,
			Expr:   `BUG: soft lockup - CPU#(\d+) stuck for \d+s!`,
			Fits:   []string{"watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:4242]", "BUG: soft lockup - CPU#0 stuck for 67s! [java:911]"},
			Misses: []string{"Kernel command line: nosoftlockup softlockup_panic=0"},
		},
		{
			Name: "hard-lockup", Doc: "A CPU ran with interrupts off without end; the subject is its number.",
			Classes: kernel, Literals: []string{"hard LOCKUP"}, TTL: 30 * time.Minute,
			Expr:   `Watchdog detected hard LOCKUP on cpu ?(\d+)|CPU(\d+): Watchdog detected hard LOCKUP`,
			Fits:   []string{"NMI watchdog: Watchdog detected hard LOCKUP on cpu 5", "watchdog: CPU5: Watchdog detected hard LOCKUP on cpu 5"},
			Misses: []string{"NMI watchdog: Enabled. Permanently consumes one hw-PMU counter."},
		},
		{
			Name: "rcu-stall", Doc: "A CPU did not come to rest for so long that the kernel's clean-up stalled.",
			Classes: kernel, Literals: []string{"detected stall", "detected expedited stall"}, TTL: 10 * time.Minute,
			Expr: `INFO: (rcu_\w+) (?:self-)?detected (?:expedited )?stalls? on CPU`,
			Fits: []string{
				"rcu: INFO: rcu_sched self-detected stall on CPU",
				"rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
				"INFO: rcu_sched detected stalls on CPUs/tasks: { 3} (detected by 0, t=5252 jiffies)",
				"rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 2-... } 21 jiffies s: 1589",
			},
			Misses: []string{"rcu: Hierarchical RCU implementation."},
		},
		{
			Name: "kernel-oops", Doc: "The kernel hit an error of its own and went on with part of it broken.",
			Classes: kernel, Literals: []string{"BUG: ", "Oops", "kernel BUG at", "general protection fault", "divide error"}, TTL: 24 * time.Hour,
			Expr: `^BUG: (?:unable to handle|kernel NULL pointer dereference|Bad page|scheduling while atomic)|\bOops(?:: | - )|kernel BUG at (\S+)|(?:general protection fault|divide error).* \[#\d+\]`,
			Fits: []string{
				"BUG: kernel NULL pointer dereference, address: 0000000000000008",
				"BUG: unable to handle kernel NULL pointer dereference at 0000000000000008",
				"BUG: unable to handle page fault for address: ffffb2b500c4b000",
				"Oops: 0002 [#1] PREEMPT SMP NOPTI",
				"divide error: 0000 [#1] PREEMPT SMP NOPTI",
				"general protection fault, probably for non-canonical address 0xdead000000000122: 0000 [#1] SMP PTI",
				"kernel BUG at fs/ext4/inode.c:2721!",
				"Internal error: Oops - BUG: 0 [#1] SMP",
			},
			Misses: []string{
				"watchdog: BUG: soft lockup - CPU#3 stuck for 22s! [kworker/3:1:4242]",
				"traps: app[991] general protection fault ip:7f0e6a sp:7ffd4c error:0 in libc.so.6[7f0e5f]",
				"traps: app[991] trap divide error ip:401136 sp:7ffd4c error:0 in app[401000+1000]",
			},
		},
		{
			Name: "kernel-panic", Doc: "The kernel stopped.",
			Classes: kernel, Literals: []string{"Kernel panic"}, TTL: 24 * time.Hour,
			Expr:   `Kernel panic - not syncing: (.*)`,
			Fits:   []string{"Kernel panic - not syncing: Fatal exception in interrupt"},
			Misses: []string{"Command line: root=/dev/vda panic=10"},
		},
		{
			Name: "process-crash", Doc: "Programs crash with memory faults; the subject is the program.",
			Classes: kernel, Literals: []string{"segfault at", "traps: "}, AtLeast: 3, Within: 10 * time.Minute, TTL: 15 * time.Minute,
			Expr: `(\S+)\[\d+\]: segfault at|traps: (\S+)\[\d+\] (?:general protection|trap )`,
			Fits: []string{
				"nginx[2211]: segfault at 0 ip 00007f3b3a1c sp 00007ffe0d error 4 in libc.so.6[7f3b39+195000] likely on CPU 1 (core 1, socket 0)",
				"traps: app[991] general protection fault ip:7f0e6a sp:7ffd4c error:0 in libc.so.6[7f0e5f]",
			},
			Misses: []string{"audit: type=1701 audit(1763740000.1:42): auid=4294967295 uid=0 gid=0 comm=\"nginx\" sig=11 res=1"},
		},
		{
			Name: "fork-rejected", Doc: "A control group is at its limit of processes; the subject is the group.",
			Classes: kernel, Literals: []string{"fork rejected by pids controller"}, TTL: 10 * time.Minute,
			Expr:   `cgroup: fork rejected by pids controller in (\S+)`,
			Fits:   []string{"cgroup: fork rejected by pids controller in /kubepods/burstable/pod7f/1a"},
			Misses: []string{"cgroup: Unknown subsys name 'pids'"},
		},
	}
}
