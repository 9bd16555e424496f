/**
 * Secrets of a build: a RUN sees them in a file without a name, in memory; they are in no layer, no key and no history.
 * @module
 */
import { absolute, changeOwner, close, open, readFile, TsboxError, trySyscall, write } from "../../syscalls/index.ts";
import type { IdMaps } from "../layer/index.ts";
import type { BuildOptions } from "./options.ts";
import type { StepMount } from "./step.ts";

/** As BuildKit's. */
const MAX_BYTES = 500 * 1024;
const MEMORY = "/dev/shm";
const [O_RDWR, O_TMPFILE, O_CLOEXEC] = [2, process.arch === "arm64" ? 0o20040000 : 0o20200000, 0o2000000];

/** Undefined where there is none of that id. @throws TsboxError `invalid_option` */
export function readSecret(secrets: NonNullable<BuildOptions["secrets"]>, id: string): Uint8Array | undefined {
  if (!Object.hasOwn(secrets, id)) return undefined;
  const secret = secrets[id] as NonNullable<BuildOptions["secrets"]>[string];
  const content = contentOf(id, secret);
  if (content && content.length > MAX_BYTES)
    throw new TsboxError(`use the secret ${JSON.stringify(id)}: more than ${MAX_BYTES} bytes`, {
      code: "invalid_option",
    });
  return content;
}

function contentOf(id: string, secret: Uint8Array | { file: string } | { env: string }): Uint8Array | undefined {
  if (secret instanceof Uint8Array) return secret;
  if ("env" in secret) {
    const value = process.env[secret.env];
    return value === undefined ? undefined : new TextEncoder().encode(value);
  }
  const content = readFile(absolute(secret.file));
  if (content) return content;
  throw new TsboxError(`use the secret ${JSON.stringify(id)}: its file cannot be read`, {
    code: "invalid_option",
    path: secret.file,
  });
}

export interface SecretFile {
  /** That leads to it as long as it is open. */
  path: string;
  release(): void;
}

/** Gone with this process, however that ends. */
export function secretFile(
  content: Uint8Array,
  { mode = 0o400, uid = 0, gid = 0 }: Pick<StepMount, "mode" | "uid" | "gid">,
  ids: IdMaps | undefined,
): SecretFile {
  const fd = open(MEMORY, O_RDWR | O_TMPFILE | O_CLOEXEC, 0o600);
  try {
    for (let at = 0; at < content.length;) {
      const written = write(fd, content.subarray(at));
      if (written <= 0) throw new TsboxError("keep a secret in memory", { code: "system", errno: -written });
      at += written;
    }
    const path = `/proc/self/fd/${fd}`;
    if (uid !== 0 || gid !== 0) give(path, uid, gid, ids);
    trySyscall("fchmod", fd, mode);
    return { path, release: () => close(fd) };
  } catch (error) {
    close(fd);
    throw error;
  }
}

function give(path: string, uid: number, gid: number, ids: IdMaps | undefined): void {
  const result = ids ? -1 : changeOwner(path, uid, gid);
  if (result < 0)
    throw new TsboxError(`give a secret to the user ${uid}:${gid}: only root may`, {
      code: "permission_denied",
      hint: "mode=0444, without uid and gid",
    });
}
