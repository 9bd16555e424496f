/** Who calls the runtime, and where its containers are kept unless it is said. @module */
import { effectiveUid, readKernelFile } from "../../syscalls/index.ts";

/** Root with all its rights: neither an ordinary user, nor root in a user namespace. */
export const isHostRoot = (): boolean => effectiveUid() === 0 && !inUserNamespace();

function inUserNamespace(): boolean {
  const map = readKernelFile("/proc/self/uid_map")?.trim().split(/\s+/).map(Number);
  return map !== undefined && (map[0] !== 0 || map[1] !== 0 || map[2] !== 2 ** 32 - 1);
}

/** Where state directories are kept. */
export function defaultRoot(environment: Readonly<Record<string, string | undefined>>): string {
  const { XDG_RUNTIME_DIR: own, USER: user } = environment;
  // what is called root may write to /run also in a user namespace
  const asRoot = isHostRoot() || (effectiveUid() === 0 && user === "root");
  return own && !asRoot ? `${own}/tsbox-oci` : "/run/tsbox-oci";
}

/** As /etc/passwd has it; `#1000` where it does not. */
export function ownerName(uid: number): string {
  const lines = (readKernelFile("/etc/passwd") ?? "").split("\n").map((line) => line.split(":"));
  return lines.find((fields) => fields[2] === String(uid))?.[0] ?? `#${uid}`;
}
