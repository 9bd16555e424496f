/**
 * Layouts of the kernel's structs, as data: `field: [offset, size]`, in bytes. x86-64 and aarch64 share all of them
 * but `struct stat` ({@link STAT}) and `struct epoll_event` ({@link EPOLL_EVENT}). tests/structs.test.ts compares every number with the C headers.
 *
 * Fields that this project never touches may be left out; sizes are always whole.
 * @module
 */
import type { Arch } from "./numbers.ts";

export type Field = readonly [offset: number, size: number];

export interface Layout {
  readonly size: number;
  readonly fields: Readonly<Record<string, Field>>;
}

export const STRUCTS = {
  // ── processes ──

  /** `struct clone_args`, CLONE_ARGS_SIZE_VER2 (since Linux 5.7). @see clone3(2), linux/sched.h */
  clone_args: {
    size: 88,
    fields: {
      flags: [0, 8],
      pidfd: [8, 8],
      child_tid: [16, 8],
      parent_tid: [24, 8],
      exit_signal: [32, 8],
      stack: [40, 8],
      stack_size: [48, 8],
      tls: [56, 8],
      set_tid: [64, 8],
      set_tid_size: [72, 8],
      cgroup: [80, 8],
    },
  },
  /** `struct rusage`; the times are each a {@link STRUCTS.timeval}, `ru_maxrss` is in KiB. @see getrusage(2), linux/resource.h */
  rusage: {
    size: 144,
    fields: {
      ru_utime: [0, 16],
      ru_stime: [16, 16],
      ru_maxrss: [32, 8],
      ru_minflt: [64, 8],
      ru_majflt: [72, 8],
      ru_inblock: [88, 8],
      ru_oublock: [96, 8],
      ru_nvcsw: [128, 8],
      ru_nivcsw: [136, 8],
    },
  },
  /** `struct rlimit64`, and `struct rlimit`, which is the same here; -1 is RLIM_INFINITY. @see prlimit(2), linux/resource.h */
  rlimit64: { size: 16, fields: { rlim_cur: [0, 8], rlim_max: [8, 8] } },
  /** `struct sched_attr`. @see sched_setattr(2), linux/sched/types.h */
  sched_attr: {
    size: 56,
    fields: {
      size: [0, 4],
      sched_policy: [4, 4],
      sched_flags: [8, 8],
      sched_nice: [16, 4],
      sched_priority: [20, 4],
      sched_runtime: [24, 8],
      sched_deadline: [32, 8],
      sched_period: [40, 8],
    },
  },
  /** `struct __user_cap_header_struct`. @see capset(2), linux/capability.h */
  __user_cap_header_struct: { size: 8, fields: { version: [0, 4], pid: [4, 4] } },
  /** `struct __user_cap_data_struct`; version 3 takes two, the low 32 capabilities first. @see capset(2), linux/capability.h */
  __user_cap_data_struct: { size: 12, fields: { effective: [0, 4], permitted: [4, 4], inheritable: [8, 4] } },

  // ── files ──

  /** `struct flock`; `l_pid` is 0 with open file description locks. @see fcntl_locking(2), asm-generic/fcntl.h */
  flock: { size: 32, fields: { l_type: [0, 2], l_whence: [2, 2], l_start: [8, 8], l_len: [16, 8], l_pid: [24, 4] } },

  // ── seccomp ──

  /** `struct sock_filter`: one BPF instruction. @see seccomp(2), linux/filter.h */
  sock_filter: { size: 8, fields: { code: [0, 2], jt: [2, 1], jf: [3, 1], k: [4, 4] } },
  /** `struct sock_fprog`; `len` counts instructions. @see seccomp(2), linux/filter.h */
  sock_fprog: { size: 16, fields: { len: [0, 2], filter: [8, 8] } },
  /** `struct seccomp_data`: what a filter sees; `args` are six 64-bit words. @see seccomp(2), linux/seccomp.h */
  seccomp_data: { size: 64, fields: { nr: [0, 4], arch: [4, 4], instruction_pointer: [8, 8], args: [16, 48] } },
  /** `struct seccomp_notif`: what a listener reads; `data` is a {@link STRUCTS.seccomp_data}. @see seccomp_unotify(2), linux/seccomp.h */
  seccomp_notif: { size: 80, fields: { id: [0, 8], pid: [8, 4], flags: [12, 4], data: [16, 64] } },
  /** `struct seccomp_notif_resp`. @see seccomp_unotify(2), linux/seccomp.h */
  seccomp_notif_resp: { size: 24, fields: { id: [0, 8], val: [8, 8], error: [16, 4], flags: [20, 4] } },

  // ── Landlock ──

  /** `struct landlock_path_beneath_attr`, packed. @see landlock_add_rule(2), linux/landlock.h */
  landlock_path_beneath_attr: { size: 12, fields: { allowed_access: [0, 8], parent_fd: [8, 4] } },

  // ── signals ──

  /** `struct sigaction` as the kernel takes it, not the C library's; the mask is 8 bytes. @see rt_sigaction(2), asm/signal.h */
  sigaction: { size: 32, fields: { sa_handler: [0, 8], sa_flags: [8, 8], sa_restorer: [16, 8], sa_mask: [24, 8] } },
  /** The head of `siginfo_t`, and what SIGCHLD and waitid(2) put behind it. @see sigaction(2), asm-generic/siginfo.h */
  siginfo_t: {
    size: 128,
    fields: {
      si_signo: [0, 4],
      si_errno: [4, 4],
      si_code: [8, 4],
      si_pid: [16, 4],
      si_uid: [20, 4],
      si_status: [24, 4],
    },
  },
  /** `struct signalfd_siginfo`. @see signalfd(2), linux/signalfd.h */
  signalfd_siginfo: {
    size: 128,
    fields: {
      ssi_signo: [0, 4],
      ssi_errno: [4, 4],
      ssi_code: [8, 4],
      ssi_pid: [12, 4],
      ssi_uid: [16, 4],
      ssi_fd: [20, 4],
      ssi_status: [40, 4],
      ssi_int: [44, 4],
      ssi_ptr: [48, 8],
      ssi_utime: [56, 8],
      ssi_stime: [64, 8],
    },
  },

  // ── files and mounts ──

  /** `struct open_how`. @see openat2(2), linux/openat2.h */
  open_how: { size: 24, fields: { flags: [0, 8], mode: [8, 8], resolve: [16, 8] } },
  /** `struct mount_attr`. @see mount_setattr(2), linux/mount.h */
  mount_attr: { size: 32, fields: { attr_set: [0, 8], attr_clr: [8, 8], propagation: [16, 8], userns_fd: [24, 8] } },
  /** `struct fsxattr`. @see ioctl_xfs_fsgetxattr(2), linux/fs.h */
  fsxattr: { size: 28, fields: { fsx_xflags: [0, 4], fsx_projid: [12, 4] } },
  /** `struct fs_disk_quota`; limits in blocks of 512 bytes. @see quotactl(2), linux/dqblk_xfs.h */
  fs_disk_quota: {
    size: 112,
    fields: { d_version: [0, 1], d_flags: [1, 1], d_fieldmask: [2, 2], d_id: [4, 4], d_blk_hardlimit: [8, 8] },
  },
  /** `struct statfs`; `f_fsid` is two 32-bit words. @see statfs(2), asm/statfs.h */
  statfs: {
    size: 120,
    fields: {
      f_type: [0, 8],
      f_bsize: [8, 8],
      f_blocks: [16, 8],
      f_bfree: [24, 8],
      f_bavail: [32, 8],
      f_files: [40, 8],
      f_ffree: [48, 8],
      f_fsid: [56, 8],
      f_namelen: [64, 8],
      f_frsize: [72, 8],
      f_flags: [80, 8],
    },
  },
  /** `struct statx`. @see statx(2), linux/stat.h */
  statx: {
    size: 256,
    fields: {
      stx_mask: [0, 4],
      stx_blksize: [4, 4],
      stx_attributes: [8, 8],
      stx_nlink: [16, 4],
      stx_uid: [20, 4],
      stx_gid: [24, 4],
      stx_mode: [28, 2],
      stx_ino: [32, 8],
      stx_size: [40, 8],
      stx_blocks: [48, 8],
      stx_attributes_mask: [56, 8],
      stx_atime: [64, 16],
      stx_btime: [80, 16],
      stx_ctime: [96, 16],
      stx_mtime: [112, 16],
      stx_rdev_major: [128, 4],
      stx_rdev_minor: [132, 4],
      stx_dev_major: [136, 4],
      stx_dev_minor: [140, 4],
    },
  },
  /** `struct iovec`. @see readv(2), linux/uio.h */
  iovec: { size: 16, fields: { iov_base: [0, 8], iov_len: [8, 8] } },
  /** `struct pollfd`. @see poll(2), asm-generic/poll.h */
  pollfd: { size: 8, fields: { fd: [0, 4], events: [4, 2], revents: [6, 2] } },
  /** `struct winsize`: of a terminal. @see ioctl_tty(2), asm-generic/termios.h */
  winsize: { size: 8, fields: { ws_row: [0, 2], ws_col: [2, 2], ws_xpixel: [4, 2], ws_ypixel: [6, 2] } },
  /** `struct termios` as the kernel has it, not the C library's. @see TCGETS(2const), asm-generic/termbits.h */
  termios: {
    size: 36,
    fields: { c_iflag: [0, 4], c_oflag: [4, 4], c_cflag: [8, 4], c_lflag: [12, 4], c_line: [16, 1], c_cc: [17, 19] },
  },

  // ── sockets ──

  /** `struct ifreq`: the name and, of the union, the flags. @see netdevice(7), net/if.h */
  ifreq: { size: 40, fields: { ifr_name: [0, 16], ifr_flags: [16, 2] } },
  /** `struct msghdr`. @see sendmsg(2), sys/socket.h */
  msghdr: {
    size: 56,
    fields: {
      msg_name: [0, 8],
      msg_namelen: [8, 4],
      msg_iov: [16, 8],
      msg_iovlen: [24, 8],
      msg_control: [32, 8],
      msg_controllen: [40, 8],
      msg_flags: [48, 4],
    },
  },
  /** `struct cmsghdr`; its data begins behind it, at 16. @see cmsg(3), sys/socket.h */
  cmsghdr: { size: 16, fields: { cmsg_len: [0, 8], cmsg_level: [8, 4], cmsg_type: [12, 4] } },
  /** `struct mmsghdr`; `msg_hdr` is a {@link STRUCTS.msghdr}. @see recvmmsg(2), sys/socket.h */
  mmsghdr: { size: 64, fields: { msg_hdr: [0, 56], msg_len: [56, 4] } },
  /** `struct sockaddr_in`; port and address in the order of the network. @see ip(7), netinet/in.h */
  sockaddr_in: { size: 16, fields: { sin_family: [0, 2], sin_port: [2, 2], sin_addr: [4, 4] } },
  /** `struct sockaddr_in6`. @see ipv6(7), netinet/in.h */
  sockaddr_in6: {
    size: 28,
    fields: {
      sin6_family: [0, 2],
      sin6_port: [2, 2],
      sin6_flowinfo: [4, 4],
      sin6_addr: [8, 16],
      sin6_scope_id: [24, 4],
    },
  },
  /** `struct in_pktinfo`; `ipi_spec_dst` is the address of this machine's. @see ip(7), netinet/in.h */
  in_pktinfo: { size: 12, fields: { ipi_ifindex: [0, 4], ipi_spec_dst: [4, 4], ipi_addr: [8, 4] } },
  /** `struct in6_pktinfo`. @see ipv6(7), netinet/in.h */
  in6_pktinfo: { size: 20, fields: { ipi6_addr: [0, 16], ipi6_ifindex: [16, 4] } },
  /** `struct linger`. @see socket(7), sys/socket.h */
  linger: { size: 8, fields: { l_onoff: [0, 4], l_linger: [4, 4] } },
  /** `struct ucred`: SO_PEERCRED and SCM_CREDENTIALS. @see unix(7), sys/socket.h */
  ucred: { size: 12, fields: { pid: [0, 4], uid: [4, 4], gid: [8, 4] } },

  // ── time ──

  /** `struct timeval`. @see gettimeofday(2), linux/time.h */
  timeval: { size: 16, fields: { tv_sec: [0, 8], tv_usec: [8, 8] } },
  /** `struct timespec`. @see clock_gettime(2), linux/time.h */
  timespec: { size: 16, fields: { tv_sec: [0, 8], tv_nsec: [8, 8] } },
} as const satisfies Record<string, Layout>;

