/** What Landlock is to restrict a sandbox to. @module */
import { kindOfPath, landlockAbi, TsboxError } from "../../syscalls/index.ts";
import type { Root } from "../plan/index.ts";
import type { Landlock, Spec } from "../spec/index.ts";
import { checkChoice, invalid } from "../options/index.ts";
import type { SecurityOptions } from "./options.ts";

/** The first that can allow files to be renamed. */
const OLDEST_ABI = 2;

/**
 * By default, for the view of the host, where the kernel has it; and not with CAP_SYS_ADMIN, which is for mounting, as
 * Landlock lets nobody mount.
 * @throws TsboxError `invalid_option`; `unsupported` where it was asked for, and the kernel has none
 */
export function landlockOf(security: SecurityOptions | undefined, spec: Spec, root: Root): Landlock | undefined {
  const wanted = security?.landlock;
  if (wanted !== undefined) checkChoice<string>("Landlock rules", wanted, "default", "none");
  if (wanted === "none") return undefined;
  if (wanted === undefined && root.kind !== "tmpfs") return undefined;
  const mounts = spec.linux.namespaces.some(({ type }) => type === "mount");
  const admin = spec.process.capabilities?.bounding?.includes("CAP_SYS_ADMIN") === true;
  if (wanted === undefined && (!mounts || admin)) return undefined;
  if (!mounts) throw invalid("use Landlock in the host's mount namespace: there is no root filesystem to keep to");
  const abi = landlockAbi();
  if (abi >= OLDEST_ABI) return { abi, ...writableOf(spec, root) };
  if (wanted === undefined) return undefined;
  throw new TsboxError("restrict access to files with Landlock: this kernel cannot", {
    code: "unsupported",
    hint: 'Linux 5.19 or newer with landlock in the boot parameter lsm=; or leave it out: security.landlock "none"',
  });
}

function writableOf({ mounts, root: { readonly } }: Spec, root: Root): Pick<Landlock, "writable" | "writableFiles"> {
  if (!readonly) return { writable: ["/"], writableFiles: [] };
  const own = ("writable" in root && root.writable) || [];
  const writable = new Set(own);
  const writableFiles = new Set<string>();
  for (const { destination, type, source = "", options = [] } of mounts) {
    if (options.some((option) => option === "ro" || option === "rro")) continue;
    const file = type === "bind" && kindOfPath(source) === "file";
    (file ? writableFiles : writable).add(destination);
  }
  // a file over a directory is an error, and the mount's to tell
  for (const path of writable) writableFiles.delete(path);
  const covered = (path: string) => [...writable].some((other) => path.startsWith(`${other}/`));
  const alone = (paths: Set<string>) => [...paths].filter((path) => !covered(path));
  return { writable: alone(writable), writableFiles: alone(writableFiles) };
}
