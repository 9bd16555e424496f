/** What `features` prints: what the tables of the plan know, and what the engine does. @module */
import { trySyscall } from "../../syscalls/index.ts";
import { UNIT_ANNOTATION } from "../cgroup/index.ts";
import { CAPABILITIES, MEMORY_FLAGS, MEMORY_MODES, MOUNT_OPTIONS, NAMESPACES } from "../plan/index.ts";
import { SECCOMP_WORDS, seccompFlags } from "../seccomp/index.ts";
import type { Features, MemoryPolicyFlag, MemoryPolicyMode } from "../spec/index.ts";
import { OCI_VERSION } from "./oci-version.ts";
import { HOOK_KINDS } from "./spec-schema.ts";

/** @param version tsbox's own */
export function features(version: string): Features {
  return {
    ociVersionMin: "1.0.0",
    ociVersionMax: OCI_VERSION,
    hooks: HOOK_KINDS,
    mountOptions: [...MOUNT_OPTIONS],
    linux: {
      namespaces: NAMESPACES.toSorted(),
      capabilities: [...CAPABILITIES],
      cgroup: { v1: true, v2: true, systemd: true, systemdUser: true, rdma: true },
      seccomp: {
        enabled: true,
        actions: SECCOMP_WORDS.actions.toSorted(),
        operators: SECCOMP_WORDS.operators.toSorted(),
        archs: SECCOMP_WORDS.architectures.toSorted(),
        knownFlags: SECCOMP_WORDS.flags.toSorted(),
        supportedFlags: SECCOMP_WORDS.flags.filter(kernelHas).toSorted(),
      },
      apparmor: { enabled: true },
      selinux: { enabled: true },
      intelRdt: { enabled: true, schemata: true, monitoring: true },
      memoryPolicy: {
        modes: Object.keys(MEMORY_MODES).toSorted() as MemoryPolicyMode[],
        flags: Object.keys(MEMORY_FLAGS).toSorted() as MemoryPolicyFlag[],
      },
      mountExtensions: { idmap: { enabled: true } },
      netDevices: { enabled: true },
    },
    annotations: { "org.opencontainers.runc.checkpoint.enabled": "false", "tsbox.version": version },
    potentiallyUnsafeConfigAnnotations: [UNIT_ANNOTATION],
  };
}

/** `int seccomp(SECCOMP_SET_MODE_FILTER, flags, NULL)`: EFAULT, where it knows the flag, and would look at a filter. */
function kernelHas(flag: string): boolean {
  const [SECCOMP_SET_MODE_FILTER, EFAULT] = [1, 14];
  // with a listener: some mean nothing without
  const flags = seccompFlags({ defaultAction: "SCMP_ACT_NOTIFY", flags: [flag] });
  return trySyscall("seccomp", SECCOMP_SET_MODE_FILTER, flags, 0) === -EFAULT;
}