/** `struct stat`, the one that differs: order and width of its first fields. @see stat(2), asm/stat.h */
export const STAT = {
  x64: {
    size: 144,
    fields: {
      st_dev: [0, 8],
      st_ino: [8, 8],
      st_nlink: [16, 8],
      st_mode: [24, 4],
      st_uid: [28, 4],
      st_gid: [32, 4],
      st_rdev: [40, 8],
      st_size: [48, 8],
      st_blksize: [56, 8],
      st_blocks: [64, 8],
      st_atime: [72, 8],
      st_atime_nsec: [80, 8],
      st_mtime: [88, 8],
      st_mtime_nsec: [96, 8],
      st_ctime: [104, 8],
      st_ctime_nsec: [112, 8],
    },
  },
  arm64: {
    size: 128,
    fields: {
      st_dev: [0, 8],
      st_ino: [8, 8],
      st_mode: [16, 4],
      st_nlink: [20, 4],
      st_uid: [24, 4],
      st_gid: [28, 4],
      st_rdev: [32, 8],
      st_size: [48, 8],
      st_blksize: [56, 4],
      st_blocks: [64, 8],
      st_atime: [72, 8],
      st_atime_nsec: [80, 8],
      st_mtime: [88, 8],
      st_mtime_nsec: [96, 8],
      st_ctime: [104, 8],
      st_ctime_nsec: [112, 8],
    },
  },
} as const satisfies Record<Arch, Layout>;

