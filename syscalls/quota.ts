/**
 * Project quotas: how much the files of one project, which inherit it from the directory that they are made in, may take
 * of a file system.
 * @module
 * @see quotactl(2), ioctl_xfs_fssetxattr(2)
 */
import { trySyscall } from "./kernel.ts";
import { scratch } from "./scratch.ts";
import { fillStruct, STRUCTS } from "./structs.ts";

/** `_IOR('X', 31, struct fsxattr)`, `_IOW('X', 32, struct fsxattr)` */
const [FS_IOC_FSGETXATTR, FS_IOC_FSSETXATTR] = [0x801c581f, 0x401c5820];
const FS_XFLAG_PROJINHERIT = 0x200;
/** `QCMD(Q_XGETQUOTA, PRJQUOTA)`, `QCMD(Q_XSETQLIM, PRJQUOTA)` */
const [GET, SET] = [0x580302, 0x580402];
const [FS_DQUOT_VERSION, FS_PROJ_QUOTA, FS_DQ_BHARD, BLOCK_BYTES] = [1, 2, 1 << 3, 512];
const ENOENT = 2;

/** `int ioctl(int fd, FS_IOC_FSSETXATTR, struct fsxattr *)`: 0 or -errno. */
export function setProject(fd: number, project: number): number {
  const { size, fields } = STRUCTS.fsxattr;
  scratch.bytes.fill(0, 0, size);
  const found = trySyscall("ioctl", fd, FS_IOC_FSGETXATTR, scratch.address);
  if (found < 0) return found;
  const flags = scratch.view.getUint32(fields.fsx_xflags[0], true);
  scratch.view.setUint32(fields.fsx_xflags[0], (flags | FS_XFLAG_PROJINHERIT) >>> 0, true);
  scratch.view.setUint32(fields.fsx_projid[0], project, true);
  return trySyscall("ioctl", fd, FS_IOC_FSSETXATTR, scratch.address);
}

/**
 * `int quotactl_fd(int fd, QCMD(Q_XSETQLIM, PRJQUOTA), int id, struct fs_disk_quota *)`: 0 or -errno. Since Linux 5.14.
 * @param sizeBytes 0: as much as there is
 */
export function limitProject(fd: number, project: number, sizeBytes: number): number {
  const quota = {
    d_version: FS_DQUOT_VERSION,
    d_flags: FS_PROJ_QUOTA,
    d_fieldmask: FS_DQ_BHARD,
    d_id: project,
    d_blk_hardlimit: Math.ceil(sizeBytes / BLOCK_BYTES),
  };
  scratch.bytes.fill(0, 0, STRUCTS.fs_disk_quota.size);
  fillStruct(scratch.view, 0, "fs_disk_quota", quota);
  return trySyscall("quotactl_fd", fd, SET, project, scratch.address);
}

/** Whether a file system counts what projects take, and lets the caller limit it: 0 or -errno. */
export function tryProjects(fd: number): number {
  const result = trySyscall("quotactl_fd", fd, GET, 0, scratch.address);
  return result === -ENOENT ? 0 : result;
}
