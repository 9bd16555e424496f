/**
 * A world to try policies in: a machine with sandboxes, and all the rest, which is this one and has many addresses. It
 * knows what has come to it.
 * @module
 */
import { createSocket, type Socket } from "node:dgram";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSubnet } from "../../lib/ip/index.ts";
import { Links } from "../../lib/netlink/index.ts";
import { World, routeThrough, type Place } from "./network-world.ts";
import type { HostTools } from "./policy-host.ts";

/** The machine with sandboxes, as the rest sees it. */
export const HOST = "192.0.2.10";
export const PACKAGES = "198.51.100.1";
export const OTHER = "198.51.100.2";
export const RESOLVER = "198.51.100.53";
/** Of somebody who knows what a name server that one has to oneself is good for. */
export const TUNNEL = "203.0.113.66";
export const PRIVATE = "10.9.9.9";
export const METADATA = "169.254.169.254";
export const [PACKAGES6, METADATA6] = ["2001:db8:1::1", "fd00:ec2::254"];
const ADDRESSES = [PACKAGES, OTHER, RESOLVER, TUNNEL, PRIVATE, METADATA, PACKAGES6, METADATA6];
/** TCP says hello at these, and UDP answers. */
const PORTS = [80, 443, 7000];

const TYPES: Record<number, 4 | 6> = { 1: 4, 28: 6 };

export class PolicyWorld implements AsyncDisposable {
  /** What names lead to; as the resolver says, whom the host asks. */
  readonly names = new Map<string, string[]>();
  readonly #seen: string[] = [];
  readonly #world = new World();
  readonly #host: Place;
  readonly #servers: { stop(closeAll?: boolean): void }[] = [];
  readonly #sockets: Socket[] = [];
  /** Its home, with a store. */
  readonly directory = mkdtempSync(join(tmpdir(), "tsbox-policies-"));
  #program: Bun.Subprocess<"pipe", "pipe", "inherit"> | undefined;
  #lines: AsyncIterator<string> | undefined;