/** `struct epoll_event`, packed on x86-64 alone. @see epoll_ctl(2), linux/eventpoll.h */
export const EPOLL_EVENT = {
  x64: { size: 12, fields: { events: [0, 4], data: [4, 8] } },
  arm64: { size: 16, fields: { events: [0, 4], data: [8, 8] } },
} as const satisfies Record<Arch, Layout>;

export type StructName = keyof typeof STRUCTS;

/** Where a field begins, in bytes. */
export function offsetOf<Name extends StructName>(name: Name, field: keyof (typeof STRUCTS)[Name]["fields"]): number {
  const fields: Layout["fields"] = STRUCTS[name].fields;
  return (fields[field as string] as Field)[0];
}

/** A whole number; or bytes, for an array or a struct inside. Fields not named are 0. */
export type StructValues<Name extends StructName> = {
  readonly [Key in keyof (typeof STRUCTS)[Name]["fields"]]?: number | bigint | Uint8Array;
};

/**
 * The bytes of a struct.
 *
 * @example
 * ```ts
 * const how = struct("open_how", { flags: O_PATH | O_CLOEXEC, resolve: RESOLVE_IN_ROOT });
 * ```
 * @throws RangeError where a value does not fit its field
 */
export function struct<Name extends StructName>(name: Name, values: StructValues<Name>): Uint8Array {
  const bytes = new Uint8Array(STRUCTS[name].size);
  fillStruct(new DataView(bytes.buffer), 0, name, values);
  return bytes;
}

