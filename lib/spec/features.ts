/** What a runtime can do. @see https://github.com/opencontainers/runtime-spec/blob/v1.3.0/features.md @module */
import type { HookKind } from "./hooks.ts";
import type { MemoryPolicyFlag, MemoryPolicyMode, NamespaceType, SeccompAction, SeccompOperator } from "./spec.ts";

/** What is absent is not known; what is false is not there. */
export interface Features {
  ociVersionMin: string;
  ociVersionMax: string;
  hooks: HookKind[];
  mountOptions: string[];
  linux: {
    namespaces: NamespaceType[];
    capabilities: string[];
    cgroup: { v1: boolean; v2: boolean; systemd: boolean; systemdUser: boolean; rdma: boolean };
    seccomp: {
      enabled: boolean;
      actions: SeccompAction[];
      operators: SeccompOperator[];
      archs: string[];
      knownFlags: string[];
      /** Those that this kernel has. */
      supportedFlags: string[];
    };
    apparmor: { enabled: boolean };
    selinux: { enabled: boolean };
    intelRdt: { enabled: boolean; schemata: boolean; monitoring: boolean };
    memoryPolicy: { modes: MemoryPolicyMode[]; flags: MemoryPolicyFlag[] };
    mountExtensions: { idmap: { enabled: boolean } };
    netDevices: { enabled: boolean };
  };
  annotations: Record<string, string>;
  /** Those that have an effect; one that ends with a dot stands for all that begin so. */
  potentiallyUnsafeConfigAnnotations: string[];
}
