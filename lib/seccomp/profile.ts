/**
 * The default seccomp profile: what programs use; what reaches far into the kernel only with the capability for it.
 *
 * It lets through what Docker's default profile does, except (ordinary programs notice none of this):
 * - `socket` refuses AF_ALG and AF_VSOCK by the 32 bits that the kernel looks at, with EAFNOSUPPORT. Docker compares
 *   all 64 bits, so that a set bit above them gets past it (measured: `socket(0x100000028, …)` makes an AF_VSOCK one);
 * - `ioctl` refuses TIOCSTI and TIOCLINUX, which type into a terminal that is shared with the host;
 * - `modify_ldt`, which only 16-bit programs need (Wine, DOSEMU), is refused;
 * - calls of the 32-bit ABIs fail with ENOSYS (see compile.ts);
 * - `ptrace` and `process_vm_*` are allowed without a look at the kernel's version: the one before which a traced process
 *   could get around its filter, 4.8, is older than all that tsbox runs on.
 *
 * As with Docker and runc, calls that are newer than all of these fail with ENOSYS, others with EPERM.
 * @module
 * @see https://docs.docker.com/engine/security/seccomp/
 */
import type { Arch } from "../../syscalls/index.ts";
import type { SeccompArgument, SeccompProfile, SeccompRule } from "../spec/index.ts";
import { freezeProfile, isFrozen, rememberFilter } from "./compile.ts";
import { DEFAULT_FILTERS } from "./default.blob.ts";
import { listOf } from "./rules.ts";

const ALLOWED = `
accept accept4 access adjtimex alarm arch_prctl bind brk cachestat capget capset chdir chmod chown clock_adjtime
clock_getres clock_gettime clock_nanosleep close close_range connect copy_file_range creat dup dup2 dup3 epoll_create
epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 execve
execveat exit exit_group faccessat faccessat2 fadvise64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown
fchownat fcntl fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstatfs fsync ftruncate futex
futex_requeue futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid geteuid getgid
getgroups getitimer getpeername getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday getuid getxattr getxattrat
inotify_add_watch inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents ioprio_get
ioprio_set io_setup io_submit kill landlock_add_rule landlock_create_ruleset landlock_restrict_self lchown lgetxattr link
linkat listen listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier
memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock mlock2 mlockall mmap mprotect mq_getsetattr mq_notify
mq_open mq_timedreceive mq_timedsend mq_unlink mremap mseal msgctl msgget msgrcv msgsnd msync munlock munlockall munmap
name_to_handle_at nanosleep newfstatat open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc
pkey_free pkey_mprotect poll ppoll prctl pread64 preadv preadv2 prlimit64 process_mrelease process_vm_readv
process_vm_writev pselect6 ptrace pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recvfrom recvmmsg
recvmsg remap_file_pages removexattr removexattrat rename renameat renameat2 restart_syscall rmdir rseq rt_sigaction
rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo
sched_getaffinity sched_getattr sched_getparam sched_get_priority_max sched_get_priority_min sched_getscheduler
sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select semctl
semget semop semtimedop sendfile sendmmsg sendmsg sendto setfsgid setfsuid setgid setgroups setitimer setpgid setpriority
setregid setresgid setresuid setreuid setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid
setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statmount statx
symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink
unlinkat uretprobe utime utimensat utimes vfork vmsplice wait4 waitid write writev`
  .trim()
  .split(/\s+/);

/** Calls that come with a capability. */
const WITH_CAPABILITY: Record<string, string> = {
  CAP_BPF: "bpf",
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_PERFMON: "perf_event_open",
  CAP_SYS_ADMIN:
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare",
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module init_module finit_module",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
  CAP_SYS_RAWIO: "iopl ioperm",
  CAP_SYS_TIME: "settimeofday clock_settime",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYSLOG: "syslog",
};

/** Every CLONE_NEW flag: NS, CGROUP, UTS, IPC, USER, PID, NET; CLONE_NEWTIME is clone3's only. */
const NEW_NAMESPACES = 0x7e020000;
/** Linux, a 16-bit or 32-bit userland, both, and the question which one it is. */
const PERSONALITIES = [0, 0x20000, 0x8, 0x20008, 0xffffffff];
const [AF_ALG, AF_VSOCK] = [38, 40];
const [TIOCSTI, TIOCLINUX] = [0x5412, 0x541c];
const [EPERM, EIO, ENOSYS, EAFNOSUPPORT] = [1, 5, 38, 97];

