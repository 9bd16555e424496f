/**
 * The ABIs by which a process can make system calls on either architecture, each with numbers of its own: tables of
 * the kernel's headers.
 * @module
 * @see the kernel's arch/x86/entry/syscalls/syscall_32.tbl, arch/arm/tools/syscall.tbl; asm/unistd_x32.h
 */
import { numberOf, SYSCALLS, type Arch, type SyscallName } from "../../syscalls/index.ts";

export interface Abi {
  /** What a profile lists among its `architectures`. */
  name: string;
  /** `AUDIT_ARCH_*`, as the filter sees it; x86-64 and x32 share theirs. */
  audit: number;
  /** Added to every number. */
  base: number;
  /** Its registers; where they have 32 bits, an argument is the lower word, and what stands above it does not count. */
  bits: 32 | 64;
  /** By name; several where an old kernel has a call twice. */
  numbers(name: string): readonly number[];
  /** Numbers that are another ABI's, whatever comes beyond those of this one. */
  foreign?: readonly { from: number; end?: number }[];
  /**
   * Calls that stand for many: the first argument (by a mask) says which, and the arguments of that one lie in memory.
   */
  multiplexers: readonly Multiplexer[];
}

export interface Multiplexer {
  name: string;
  mask: number;
  calls: ReadonlyMap<string, number>;
}

/** Names in the order of their numbers; `N:` goes on at N. */
function table(text: string): ReadonlyMap<string, number[]> {
  const numbers = new Map<string, number[]>();
  let next = 0;
  for (const word of text.trim().split(/\s+/)) {
    if (word.endsWith(":")) next = parseInt(word);
    else numbers.set(word, [next++]);
  }
  return numbers;
}

/** From here on, all ABIs have the same numbers. */
const UNIFIED = 424;

/** The calls of a 32-bit ABI, made of its table when it is first asked for. */
function compat(text: string): Abi["numbers"] {
  let numbers: ReadonlyMap<string, number[]> | undefined;
  return (name) => {
    numbers ??= table(text + TIME64);
    const known = numbers.get(name);
    if (known) return known;
    const generic = native(name, "arm64");
    return generic.filter((number) => number >= UNIFIED);
  };
}

function native(name: string, arch: Arch): number[] {
  const number = Object.hasOwn(SYSCALLS, name) ? numberOf(name as SyscallName, arch) : -1;
  return number < 0 ? [] : [number];
}

/** `__X32_SYSCALL_BIT` */
const X32_BIT = 0x40000000;
/** x32 has numbers of its own for these, from 512 on; others it shares with x86-64. */
const X32_FIRST = 512;
const X32_OWN = `
rt_sigaction rt_sigreturn ioctl readv writev recvfrom sendmsg recvmsg execve ptrace rt_sigpending rt_sigtimedwait
rt_sigqueueinfo sigaltstack timer_create mq_notify kexec_load waitid set_robust_list get_robust_list vmsplice move_pages
preadv pwritev rt_tgsigqueueinfo recvmmsg sendmmsg process_vm_readv process_vm_writev setsockopt getsockopt io_setup
io_submit execveat preadv2 pwritev2`
  .trim()
  .split(/\s+/);

function x32(name: string): number[] {
  const own = X32_OWN.indexOf(name);
  return own < 0 ? native(name, "x64") : [...native(name, "x64"), X32_FIRST + own];
}

