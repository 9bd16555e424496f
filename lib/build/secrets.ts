/**
 * Secrets of a build: a RUN sees them in a file of its sandbox's memory; they are in no layer, no key and no history.
 * @module
 */
import { absolute, TsboxError } from "../../syscalls/index.ts";
import { readNamed } from "./named-file.ts";
import type { BuildOptions } from "./options.ts";

/** As BuildKit's. */
const MAX_BYTES = 500 * 1024;

/** Undefined where there is none of that id. @throws TsboxError `invalid_option` */
export async function readSecret(
  secrets: NonNullable<BuildOptions["secrets"]>,
  id: string,
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (!Object.hasOwn(secrets, id)) return undefined;
  const secret = secrets[id] as NonNullable<BuildOptions["secrets"]>[string];
  const content = await contentOf(id, secret, signal);
  if (content && content.length > MAX_BYTES)
    throw new TsboxError(`use the secret ${JSON.stringify(id)}: more than ${MAX_BYTES} bytes`, {
      code: "invalid_option",
    });
  return content;
}

async function contentOf(
  id: string,
  secret: Uint8Array | { file: string } | { env: string },
  signal: AbortSignal,
): Promise<Uint8Array | undefined> {
  if (secret instanceof Uint8Array) return secret;
  if ("env" in secret) {
    const value = process.env[secret.env];
    return value === undefined ? undefined : new TextEncoder().encode(value);
  }
  const content = await readNamed(absolute(secret.file), MAX_BYTES + 1, signal);
  if (content) return content;
  throw new TsboxError(`use the secret ${JSON.stringify(id)}: its file cannot be read`, {
    code: "invalid_option",
    path: secret.file,
  });
}