/** The kernel takes these arguments as `int`: what stands in the upper half of the register does not count. */
const isInt = (index: number, value: number): SeccompArgument => ({
  index,
  value: 0xffffffff,
  valueTwo: value,
  op: "SCMP_CMP_MASKED_EQ",
});
/** Holds always; unlike no condition at all, it leaves the other rules for the call their say. */
const OTHERWISE: SeccompArgument = { index: 0, value: 0, op: "SCMP_CMP_GE" };

const allow = (names: string[], ...args: SeccompArgument[]): SeccompRule => ({ names, action: "SCMP_ACT_ALLOW", args });
const deny = (names: string[], errnoRet: number, ...args: SeccompArgument[]): SeccompRule => ({
  names,
  action: "SCMP_ACT_ERRNO",
  errnoRet,
  args,
});

const ALWAYS: SeccompRule[] = [
  allow(ALLOWED),
  ...PERSONALITIES.map((value) => allow(["personality"], { index: 0, value, op: "SCMP_CMP_EQ" })),
  // not EPERM: libseccomp passes over rules that say what the default says
  deny(["socket"], EAFNOSUPPORT, isInt(0, AF_ALG)),
  deny(["socket"], EAFNOSUPPORT, isInt(0, AF_VSOCK)),
  deny(["ioctl"], EIO, isInt(1, TIOCSTI)),
  deny(["ioctl"], EIO, isInt(1, TIOCLINUX)),
  allow(["socket", "ioctl"], OTHERWISE),
];
const WITHOUT_ADMIN: SeccompRule[] = [
  allow(["clone"], { index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }),
  // its flags lie in memory, where a filter cannot look; libc falls back to clone
  deny(["clone3"], ENOSYS),
];

const profiles = new Map<string, SeccompProfile>();
/** Far more than a program has different sets; a bound only. */
const MAX_PROFILES = 256;

/** The profile for a process that may gain these capabilities; the same object for the same ones, frozen. */
export function defaultProfile(capabilities: readonly string[], arch: Arch): SeccompProfile {
  const telling = Object.keys(WITH_CAPABILITY).filter((name) => capabilities.includes(name));
  const key = `${arch} ${telling.join(" ")}`;
  let profile = profiles.get(key);
  if (!profile) {
    if (profiles.size >= MAX_PROFILES) profiles.clear();
    profile = freezeProfile({
      defaultAction: "SCMP_ACT_ERRNO",
      defaultErrnoRet: EPERM,
      architectures: [arch === "x64" ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64"],
      syscalls: [
        ...ALWAYS,
        ...telling.map((name) => allow((WITH_CAPABILITY[name] as string).split(" "))),
        ...(telling.includes("CAP_SYS_ADMIN") ? [] : WITHOUT_ADMIN),
      ],
    });
    profiles.set(key, profile);
    const filter = DEFAULT_FILTERS[key];
    if (filter) rememberFilter(profile, arch, Uint8Array.fromBase64(filter));
  }
  return profile;
}

/** The calls by which a process leaves its process group; `setpgrp` is a name for setpgid(0, 0). */
const LEAVING = ["setsid", "setpgid"];
const NO_PROFILE: SeccompProfile = freezeProfile({ defaultAction: "SCMP_ACT_ALLOW" });
const staying = new WeakMap<SeccompProfile, SeccompProfile>();

/**
 * The same profile, but no process can leave its process group: setsid and setpgid fail with EPERM, so that a signal
 * to the group reaches everything. Without a profile all other calls are allowed, those of the 32-bit ABIs excepted.
 */
export function denyLeavingGroup(profile: SeccompProfile = NO_PROFILE): SeccompProfile {
  if (typeof profile !== "object" || profile === null) return profile; // compileSeccomp says what is wrong
  const known = staying.get(profile);
  if (known) return known;
  // what the profile says of them goes: a rule of ours that says what its default says would be passed over
  const others = listOf(profile.syscalls, "syscalls").flatMap((rule) => {
    if (!Array.isArray(rule?.names)) return [rule];
    const names = rule.names.filter((name) => !LEAVING.includes(name));
    return names.length > 0 || rule.names.length === 0 ? [{ ...rule, names }] : [];
  });
  const result = { ...profile, syscalls: [deny(LEAVING, EPERM), ...others] };
  if (!isFrozen(profile)) return result;
  staying.set(profile, freezeProfile(result));
  return result;
}