const I386 = `
restart_syscall exit fork read write open close waitpid creat link unlink execve chdir time mknod chmod lchown break
oldstat lseek getpid mount umount setuid getuid stime ptrace alarm oldfstat pause utime stty gtty access nice ftime
sync kill rename mkdir rmdir dup pipe times prof brk setgid getgid signal geteuid getegid acct umount2 lock ioctl
fcntl mpx setpgid ulimit oldolduname umask chroot ustat dup2 getppid getpgrp setsid sigaction sgetmask ssetmask
setreuid setregid sigsuspend sigpending sethostname setrlimit getrlimit getrusage gettimeofday settimeofday getgroups
setgroups select symlink oldlstat readlink uselib swapon reboot readdir mmap munmap truncate ftruncate fchmod fchown
getpriority setpriority profil statfs fstatfs ioperm socketcall syslog setitimer getitimer stat lstat fstat olduname
iopl vhangup idle vm86old wait4 swapoff sysinfo ipc fsync sigreturn clone setdomainname uname modify_ldt adjtimex
mprotect sigprocmask create_module init_module delete_module get_kernel_syms quotactl getpgid fchdir bdflush sysfs
personality afs_syscall setfsuid setfsgid _llseek getdents _newselect flock msync readv writev getsid fdatasync
_sysctl mlock munlock mlockall munlockall sched_setparam sched_getparam sched_setscheduler sched_getscheduler
sched_yield sched_get_priority_max sched_get_priority_min sched_rr_get_interval nanosleep mremap setresuid getresuid
vm86 query_module poll nfsservctl setresgid getresgid prctl rt_sigreturn rt_sigaction rt_sigprocmask rt_sigpending
rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd capget capset sigaltstack sendfile getpmsg
putpmsg vfork ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32 getuid32 getgid32 geteuid32
getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32 setresgid32 getresgid32
chown32 setuid32 setgid32 setfsuid32 setfsgid32 pivot_root mincore madvise getdents64 fcntl64 224: gettid readahead
setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr removexattr lremovexattr
fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity set_thread_area get_thread_area io_setup
io_destroy io_getevents io_submit io_cancel fadvise64 252: exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait
remap_file_pages set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime
clock_gettime clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes fadvise64_64 vserver mbind get_mempolicy
set_mempolicy mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr kexec_load waitid 286: add_key
request_key keyctl ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch migrate_pages openat mkdirat
mknodat fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll
unshare set_robust_list get_robust_list splice sync_file_range tee vmsplice move_pages getcpu epoll_pwait utimensat
signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2
inotify_init1 preadv pwritev rt_tgsigqueueinfo perf_event_open recvmmsg fanotify_init fanotify_mark prlimit64
name_to_handle_at open_by_handle_at clock_adjtime syncfs sendmmsg setns process_vm_readv process_vm_writev kcmp
finit_module sched_setattr sched_getattr renameat2 seccomp getrandom memfd_create bpf execveat socket socketpair bind
connect listen accept4 getsockopt setsockopt getsockname getpeername sendto sendmsg recvfrom recvmsg shutdown
userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2 pkey_mprotect pkey_alloc pkey_free statx arch_prctl
io_pgetevents rseq 393: semget semctl shmget shmctl shmat shmdt msgget msgsnd msgrcv msgctl
`;

/** Of the EABI; those from 983041 on are private to ARM. */
const ARM = `
restart_syscall exit fork read write open close 8: creat link unlink execve chdir 14: mknod chmod lchown 19: lseek
getpid mount 23: setuid getuid 26: ptrace 29: pause 33: access nice 36: sync kill rename mkdir rmdir dup pipe times
45: brk setgid getgid 49: geteuid getegid acct umount2 54: ioctl fcntl 57: setpgid 60: umask chroot ustat dup2 getppid
getpgrp setsid sigaction 70: setreuid setregid sigsuspend sigpending sethostname setrlimit 77: getrusage gettimeofday
settimeofday getgroups setgroups 83: symlink 85: readlink uselib swapon reboot 91: munmap truncate ftruncate fchmod
fchown getpriority setpriority 99: statfs fstatfs 103: syslog setitimer getitimer stat lstat fstat 111: vhangup 114:
wait4 swapoff sysinfo 118: fsync sigreturn clone setdomainname uname 124: adjtimex mprotect sigprocmask 128:
init_module delete_module 131: quotactl getpgid fchdir bdflush sysfs personality 138: setfsuid setfsgid _llseek
getdents _newselect flock msync readv writev getsid fdatasync _sysctl mlock munlock mlockall munlockall sched_setparam
sched_getparam sched_setscheduler sched_getscheduler sched_yield sched_get_priority_max sched_get_priority_min
sched_rr_get_interval nanosleep mremap setresuid getresuid 168: poll nfsservctl setresgid getresgid prctl rt_sigreturn
rt_sigaction rt_sigprocmask rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend pread64 pwrite64 chown getcwd
capget capset sigaltstack sendfile 190: vfork ugetrlimit mmap2 truncate64 ftruncate64 stat64 lstat64 fstat64 lchown32
getuid32 getgid32 geteuid32 getegid32 setreuid32 setregid32 getgroups32 setgroups32 fchown32 setresuid32 getresuid32
setresgid32 getresgid32 chown32 setuid32 setgid32 setfsuid32 setfsgid32 getdents64 pivot_root mincore madvise fcntl64
224: gettid readahead setxattr lsetxattr fsetxattr getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
removexattr lremovexattr fremovexattr tkill sendfile64 futex sched_setaffinity sched_getaffinity io_setup io_destroy
io_getevents io_submit io_cancel exit_group lookup_dcookie epoll_create epoll_ctl epoll_wait remap_file_pages 256:
set_tid_address timer_create timer_settime timer_gettime timer_getoverrun timer_delete clock_settime clock_gettime
clock_getres clock_nanosleep statfs64 fstatfs64 tgkill utimes arm_fadvise64_64 pciconfig_iobase pciconfig_read
pciconfig_write mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr waitid socket bind connect
listen accept getsockname getpeername socketpair send sendto recv recvfrom shutdown setsockopt getsockopt sendmsg
recvmsg semop semget semctl msgsnd msgrcv msgget msgctl shmat shmdt shmget shmctl add_key request_key keyctl
semtimedop vserver ioprio_set ioprio_get inotify_init inotify_add_watch inotify_rm_watch mbind get_mempolicy
set_mempolicy openat mkdirat mknodat fchownat futimesat fstatat64 unlinkat renameat linkat symlinkat readlinkat
fchmodat faccessat pselect6 ppoll unshare set_robust_list get_robust_list splice arm_sync_file_range tee vmsplice
move_pages getcpu epoll_pwait kexec_load utimensat signalfd timerfd_create eventfd fallocate timerfd_settime
timerfd_gettime signalfd4 eventfd2 epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev rt_tgsigqueueinfo
perf_event_open recvmmsg accept4 fanotify_init fanotify_mark prlimit64 name_to_handle_at open_by_handle_at
clock_adjtime syncfs sendmmsg setns process_vm_readv process_vm_writev kcmp finit_module sched_setattr sched_getattr
renameat2 seccomp getrandom memfd_create bpf execveat userfaultfd membarrier mlock2 copy_file_range preadv2 pwritev2
pkey_mprotect pkey_alloc pkey_free statx rseq io_pgetevents migrate_pages kexec_file_load
341: sync_file_range2 983041: breakpoint cacheflush usr26 usr32 set_tls get_tls
`;

