/**
 * The SSH agent of whoever builds, for a RUN: it can ask which keys there are and have something signed, and nothing
 * else. The relay is a socket of this process, and gone with the step.
 * @module
 * @see https://datatracker.ietf.org/doc/draft-ietf-sshm-ssh-agent/
 */
import type { Socket } from "node:net";
import { Directory, type TsboxError } from "../../syscalls/index.ts";
import { changeOwners } from "../layer/index.ts";
import type { Making } from "./making.ts";
import type { Prepared } from "./mount-files.ts";
import { agentSocket } from "./key-agent.ts";
import { AGENT, eachMessage, FAILURE, listenIn } from "./ssh-messages.ts";
import type { StepMount } from "./step.ts";

const [REQUEST_IDENTITIES, SIGN_REQUEST] = [11, 13];
/** In a message, behind its length. */
const TYPE = 4;

export async function agentMount(
  { options, workspace, ids }: Pick<Making, "options" | "workspace" | "ids">,
  { id = "default", required, mode = 0o600, uid = 0, gid = 0 }: StepMount,
  target: string,
  missing: () => TsboxError,
): Promise<Prepared> {
  const agent = await agentSocket({ options, workspace }, id);
  if (agent === undefined) {
    if (required) throw missing();
    return {};
  }
  const { chmodSync } = process.getBuiltinModule("node:fs");
  const path = workspace.make("ssh");
  const directory = Directory.open(path) as Directory;
  const server = await listenIn(directory, (client) => relay(client, agent));
  const release = async () => {
    await new Promise((resolve) => server.close(resolve));
    directory[Symbol.dispose]();
  };
  chmodSync(`${path}/${AGENT}`, mode);
  if (uid !== 0 || gid !== 0) changeOwners(`${path}/${AGENT}`, uid, gid, ids);
  return {
    release,
    env: { SSH_AUTH_SOCK: target },
    mount: { type: "bind", source: `${path}/${AGENT}`, target, readOnly: true },
  };
}

/**
 * Who asks and does not take the answers is not read from any more, and neither is the agent: what waits is bounded by
 * what has been read at once.
 */
function relay(client: Socket, agent: string): void {
  const upstream = process.getBuiltinModule("node:net").connect(agent);
  const end = () => {
    client.destroy();
    upstream.destroy();
  };
  const send = (to: Socket, from: Socket, bytes: Uint8Array) => {
    if (!to.write(bytes)) from.pause();
  };
  eachMessage(client, (message) => {
    const type = message[TYPE];
    const isAllowed = type === REQUEST_IDENTITIES || type === SIGN_REQUEST;
    send(isAllowed ? upstream : client, client, isAllowed ? message : FAILURE);
  });
  upstream.on("data", (bytes: Buffer) => send(client, upstream, bytes));
  const resume = () => {
    // both ways have to be free: a question may be refused, or asked
    if (client.writableNeedDrain || upstream.writableNeedDrain) return;
    client.resume();
    upstream.resume();
  };
  for (const socket of [client, upstream]) socket.on("close", end).on("error", end).on("drain", resume);
}
