/** Calls that somebody outside decides about: `security.notify`, and `listenerPath` of a profile. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { COOKIE, refuseCookie, withCookie } from "../lib/seccomp/index.ts";
import type { SeccompProfile } from "../lib/spec/index.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, testUnless } from "./support/machine.ts";
import { call, outcomes, probe } from "./support/probe.ts";
import { descendants, descriptors, eventually } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";
import { readVerdict, runFilter } from "./seccomp-bpf.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const asking = (...names: string[]): SeccompProfile => ({
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [{ names, action: "SCMP_ACT_NOTIFY" }],
});
type Notify = NonNullable<NonNullable<RunOptions["security"]>["notify"]>;
const options = (seccomp: SeccompProfile, notify?: Notify): RunOptions => ({
  rootfs: root.path,
  security: { seccomp, ...(notify ? { notify } : {}) },
});
const MKDIR = asking("mkdir", "mkdirat");

describe("a function of the caller's", () => {
  testUnless(noBusybox, "allows a call, refuses it, or answers in its place", async () => {
    root.write("bin/asks", probe(call("getppid"), call("getppid"), call("getppid"), call("getuid")), 0o755);
    const answers = ["allow" as const, { errno: "EROFS" as const }, { value: 4242 }];
    const calls: (string | number)[] = [];
    const notify: Notify = ({ syscall, args, pid }) => {
      calls.push(syscall);
      expect([args.length, pid > 1]).toEqual([6, true]);
      return answers[calls.length - 1] ?? "allow";
    };
    const { stdoutBytes } = await Sandbox.run(["/bin/asks"], options(asking("getppid"), notify));
    // its parent is init, in another process's eyes 0 or 1
    expect(outcomes(stdoutBytes)).toEqual([expect.any(Number), "EROFS", 4242, 0]);
    expect(calls).toEqual(["getppid", "getppid", "getppid"]);
  });

  testUnless(noBusybox, "may take its time, and answers many at once", async () => {
    const notify: Notify = async () => {
      await Bun.sleep(30);
      return "allow" as const;
    };
    const line = "for i in 1 2 3 4 5 6 7 8; do mkdir /tmp/$i & done; wait; ls /tmp | wc -l";
    expect((await Sandbox.run(["sh", "-c", line], options(MKDIR, notify))).stdout).toBe("8\n");
  });

  testUnless(noBusybox, "that fails, or answers nonsense, refuses", async () => {
    const nonsense = [undefined, "yes", { errno: "ENONSENSE" }, { value: 1.5 }, null];
    for (const answer of nonsense) {
      const { stderr } = await Sandbox.run(
        ["mkdir", "/tmp/x"],
        options(MKDIR, () => answer as never),
      );
      expect([answer, stderr]).toEqual([answer, expect.stringContaining("Operation not permitted")]);
    }
    const failing: Notify = () => {
      throw new Error("no idea");
    };
    expect((await Sandbox.run(["mkdir", "/tmp/x"], options(MKDIR, failing))).stderr).toContain("not permitted");
  });

  testUnless(noBusybox, "is asked about any call, those by which the listener gets to it included", async () => {
    const seen = new Set<string | number>();
    const notify: Notify = ({ syscall }) => {
      seen.add(syscall);
      return "allow";
    };
    const all = asking("sendmsg", "write", "close", "seccomp", "openat2", "execve", "mkdir", "mkdirat");
    const { stdout } = await Sandbox.run(["sh", "-c", "mkdir /tmp/x; echo done"], options(all, notify));
    expect(stdout).toBe("done\n");
    expect([...seen]).toContain("execve");
    expect([...seen]).toContain("write");
  });

  testUnless(noBusybox, "is asked by what joins a box", async () => {
    const pids: number[] = [];
    const notify: Notify = ({ pid }) => {
      pids.push(pid);
      return "allow";
    };
    await using box = await Sandbox.create(options(MKDIR, notify));
    const made = [1, 2].map((n) => box.spawn(["mkdir", `/tmp/${n}`]).exited);
    expect(await Promise.all(made)).toEqual([0, 0]);
    expect(new Set(pids).size).toBe(2);
  });

  testUnless(noBusybox, "that never answers does not keep a sandbox from ending, and nothing is left", async () => {
    const before = descriptors().size;
    const never: Notify = () => new Promise(() => {});
    const hanging = options(MKDIR, never);
    const result = await Sandbox.run(["mkdir", "/tmp/x"], { ...hanging, limits: { time: 200 } });
    expect(result.reason).toBe("timeout");
    expect(descendants()).toEqual([]);
    expect(await eventually(() => descriptors().size <= before + 1)).toBe(true);
  });
});

describe("the way past the filter, by which its listener is handed over", () => {
  const all = Uint8Array.from([0x06, 0, 0, 0, 0, 0, 0xc0, 0x7f]);
  const ask = (filter: Uint8Array, sixth: bigint) =>
    readVerdict(runFilter(filter, { number: 1, args: [0, 0, 0, 0, 0, sixth] }));

  test("is open to the cookie only, and then closed to it", () => {
    const others = [0n, COOKIE & 0xffffffffn, COOKIE ^ (1n << 40n), COOKIE ^ 1n];
    expect(ask(withCookie(all), COOKIE)).toBe("allow");
    expect(others.map((sixth) => ask(withCookie(all), sixth))).toEqual(others.map(() => "notify"));
    expect(ask(refuseCookie(), COOKIE)).toBe("EPERM");
    expect(others.map((sixth) => ask(refuseCookie(), sixth))).toEqual(others.map(() => "allow"));
  });

  testUnless(noBusybox, "is closed to whoever knows it inside", async () => {
    const refusing: SeccompProfile = {
      ...MKDIR,
      syscalls: [...(MKDIR.syscalls ?? []), { names: ["getppid"], action: "SCMP_ACT_ERRNO" }],
    };
    root.write("bin/cookie", probe(call("getppid"), call("getppid", 0, 0, 0, 0, 0, COOKIE)), 0o755);
    const { stdoutBytes } = await Sandbox.run(
      ["/bin/cookie"],
      options(refusing, () => "allow"),
    );
    expect(outcomes(stdoutBytes)).toEqual(["EPERM", "EPERM"]);
  });
});

// takes the listener and the state, writes the state, and answers one question with ENOTBLK
const AGENT = `
import fcntl, json, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX); server.bind(sys.argv[1] + "~"); server.listen()
os.rename(sys.argv[1] + "~", sys.argv[1]); print("ready", flush=True)
connection, _ = server.accept()
data, fds, _, _ = socket.recv_fds(connection, 65536, 4)
print(json.dumps([json.loads(data), [os.readlink(f"/proc/self/fd/{fd}") for fd in fds], connection.recv(1).decode()]), flush=True)
request = bytearray(80)
fcntl.ioctl(fds[0], 0xc0502100, request)
fcntl.ioctl(fds[0], 0xc0182101, struct.pack("QqiI", *struct.unpack_from("Q", request), 0, -15, 0))
`;
const noAgent = noBusybox ?? (Bun.which("python3") ? undefined : "python3 is not installed");

describe("a socket that the profile names", () => {
  testUnless(noAgent, "gets the listener and the state of the process", async () => {
    const path = `${outside.path}/listener`;
    const agent = Bun.spawn(["python3", "-c", AGENT, path], { stdout: "pipe", stderr: "inherit" });
    await eventually(() => Bun.spawnSync(["test", "-S", path]).exitCode === 0);
    const profile = { ...MKDIR, listenerPath: path, listenerMetadata: "who is asked" };
    const { stderr } = await Sandbox.run(["mkdir", "/tmp/x"], options(profile));
    expect(stderr).toContain("Block device required");
    const [, told = "[]"] = (await new Response(agent.stdout).text()).trim().split("\n");
    const [state, files, end] = JSON.parse(told) as [Record<string, unknown>, string[], string];
    expect(state).toMatchObject({ fds: ["seccompFd"], metadata: "who is asked", pid: expect.any(Number) });
    expect(state["state"]).toMatchObject({ status: "creating", pid: state["pid"], id: expect.any(String) });
    expect([files, end]).toEqual([["anon_inode:seccomp notify"], ""]);
    await agent.exited;
  });

  testUnless(
    noBusybox,
    "and the terminal of a command both get to the owner, of its own sandbox and in a box",
    async () => {
      const refusing = options(MKDIR, () => ({ errno: "EXDEV" }));
      const line = "tty; mkdir /tmp/x || echo refused; ls /proc/self/fd | wc -l";
      const shown = /^\/dev\/pts\/\d\n.*refused\n4\n$/s;
      const { stdout } = await Sandbox.run(["sh", "-c", line], { ...refusing, terminal: true });
      expect(stdout.replaceAll("\r", "")).toMatch(shown);
      await using box = await Sandbox.create(refusing);
      for (let turn = 0; turn < 2; turn++) {
        const process = box.spawn(["sh", "-c", line], { terminal: true });
        expect((await new Response(process.terminal?.readable).text()).replaceAll("\r", "")).toMatch(shown);
      }
    },
  );

  testUnless(noBusybox, "where nobody listens is an error before anything is made", async () => {
    const profile = { ...MKDIR, listenerPath: `${outside.path}/nobody` };
    expect((await failureOf(() => Sandbox.run(["true"], options(profile)))).message).toContain("connect to");
    expect(descendants()).toEqual([]);
  });
});

test.each<[string, RunOptions, string]>([
  ["nobody to ask", options(MKDIR), "use SCMP_ACT_NOTIFY: there is nobody to ask"],
  ["a relative path", options({ ...MKDIR, listenerPath: "x" }), "use SCMP_ACT_NOTIFY: there is nobody to ask"],
  ["nothing to ask", options({ defaultAction: "SCMP_ACT_ALLOW" }, () => "allow"), "has no SCMP_ACT_NOTIFY"],
  ["no function", options(MKDIR, "allow" as never), 'use notify "allow": not a function'],
])("is refused: %s", async (_, bad, message) => {
  expect((await failureOf(() => Sandbox.run(["true"], bad))).message).toContain(message);
});
