/** systemd's notifications out of containers, and sockets that systemd passes in. @module */
import { afterAll, beforeEach, expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { bindDatagramsIn, close, Directory, receiveNow } from "../syscalls/index.ts";
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { bundleIn, MAIN, ociAs, runtimeIn } from "./support/oci.ts";
import { call, kept, probe, ref } from "./support/probe.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
const runtime = runtimeIn(folder);

/** Where systemd would listen. */
const directory = Directory.open(folder.path) as Directory;
const systemd = bindDatagramsIn(directory.fd, "systemd.sock", 0o600);
const NOTIFY_SOCKET = join(folder.path, "systemd.sock");
afterAll(() => {
  close(systemd);
  directory[Symbol.dispose]();
  [folder, rootfs].forEach((each) => each.remove());
});
beforeEach(() => {
  rmSync(runtime.root, { recursive: true, force: true });
  received();
});

/** What has come by now. */
function received(): string[] {
  const messages: string[] = [];
  for (let message; (message = receiveNow(systemd));) messages.push(new TextDecoder().decode(message));
  return messages;
}

async function until(count: number): Promise<string[]> {
  const messages: string[] = [];
  for (const end = Date.now() + 10_000 * SLOW; messages.length < count && Date.now() < end; await Bun.sleep(5)) {
    messages.push(...received());
  }
  return messages;
}

/** A program that sends these to where its environment says, and ends. */
function sender(...messages: string[]): string {
  const bytes = (text: string) => new TextEncoder().encode(text);
  const path = bytes("\x01\0/run/notify/notify.sock\0");
  const address = { data: path, text: "address" };
  const sends = messages.map((message) =>
    call("sendto", ref("socket"), { data: bytes(message), text: "message" }, message.length, 0, address, path.length),
  );
  const name = `sender-${Bun.hash(messages.join()).toString(36)}`;
  rootfs.write(name, probe(kept("socket", call("socket", 1, 2, 0)), ...sends), 0o755);
  return `/${name}`;
}

/** A line of shell in a container. */
const bundle = (line: string) => bundleIn(folder, rootfs.path, ["/bin/sh", "-c", line]);
const oci = (env: Record<string, string>, ...words: string[]) =>
  ociAs({ env, leaves: words[0] === "create" }, "--root", runtime.root, ...words);
const ok = { status: 0, stdout: "", stderr: "" };

const containerTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000 * SLOW);

containerTest(
  "start tells that the container is ready, which process it is, and waits until that has been read",
  async () => {
    const ready = sender("STATUS=getting there", "MAINPID=1\nREADY=1\nSTATUS=there\nFDSTORE=1", "STATUS=later");
    const line = `echo $NOTIFY_SOCKET > /run/socket; sleep 0.2; ${ready} > /dev/null; exec sleep 60`;
    expect(oci({ NOTIFY_SOCKET }, "create", "-b", bundle(line), "c")).toEqual(ok);
    const start = Bun.spawn([process.execPath, MAIN, "oci", "--root", runtime.root, "start", "c"], {
      env: { ...process.env, NOTIFY_SOCKET },
      stdout: "ignore",
    });
    expect(await until(4)).toEqual([
      "STATUS=getting there\n",
      "READY=1\nSTATUS=there\n",
      expect.stringMatching(/^MAINPID=\d+\n$/),
      "BARRIER=1",
    ]);
    expect(await start.exited).toBe(0);
    expect(received()).toEqual([]);
    expect(oci({}, "exec", "c", "cat", "/run/socket").stdout).toBe("/run/notify/notify.sock\n");
    expect(oci({}, "delete", "-f", "c")).toEqual(ok);
    expect(existsSync(join(runtime.root, "c"))).toBe(false);
  },
);

containerTest("start does not wait for a container that ends before it is ready", async () => {
  expect(oci({ NOTIFY_SOCKET }, "create", "-b", bundle("true"), "c")).toEqual(ok);
  expect(oci({ NOTIFY_SOCKET }, "start", "c")).toEqual(ok);
  expect(received()).toEqual([]);
  expect(oci({}, "delete", "-f", "c")).toEqual(ok);
});

containerTest("run tells that it is the main process itself, and goes on passing messages", async () => {
  const [ready, later] = [sender("READY=1"), sender("WATCHDOG=1", "BUSERROR=no", "STOPPING=1")];
  const line = `${ready} > /dev/null; sleep 0.3; ${later} > /dev/null; exit 7`;
  const run = Bun.spawn([process.execPath, MAIN, "oci", "--root", runtime.root, "run", "-b", bundle(line), "c"], {
    env: { ...process.env, NOTIFY_SOCKET },
  });
  const expected = ["READY=1\n", `MAINPID=${run.pid}\n`, "BARRIER=1", "WATCHDOG=1\n", "STOPPING=1\n"];
  expect(await until(expected.length)).toEqual(expected);
  expect(await run.exited).toBe(7);
  expect(existsSync(join(runtime.root, "c"))).toBe(false);
});

containerTest("without NOTIFY_SOCKET there is none", async () => {
  const line = 'test -z "$NOTIFY_SOCKET" && test ! -e /run/notify';
  expect(oci({}, "run", "-b", bundle(line), "c")).toEqual(ok);
});

containerTest("a start without it leaves the socket of create's alone", async () => {
  expect(oci({ NOTIFY_SOCKET }, "create", "-b", bundle("test -e /run/notify && sleep 60"), "c")).toEqual(ok);
  expect(oci({}, "start", "c")).toEqual(ok);
  expect(oci({}, "exec", "c", "ls", "/run/notify")).toEqual(ok);
  expect(oci({}, "delete", "-f", "c")).toEqual(ok);
});

containerTest("descriptors that systemd passes are the command's, and those behind them where it is said", () => {
  const line = 'echo "$LISTEN_FDS $LISTEN_PID"; for fd in 3 4 5; do test -e /proc/self/fd/$fd && cat <&$fd; done';
  const files = [1, 2, 3].map((n) => folder.write(`file-${n}`, `${n}\n`));
  const words = (...flags: string[]) =>
    `exec -a tsbox-oci ${process.execPath} ${MAIN} --root ${runtime.root} run ${flags.join(" ")} -b ${bundle(line)} c`;
  const opened = files.map((file, index) => `${index + 3}< ${file}`).join(" ");
  const run = (environment: string, ...flags: string[]) => {
    const script = `${environment} ${words(...flags)} ${opened}`;
    const { exitCode, stdout, stderr } = Bun.spawnSync(["bash", "-c", script]);
    expect([stderr.toString(), exitCode]).toEqual(["", expect.any(Number)]);
    return stdout.toString();
  };
  expect(run("export LISTEN_FDS=2 LISTEN_PID=$$;")).toBe("2 1\n1\n2\n");
  expect(run("export LISTEN_FDS=1 LISTEN_PID=$$;", "--preserve-fds", "1")).toBe("1 1\n1\n2\n");
  expect(run("export LISTEN_FDS=2 LISTEN_PID=1;")).toBe(" \n"); // somebody else's
  expect(run("", "--preserve-fds=3")).toBe(" \n1\n2\n3\n");
});

test("nothing is left", () => {
  expect(
    existsSync(runtime.root) ? [...new Bun.Glob("*").scanSync({ cwd: runtime.root, onlyFiles: false })] : [],
  ).toEqual([]);
});
