/**
 * The default seccomp profile: what programs use; what reaches far into the kernel only with the capability for it.
 * @module
 */
import type { Arch } from "../../syscalls/index.ts";
import type { SeccompProfile, SeccompRule } from "../spec/index.ts";

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
linkat listen listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat madvise map_shadow_stack membarrier
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
setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4 socketpair splice stat statfs statx
symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete timer_getoverrun
timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime times tkill truncate umask uname unlink
unlinkat uretprobe utime utimensat utimes vfork vmsplice wait4 waitid write writev`
  .trim()
  .split(/\s+/);

/** Calls that come with a capability. */
const WITH_CAPABILITY: Record<string, string> = {
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_SYS_ADMIN:
    "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree open_tree_attr perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount2 unshare statmount listmount",
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module init_module finit_module",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
  CAP_SYS_RAWIO: "iopl ioperm",
  CAP_SYS_TIME: "settimeofday clock_settime",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYSLOG: "syslog",
  CAP_BPF: "bpf",
  CAP_PERFMON: "perf_event_open",
};

/** Every CLONE_NEW flag: NS, CGROUP, UTS, IPC, USER, PID, NET; CLONE_NEWTIME is clone3's only. */
const NEW_NAMESPACES = 0x7e020000;
const [AF_ALG, AF_VSOCK] = [38, 40];
const [TIOCSTI, TIOCLINUX] = [0x5412, 0x541c];
const [ENOSYS, LOW_WORD] = [38, 0xffffffff];

/** As strict as Docker's, for these capabilities. */
export function defaultProfile(capabilities: readonly string[], _arch: Arch): SeccompProfile {
  const rules: SeccompRule[] = [{ names: ALLOWED, action: "SCMP_ACT_ALLOW" }];
  for (const [capability, names] of Object.entries(WITH_CAPABILITY)) {
    if (capabilities.includes(capability)) rules.push({ names: names.split(" "), action: "SCMP_ACT_ALLOW" });
  }
  if (!capabilities.includes("CAP_SYS_ADMIN")) {
    const plain = { index: 0, value: NEW_NAMESPACES, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" } as const;
    rules.push({ names: ["clone"], action: "SCMP_ACT_ALLOW", args: [plain] });
    // its flags lie in memory, where a filter cannot look; libc falls back to clone
    rules.push({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: ENOSYS });
  }
  for (const persona of [0, 8, 0x20000, 0x20008, 0xffffffff]) {
    rules.push({
      names: ["personality"],
      action: "SCMP_ACT_ALLOW",
      args: [{ index: 0, value: persona, op: "SCMP_CMP_EQ" }],
    });
  }
  for (const family of [AF_ALG, AF_VSOCK]) {
    const is = { index: 0, value: LOW_WORD, valueTwo: family, op: "SCMP_CMP_MASKED_EQ" } as const;
    rules.push({ names: ["socket"], action: "SCMP_ACT_ERRNO", errnoRet: 1, args: [is] });
  }
  // typing into the terminal of whoever started the sandbox; the kernel looks at the low word only
  for (const request of [TIOCSTI, TIOCLINUX]) {
    const is = { index: 1, value: LOW_WORD, valueTwo: request, op: "SCMP_CMP_MASKED_EQ" } as const;
    rules.push({ names: ["ioctl"], action: "SCMP_ACT_ERRNO", errnoRet: 1, args: [is] });
  }
  rules.push({ names: ["socket", "ioctl"], action: "SCMP_ACT_ALLOW" });
  return { defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 1, syscalls: rules };
}