/** Of all 32-bit ABIs. */
const TIME64 = `
403: clock_gettime64 clock_settime64 clock_adjtime64 clock_getres_time64 clock_nanosleep_time64 timer_gettime64
timer_settime64 timerfd_gettime64 timerfd_settime64 utimensat_time64 pselect6_time64 ppoll_time64 416:
io_pgetevents_time64 recvmmsg_time64 mq_timedsend_time64 mq_timedreceive_time64 semtimedop_time64 rt_sigtimedwait_time64
futex_time64 sched_rr_get_interval_time64
`;

/** Numbers that begin at 1. */
const numbered = (names: string) => new Map(names.split(" ").map((name, index) => [name, index + 1]));

/** @see socketcall(2), ipc(2); linux/net.h, linux/ipc.h */
const MULTIPLEXERS: readonly Multiplexer[] = [
  {
    name: "socketcall",
    mask: 0xffffffff,
    calls: numbered(
      "socket bind connect listen accept getsockname getpeername socketpair send recv sendto recvfrom shutdown setsockopt getsockopt sendmsg recvmsg accept4 recvmmsg sendmmsg",
    ),
  },
  {
    name: "ipc",
    // above it stands a version
    mask: 0xffff,
    calls: new Map([
      ...numbered("semop semget semctl semtimedop"),
      ...["msgsnd", "msgrcv", "msgget", "msgctl"].map((name, index): [string, number] => [name, 11 + index]),
      ...["shmat", "shmdt", "shmget", "shmctl"].map((name, index): [string, number] => [name, 21 + index]),
    ]),
  },
];

const abi = (name: string, audit: number, bits: 32 | 64, numbers: Abi["numbers"]): Abi => ({
  name: `SCMP_ARCH_${name}`,
  audit,
  base: 0,
  bits,
  numbers,
  multiplexers: [],
});

const AUDIT_ARCH = { X86_64: 0xc000003e, I386: 0x40000003, AARCH64: 0xc00000b7, ARM: 0x40000028 };

/** The native one first. */
export const ABIS: Record<Arch, readonly [Abi, ...Abi[]]> = {
  x64: [
    {
      ...abi("X86_64", AUDIT_ARCH.X86_64, 64, (name) => native(name, "x64")),
      // kernels before 5.4 take x32's own numbers without the bit, too
      foreign: [{ from: X32_FIRST, end: X32_FIRST + X32_OWN.length }, { from: X32_BIT }],
    },
    { ...abi("X32", AUDIT_ARCH.X86_64, 64, x32), base: X32_BIT },
    { ...abi("X86", AUDIT_ARCH.I386, 32, compat(I386)), multiplexers: MULTIPLEXERS },
  ],
  arm64: [
    abi("AARCH64", AUDIT_ARCH.AARCH64, 64, (name) => native(name, "arm64")),
    abi("ARM", AUDIT_ARCH.ARM, 32, compat(ARM)),
  ],
};
