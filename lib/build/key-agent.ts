/**
 * An SSH agent of the build's own, for who gives keys rather than an agent: which ones there are, and signatures. It is
 * a socket of this process in a directory of the build.
 * @module
 * @see https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/
 */
import type { Socket } from "node:net";
import { Directory, show, TsboxError } from "../../syscalls/index.ts";
import type { Making } from "./making.ts";
import { AGENT, eachMessage, FAILURE, listenIn } from "./ssh-messages.ts";
import { Fields, readPrivateKey, strings, type PrivateKey } from "./ssh-key.ts";

const [REQUEST_IDENTITIES, IDENTITIES_ANSWER, SIGN_REQUEST, SIGN_RESPONSE] = [11, 12, 13, 14];
const KEY_BYTES = 64 * 1024;

/**
 * The socket of an agent: as it was given, or one that has the keys of the files that were.
 * @returns undefined where there is none of that name. @throws TsboxError `invalid_option`
 */
export async function agentSocket(
  { options, workspace }: Pick<Making, "options" | "workspace">,
  id: string,
): Promise<string | undefined> {
  const given = options.ssh && Object.hasOwn(options.ssh, id) ? options.ssh[id] : undefined;
  if (given === undefined) return undefined;
  const { statSync } = process.getBuiltinModule("node:fs");
  const paths = typeof given === "string" ? [given] : given;
  const [first] = paths;
  if (paths.length === 1 && first !== undefined && statSync(first, { throwIfNoEntry: false })?.isSocket()) return first;
  const keys = paths.map(keyAt);
  const directory = Directory.open(workspace.make("keys")) as Directory;
  const server = await listenIn(directory, (client) => serve(client, keys));
  workspace.hold({
    [Symbol.dispose]() {
      server.close();
      directory[Symbol.dispose]();
    },
  });
  // nobody waits for it
  server.unref();
  return `${directory.path}/${AGENT}`;
}

function keyAt(path: string): PrivateKey {
  const { readFileSync, statSync } = process.getBuiltinModule("node:fs");
  const status = statSync(path, { throwIfNoEntry: false });
  if (!status?.isFile() || status.size > KEY_BYTES)
    throw new TsboxError(`use ${show(path)} for SSH: it is neither the socket of an agent nor a private key`, {
      code: "invalid_option",
      path,
    });
  return readPrivateKey(readFileSync(path), path);
}

function serve(client: Socket, keys: readonly PrivateKey[]): void {
  client.on("error", () => client.destroy());
  client.on("drain", () => client.resume());
  eachMessage(client, (message) => {
    const answer = answerTo(message, keys);
    if (!client.write(answer)) client.pause();
  });
}

function answerTo(message: Buffer, keys: readonly PrivateKey[]): Uint8Array {
  try {
    const type = message[4];
    const fields = new Fields(message.subarray(5));
    if (type === REQUEST_IDENTITIES) {
      const count = Buffer.alloc(4);
      count.writeUInt32BE(keys.length);
      const all = keys.map(({ blob, comment }) => strings(blob, comment));
      return strings(Buffer.concat([Buffer.of(IDENTITIES_ANSWER), count, ...all]));
    }
    if (type !== SIGN_REQUEST) return FAILURE;
    const [blob, data, flags] = [fields.string(), fields.string(), fields.number()];
    const key = keys.find((each) => each.blob.equals(blob));
    if (!key) return FAILURE;
    return strings(Buffer.concat([Buffer.of(SIGN_RESPONSE), strings(key.sign(data, flags))]));
  } catch {
    // malformed, or a key that is too short for the hash
    return FAILURE;
  }
}
