/**
 * Profiles in the format that Docker and Podman read (`--security-opt seccomp=FILE`): OCI profiles whose rules may
 * depend on the architecture, the capabilities and the kernel.
 * @module
 * @see https://docs.docker.com/engine/security/seccomp/
 */
import { ERRNO, TsboxError, type Arch } from "../../syscalls/index.ts";
import type { SeccompProfile, SeccompRule } from "../spec/index.ts";
import { listOf } from "./rules.ts";

/** What has to be true of the machine and the container; within `arches` one is enough, of `caps` all are needed. */
export interface DockerCondition {
  arches?: string[];
  caps?: string[];
  /** `"4.8"` */
  minKernel?: string;
}

export interface DockerRule extends Omit<SeccompRule, "names"> {
  names?: string[];
  /** The older format: one rule for each call. */
  name?: string;
  includes?: DockerCondition;
  excludes?: DockerCondition;
  /** Podman's: a name instead of errnoRet. */
  errno?: string;
}

export interface DockerProfile extends Omit<SeccompProfile, "syscalls"> {
  archMap?: { architecture: string; subArchitectures?: string[] }[];
  defaultErrno?: string;
  syscalls?: DockerRule[];
}

export interface DockerFacts {
  arch: Arch;
  /** The bounding set: `"CAP_CHOWN"`. */
  capabilities: readonly string[];
  /** `os.release()` */
  kernelRelease: string;
}

const NAMES = { x64: ["amd64", "SCMP_ARCH_X86_64"], arm64: ["arm64", "SCMP_ARCH_AARCH64"] } as const;

const bad = (what: string, hint: string) =>
  new TsboxError(`resolve the seccomp profile: ${what}`, { code: "invalid_option", hint });

/**
 * The OCI profile that a profile of Docker's format means here. An OCI profile comes back as it is.
 * @throws TsboxError `invalid_option`
 */
export function resolveDockerProfile(profile: DockerProfile, facts: DockerFacts): SeccompProfile {
  if (typeof profile !== "object" || profile === null) throw bad("it is no object", 'an object with a "defaultAction"');
  const { archMap: map, defaultErrno, syscalls, ...rest } = profile;
  const archMap = listOf(map, "archMap");
  if (archMap.length && rest.architectures?.length) {
    throw bad("it has both architectures and archMap", "keep one of them");
  }
  const resolved: SeccompProfile = { ...rest };
  const native = archMap.find((entry) => entry?.architecture === NAMES[facts.arch][1]);
  if (native) resolved.architectures = [native.architecture, ...listOf(native.subArchitectures, "subArchitectures")];
  if (rest.defaultErrnoRet === undefined) Object.assign(resolved, errnoOf("defaultErrnoRet", defaultErrno));
  resolved.syscalls = listOf(syscalls, "syscalls").flatMap((rule, index) => {
    if (typeof rule !== "object" || rule === null) throw bad(`syscalls[${index}] is no object`, "names and an action");
    const { name, includes, excludes, errno, ...plain } = rule;
    if (name && plain.names?.length) throw bad(`syscalls[${index}] has both name and names`, "keep one of them");
    if (!included(includes ?? {}, facts) || excluded(excludes ?? {}, facts)) return [];
    const errnoRet = plain.errnoRet === undefined ? errnoOf("errnoRet", errno) : {};
    return [{ ...plain, ...errnoRet, names: name ? [name] : (plain.names ?? []) }];
  });
  return resolved;
}

function errnoOf(field: string, name: string | undefined): Record<string, number> {
  if (!name) return {};
  const errno = Object.hasOwn(ERRNO, name) ? ERRNO[name as keyof typeof ERRNO] : undefined;
  if (errno === undefined) throw bad(`errno "${name}" is unknown`, "give its number as errnoRet");
  return { [field]: errno };
}

/** Every kind of condition that is there holds. */
function included({ arches, caps, minKernel }: DockerCondition, facts: DockerFacts): boolean {
  return (
    (listOf(arches, "arches").length === 0 || (arches ?? []).includes(NAMES[facts.arch][0])) &&
    listOf(caps, "caps").every((name) => facts.capabilities.includes(name)) &&
    (!minKernel || kernelAtLeast(minKernel, facts.kernelRelease))
  );
}

/** Any of them holds. */
function excluded({ arches, caps, minKernel }: DockerCondition, facts: DockerFacts): boolean {
  return (
    listOf(arches, "arches").includes(NAMES[facts.arch][0]) ||
    listOf(caps, "caps").some((name) => facts.capabilities.includes(name)) ||
    (!!minKernel && kernelAtLeast(minKernel, facts.kernelRelease))
  );
}

function kernelAtLeast(wanted: string, release: string): boolean {
  const [want, have] = [wanted, release].map((text) => /^(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number));
  if (!want) throw bad(`minKernel "${wanted}" is no version`, 'write "VERSION.REVISION": "4.8"');
  const [[major, minor], [hasMajor, hasMinor]] = [want, have ?? [0, 0]] as [[number, number], [number, number]];
  return hasMajor > major || (hasMajor === major && hasMinor >= minor);
}