  private constructor() {
    this.#host = this.#world.neighbour(["192.0.2.1/24", "2001:db8::1/64"], [`${HOST}/24`, "2001:db8::10/64"]);
    for (const through of ["192.0.2.1", "2001:db8::1"]) routeThrough(this.#host, through);
    using links = new Links();
    const lo = links.indexOf("lo");
    for (const address of ADDRESSES)
      links.addAddress(lo, parseSubnet(`${address}/${address.includes(":") ? 128 : 32}`), "be an address");
  }

  /** @param user the sandboxes are an ordinary user's @param runtime Deno's file, where it is to be that */
  static async make({ user, runtime }: { user?: number; runtime?: string } = {}): Promise<PolicyWorld> {
    const world = new PolicyWorld();
    try {
      await world.#serve();
      world.#start(user, runtime);
      return world;
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#program?.kill(9);
    await this.#program?.exited;
    for (const server of this.#servers) server.stop(true);
    for (const socket of this.#sockets) socket.close();
    this.#world[Symbol.dispose]();
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** What has come here since the last time: `"tcp 198.51.100.1:80"`, `"dns a.example"`. */
  seen(): string[] {
    return this.#seen.splice(0);
  }

  /** Packets that have come here from anybody, of any protocol. */
  packets(): number {
    const snmp = readFileSync("/proc/thread-self/net/snmp", "utf8");
    const [names = "", values = ""] = snmp.split("\n").filter((line) => line.startsWith("Ip: "));
    return Number(values.split(" ")[names.split(" ").indexOf("InReceives")]);
  }

  /**
   * Has the machine with sandboxes do something; the function is text over there and sees nothing of here but what it is
   * passed.
   * @throws what it throws
   */
  async on<Args extends unknown[], Value>(
    act: (tools: HostTools, ...args: Args) => Value | Promise<Value>,
    ...args: Args
  ): Promise<Value> {
    this.#program?.stdin.write(`${JSON.stringify({ source: act.toString(), args })}\n`);
    const { value: line } = (await this.#lines?.next()) ?? {};
    if (line === undefined) throw new Error("the machine with sandboxes has ended");
    const answer = JSON.parse(line) as { value?: Value; error?: { message: string } };
    if (answer.error) throw Object.assign(new Error(answer.error.message), answer.error);
    return answer.value as Value;
  }

  /** Of its program. */
  get pid(): number {
    return this.#program?.pid ?? 0;
  }

  /** Runs a command there, with the same resolver. */
  async run(...words: string[]): Promise<{ status: number | null; stdout: string; stderr: string }> {
    const enter = ["nsenter", `--net=/proc/${this.#host.pid}/ns/net`, `--mount=/proc/${this.#program?.pid}/ns/mnt`];
    const env = { PATH: process.env["PATH"] ?? "", HOME: this.directory, TSBOX_ROOT: join(this.directory, "store") };
    const child = Bun.spawn([...enter, `--wd=${process.cwd()}`, ...words], { stdout: "pipe", stderr: "pipe", env });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { status: await child.exited, stdout, stderr };
  }

  /** Its program's processes and descriptors, what is mounted there, and files that it leaves. */
  traces(): { descriptors: number; children: number; mounts: number; devices: number } {
    const pid = this.#program?.pid ?? 0;
    const count = (...words: string[]) => Number(Bun.spawnSync(["sh", "-c", words.join(" ")]).stdout.toString());
    return {
      descriptors: count(`ls /proc/${pid}/fd | wc -l`),
      children: count(`cat /proc/${pid}/task/*/children | wc -w`),
      mounts: count(`wc -l </proc/${pid}/mountinfo`),
      devices: count(`tail -n +3 /proc/${pid}/net/dev | wc -l`),
    };
  }

  async #serve(): Promise<void> {
    for (const port of PORTS) {
      for (const hostname of ["0.0.0.0", "::"]) {
        const here = (socket: Bun.Socket) => `${socket.localAddress}:${port}`;
        const open = (socket: Bun.Socket) => {
          this.#seen.push(`tcp ${here(socket)}`);
          socket.write(`hello from ${socket.localAddress}\n`);
        };
        this.#servers.push(Bun.listen({ hostname, port, ipv6Only: true, socket: { open, data: () => {} } } as never));
      }
    }
    // from the address that was asked
    for (const address of ADDRESSES) {
      await this.#datagrams(address, 7000, () => Buffer.from(`hello from ${address}\n`));
      await this.#datagrams(address, 53, (query) => this.#answer(query, address));
    }
  }

  async #datagrams(address: string, port: number, answer: (query: Buffer) => Buffer): Promise<void> {
    const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
    this.#sockets.push(socket);
    // nobody waits for the answer
    socket.on("error", () => {});
    socket.on("message", (message, { address: from, port: theirs }) => {
      if (port !== 53) this.#seen.push(`udp ${address}:${port}`);
      socket.send(answer(message), theirs, from);
    });
    await new Promise<void>((resolve) => socket.bind(port, address, resolve));
  }

  /** @see RFC 1035 */
  #answer(query: Buffer, server: string): Buffer {
    const labels: string[] = [];
    let at = 12;
    for (let length; (length = query[at] ?? 0) > 0; at += length + 1)
      labels.push(query.toString("latin1", at + 1, at + 1 + length));
    const end = at + 5;
    const name = labels.join(".").toLowerCase();
    this.#seen.push(server === RESOLVER ? `dns ${name}` : `dns ${name} at ${server}`);
    const family = TYPES[query.readUInt16BE(at + 1)];
    const known = this.names.get(name);
    const found = (known ?? []).filter((address) => address.includes(":") === (family === 6) && family !== undefined);
    const header = Buffer.from(query.subarray(0, end));
    header.writeUInt16BE(0x8180 | (known ? 0 : 3), 2);
    header.writeUInt16BE(found.length, 6);
    header.writeUInt32BE(0, 8);
    const records = found.map((address) => {
      const bytes = address.includes(":") ? bytes6(address) : Buffer.from(address.split(".").map(Number));
      const record = Buffer.from([0xc0, 12, 0, family === 6 ? 28 : 1, 0, 1, 0, 0, 0, 30, 0, bytes.length]);
      return Buffer.concat([record, bytes]);
    });
    return Buffer.concat([header, ...records]);
  }

  #start(user: number | undefined, runtime: string | undefined): void {
    const resolv = join(this.directory, "resolv.conf");
    writeFileSync(resolv, `nameserver ${RESOLVER}\n`);
    const home = mkdtempSync(join(this.directory, "home-"));
    if (user !== undefined) Bun.spawnSync(["chown", "-R", `${user}:${user}`, this.directory]);
    const bun = runtime === undefined ? [process.execPath] : [runtime, "run", "--quiet", "--no-lock", "--allow-all"];
    const program = [...bun, join(import.meta.dirname, "policy-host.ts")];
    const asUser = user === undefined ? [] : ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
    const enter = ["nsenter", `--net=/proc/${this.#host.pid}/ns/net`, "unshare", "--mount", "sh", "-c"];
    // for programs that ordinary users make network devices with, as on most machines
    const tun = "mount -t tmpfs -o mode=755 none /dev/net && mknod -m 666 /dev/net/tun c 10 200";
    const script = `mount --bind "$0" /etc/resolv.conf; [ -d /dev/net ] && ${tun}; exec "$@"`;
    const env = { PATH: process.env["PATH"] ?? "", HOME: home, TSBOX_ROOT: join(home, "store"), TMPDIR: home };
    this.#program = Bun.spawn([...enter, script, resolv, ...asUser, ...program], {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      env,
    });
    this.#lines = linesOf(this.#program.stdout);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

function bytes6(text: string): Buffer {
  const [head = "", tail] = text.split("::");
  const groups = (part: string | undefined) => (part ? part.split(":") : []);
  const [first, last] = [groups(head), groups(tail)];
  const all = [...first, ...Array.from({ length: 8 - first.length - last.length }, () => "0"), ...last];
  return Buffer.concat(all.map((group) => Buffer.from(group.padStart(4, "0"), "hex")));
}