/** Writes those fields of the struct at `at` that have a value, and leaves the others. @throws RangeError */
export function fillStruct<Name extends StructName>(
  view: DataView,
  at: number,
  name: Name,
  values: StructValues<Name>,
): void {
  const fields: Layout["fields"] = STRUCTS[name].fields;
  for (const field in values) {
    const [offset, size] = fields[field] as Field;
    const value = values[field] as number | bigint | Uint8Array;
    if (!put(view, at + offset, size, value)) {
      throw new RangeError(`set ${name}.${field} to ${String(value)}: ${size} bytes, and a whole number where up to 8`);
    }
  }
}

/** False where the value does not fit; signed and unsigned numbers both do. */
function put(view: DataView, at: number, size: number, value: number | bigint | Uint8Array): boolean {
  if (typeof value === "number") {
    if (size > 8 || !Number.isSafeInteger(value)) return false;
    if (size < 8 && (value >= 256 ** size || value < -(256 ** size) / 2)) return false;
    if (size === 1) view.setUint8(at, value);
    else if (size === 2) view.setUint16(at, value, true);
    else view.setUint32(at, value, true);
    // two halves instead of a BigInt, which would be allocated
    if (size === 8) view.setInt32(at + 4, Math.floor(value / 2 ** 32), true);
    return true;
  }
  if (typeof value === "bigint") {
    if (size !== 8 || (BigInt.asUintN(64, value) !== value && BigInt.asIntN(64, value) !== value)) return false;
    view.setBigUint64(at, value, true);
    return true;
  }
  if (value.length > size) return false;
  new Uint8Array(view.buffer, view.byteOffset + at, value.length).set(value);
  return true;
}
