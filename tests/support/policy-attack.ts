/**
 * What somebody inside does who wants out: functions that Bun runs there, with sockets of its own and the system calls.
 * @module
 */

/** What such a function gets. */
export interface Inside {
  /** What a server says first: `"hello from 192.0.2.1"`; or the code of the error: `"ECONNREFUSED"`. */
  tcp(ip: string, port: number, say?: string): Promise<string>;
  /** The same, from a server that answers datagrams. */
  udp(ip: string, port: number, say?: string): Promise<string>;
  /** Addresses; or the code of the error. */
  lookUp(name: string, server?: string): Promise<string[] | string>;
  /** A system call by its number on x86-64 and aarch64: the result, or -errno. */
  call(numbers: [x64: number, arm64: number], ...args: (number | Uint8Array)[]): number;
  sleep(ms: number): Promise<void>;
}

type Act = (inside: Inside, ...args: never[]) => unknown;

/** The command that runs it, and prints what it comes to as JSON. */
export function attack(act: string | Act, ...args: unknown[]): string[] {
  const rest = args.map((each) => JSON.stringify(each)).join(", ");
  const script = `const inside = (${inside.toString()})();
    const result = await (${act.toString()})(inside${rest && `, ${rest}`});
    process.stdout.write(JSON.stringify(result ?? null)); process.exit(0);`;
  return ["bun", "-e", script];
}

/** As text, in another process. */
function inside(): Inside {
  const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));
  const patience = 3000;
  const late = () => sleep(patience).then(() => "ETIMEDOUT");
  const codeOf = (error: unknown) => (error as { code?: string }).code ?? String(error);

  const tcp = (host: string, port: number, say = "") => {
    const { connect } = require("node:net") as typeof import("node:net");
    const said = new Promise<string>((resolve) => {
      const socket = connect({ host, port }, () => say && socket.write(say));
      let text = "";
      socket.on("data", (chunk) => {
        text += String(chunk);
        if (!text.includes("\n")) return;
        resolve(text.trim());
        socket.destroy();
      });
      socket.on("error", (error) => resolve(codeOf(error)));
      socket.on("close", () => resolve(text.trim() || "closed"));
    });
    return Promise.race([said, late()]);
  };

  const udp = (host: string, port: number, say = "?") => {
    const { createSocket } = require("node:dgram") as typeof import("node:dgram");
    const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
    const said = new Promise<string>((resolve) => {
      socket.on("message", (message) => resolve(message.toString().trim()));
      socket.on("error", (error) => resolve(codeOf(error)));
      socket.connect(port, host, () => socket.send(say, (error) => error && resolve(codeOf(error))));
    });
    return Promise.race([said, late()]).finally(() => socket.close());
  };

  const lookUp = async (name: string, server?: string) => {
    const { Resolver } = require("node:dns/promises") as typeof import("node:dns/promises");
    const resolver = new Resolver({ timeout: patience, tries: 1 });
    if (server !== undefined) resolver.setServers([server]);
    try {
      return await resolver.resolve4(name);
    } catch (error) {
      return codeOf(error);
    }
  };

  /** Opened when it is needed. */
  const libc = () => {
    const { dlopen, ptr, toArrayBuffer } = require("bun:ffi") as typeof import("bun:ffi");
    const { symbols } = dlopen("libc.so.6", {
      syscall: { args: Array.from({ length: 7 }, () => "i64" as const), returns: "i64" },
      __errno_location: { args: [], returns: "ptr" },
    });
    const at = (symbols.__errno_location as unknown as () => never)();
    const errno = () => new Int32Array(toArrayBuffer(at, 0, 4))[0] ?? 0;
    return { syscall: symbols.syscall as (...all: bigint[]) => bigint, errno, ptr };
  };
  let opened: ReturnType<typeof libc> | undefined;

  const call = (numbers: [number, number], ...args: (number | Uint8Array)[]) => {
    const { syscall, errno, ptr } = (opened ??= libc());
    const words = Array.from({ length: 6 }, (_, index) => {
      const arg = args[index] ?? 0;
      return typeof arg === "number" ? BigInt(arg) : BigInt(ptr(arg));
    });
    const number = numbers[process.arch === "arm64" ? 1 : 0];
    const result = Number(syscall(BigInt(number), ...words));
    return result < 0 ? -errno() : result;
  };

  return { tcp, udp, lookUp, call, sleep };
}
