/** Attacks by way of mounts: on their targets, their sources and what covers the kernel's own files. @module */
import { afterAll, describe, expect, test } from "bun:test";
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { Sandbox, TsboxError, type MountOption, type RunOptions } from "../../lib/index.ts";
import type { Op } from "../../syscalls/index.ts";
import { failureOf } from "../support/failure.ts";
import { noBusybox, notRoot, SLOW, testUnless } from "../support/machine.ts";
import { call, cstring, kept, ref } from "../support/probe.ts";
import { mounts as hostMounts } from "../support/processes.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";
import { insertBefore, inTurn, runChanged, sleep, withCalls, withoutStep } from "../support/unprotected.ts";

const outside = new Folder();
const roots: Folder[] = [];
afterAll(() => [outside, ...roots].forEach((folder) => folder.remove()));

function hostile(): Folder {
  const root = makeRootfs();
  roots.push(root);
  return root;
}
const AT_FDCWD = -100;
const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000 * SLOW);
const sh = (root: Folder, line: string, options: RunOptions = {}) =>
  Sandbox.run(["/bin/sh", "-c", line], { rootfs: root.path, ...options });

describe("CVE-2021-30465: a mount point that turns into a symlink while the sandbox is made", () => {
  /** A program that swaps a directory for a symlink out of the root and back, as fast as it can. */
  function swapping(path: string, target: string): Disposable {
    const child = Bun.spawn([
      process.execPath,
      "-e",
      `const fs = require("node:fs"); const [path, target] = ${JSON.stringify([path, target])};
       fs.symlinkSync(target, path + ".link");
       for (;;) { fs.renameSync(path, path + ".dir"); fs.renameSync(path + ".link", path); fs.renameSync(path, path + ".link"); fs.renameSync(path + ".dir", path); }`,
    ]);
    return { [Symbol.dispose]: () => child.kill("SIGKILL") };
  }

  attack("nothing is mounted, or made, anywhere but inside", async () => {
    const root = hostile();
    // the root itself is a directory that others write to, as a volume that sandboxes share
    for (const name of ["proc", "sys", "dev", "data/m", "etc/ssl"]) root.directory(name);
    const victim = outside.directory("victim");
    const before = [readdirSync(victim), hostMounts()];
    const source = outside.directory("source");
    const outcomes = new Set<string>();
    {
      using _ = swapping(join(root.path, "data"), victim);
      for (let round = 0; round < 60; round++) {
        for (const readOnly of [true, false]) {
          const mounts: MountOption[] = [
            { type: "bind", source, target: "/data/m" },
            { type: "tmpfs", target: "/data/m/new" },
          ];
          const options: RunOptions = { mounts: readOnly ? mounts.slice(0, 1) : mounts, security: { readOnly } };
          try {
            outcomes.add((await sh(root, "grep -c ' /data/m ' /proc/mounts", options)).stdout.trim());
          } catch (error) {
            if (!(error instanceof TsboxError)) throw error;
            outcomes.add(error.code);
          }
        }
      }
    }
    expect([readdirSync(victim), hostMounts()]).toEqual(before);
    // 0: it was mounted, and its mount point has another name since
    expect([...outcomes].filter((outcome) => !["0", "1", "mount_failed"].includes(outcome))).toEqual([]);
  });

  test("the control: whoever looks first and goes by the name then is led out", async () => {
    const root = new Folder();
    roots.push(root);
    const path = root.directory("data");
    const victim = outside.directory("victim-of-names");
    using _ = swapping(path, victim);
    const led = async () => {
      for (const end = performance.now() + 20_000 * SLOW; performance.now() < end;) {
        try {
          if (!statSync(path).isDirectory()) continue;
          mkdirSync(join(path, "made"));
          if (readdirSync(victim).includes("made")) return true;
          rmdirSync(join(path, "made"));
        } catch {
          // it is being swapped
        }
      }
      return false;
    };
    expect(await led()).toBe(true);
  }, 60_000);
});

describe("CVE-2025-31133: masked paths that are covered by something else", () => {
  const NAME = "/proc/keys";

  attack("what /dev/null is in the root filesystem covers nothing", async () => {
    const root = hostile();
    root.write("chosen", "by the attacker\n");
    for (const make of [
      () => root.link("dev/null", "/chosen"),
      () => root.link("dev/null", "/proc/sys/kernel/core_pattern"),
      () => root.write("dev/null", "by the attacker\n", 0o666),
      () => root.directory("dev/null"),
    ]) {
      rmSync(join(root.path, "dev"), { recursive: true, force: true });
      make();
      const { stdout } = await sh(root, `cat ${NAME} 2>/dev/null; stat -c '%F %t:%T' ${NAME} /dev/null`);
      expect(stdout).toBe("character special file 1:3\ncharacter special file 1:3\n");
    }
  });

  attack("the control: a cover that is looked up inside is what the attacker likes", async () => {
    const root = hostile();
    root.write("chosen", "by the attacker\n");
    root.link("dev/null", "/chosen");
    const lookedUp: Op = {
      call: "open_tree",
      args: [-100, { data: new TextEncoder().encode("/dev/null\0"), text: '"/dev/null"' }, 1],
      out: `mask:${NAME}`,
    };
    const { stdout } = await runChanged(
      ["/bin/sh", "-c", `cat ${NAME}`],
      { rootfs: root.path },
      {
        // no devices of its own: the attacker's /dev is there
        spec: (spec) => void (spec.mounts = spec.mounts.filter(({ destination }) => !destination.startsWith("/dev"))),
        plan: insertBefore(`mask "${NAME}"`, lookedUp),
      },
    );
    expect(stdout).toBe("by the attacker\n");
  });
});

describe("CVE-2025-52881: writes to /proc that are led elsewhere", () => {
  const sysctls = { "net.ipv4.ip_forward": "1" };

  attack("a mount of the request, or of the root filesystem, over /proc/sys gets nothing of them", async () => {
    const root = hostile();
    const fake = outside.directory("fake/net/ipv4");
    writeFileSync(join(fake, "ip_forward"), "untouched\n");
    const mounts: MountOption[] = [{ type: "bind", source: outside.directory("fake"), target: "/proc/sys" }];
    const { stdout } = await sh(root, "cat /proc/sys/net/ipv4/ip_forward", { sysctls, mounts });
    expect([stdout, readFileSync(join(fake, "ip_forward"), "utf8")]).toEqual(["untouched\n", "untouched\n"]);
  });

  attack(
    "the control: written by its path, when everything is mounted, a setting goes where the request likes",
    async () => {
      const fake = outside.directory("fake-by-path/net/ipv4");
      const chosen = outside.write("fake-by-path/net/ipv4/ip_forward", "untouched\n", 0o666);
      const mounts: MountOption[] = [{ type: "bind", source: join(fake, "../.."), target: "/proc/sys" }];
      const byPath = insertBefore(
        'make "/proc/sys" read-only',
        kept("sysctl", call("openat", AT_FDCWD, cstring("/proc/sys/net/ipv4/ip_forward"), constants.O_WRONLY, 0)),
        call("write", ref("sysctl"), cstring("1"), 1),
      );
      const plan = inTurn(withoutStep('set the sysctl net.ipv4.ip_forward to "1"'), byPath);
      await runChanged(["/bin/true"], { rootfs: hostile().path, sysctls, mounts }, { plan });
      expect(readFileSync(chosen, "utf8")).toBe("1ntouched\n");
    },
  );

  attack("where /proc is a symlink, or a file, nothing is written through it", async () => {
    const before = readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8");
    for (const make of [
      (root: Folder) => root.link("proc", outside.directory("fake")),
      (root: Folder) => root.link("proc", "/proc/self/root/proc"),
      (root: Folder) => root.write("proc", "a file"),
    ]) {
      const root = hostile();
      make(root);
      const error = await failureOf(() => sh(root, "true", { sysctls }));
      expect([error.code, error.path]).toEqual(["mount_failed", "/proc"]);
    }
    expect(readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8")).toBe(before);
  });
});

describe("a root filesystem that is not what it seems", () => {
  const MAKE: [what: string, make: (path: string) => void][] = [
    ["a fifo", (path) => void Bun.spawnSync(["mkfifo", path])],
    ["a file", (path) => writeFileSync(path, "")],
    ["a loop", (path) => symlinkSync(path.split("/").at(-1) as string, path)],
    ["a symlink to nothing", (path) => symlinkSync("/nowhere", path)],
    ["a long chain of symlinks", (path) => chain(path)],
  ];
  function chain(path: string): void {
    for (let link = 0; link < 50; link++) symlinkSync(`${path.split("/").at(-1)}${link + 1}`, `${path}${link || ""}`);
  }

  for (const name of ["proc", "dev", "sys", "data"]) {
    attack(`/${name} is a fifo, a file, a loop, …: an error at once, and nothing is left`, async () => {
      for (const [what, make] of MAKE) {
        const root = hostile();
        make(join(root.path, name));
        const before = readdirSync(root.path);
        const mounts: MountOption[] = name === "data" ? [{ type: "tmpfs", target: "/data/x" }] : [];
        for (const readOnly of [true, false]) {
          const error = await failureOf(() => sh(root, "true", { mounts, security: { readOnly } }));
          expect([what, error.code]).toEqual([what, "mount_failed"]);
        }
        expect(readdirSync(root.path)).toEqual(before);
      }
    });
  }

  /** While the host's root lies on the new one, as at the beginning. @returns what has been made on the host */
  async function led(name: string, open: (op: Op) => Op[]): Promise<string[]> {
    const root = hostile();
    ["proc", "dev", "sys"].filter((each) => each !== name).forEach((each) => root.directory(each));
    const victim = outside.directory(`victim-of-${name}`, 0o777);
    root.link(name, `${"../".repeat(20)}${victim.slice(1)}`);
    const makes = call("mkdirat", ref("target"), cstring("made"), 0o755);
    const plan = inTurn(
      insertBefore("drop the host's root", sleep(500)),
      withCalls(`mount on "/${name}"`, "move_mount", (op) => [makes, op]),
      withCalls(`mount on "/${name}"`, "openat2", open),
    );
    await failureOf(() => runChanged(["/bin/true"], { rootfs: root.path, security: { readOnly: true } }, { plan }));
    const made = readdirSync(victim);
    rmSync(victim, { recursive: true });
    return made;
  }
  const byName = (flags: number) => (op: Op) => [
    { ...op, call: "openat" as const, args: [...op.args.slice(0, 2), flags, 0] },
  ];
  const O_PATH = 0o10000000;

  for (const name of ["proc", "dev", "sys"]) {
    attack(`/${name} is a symlink to the host, whose root still lies there: nothing is made there`, async () => {
      expect(await led(name, (op) => [op])).toEqual([]);
      expect(await led(name, byName(O_PATH))).toEqual(["made"]); // the control: whoever goes by the name
    });
  }

  attack("the control: opened to be read, a fifo holds up whoever makes the sandbox", async () => {
    const root = hostile();
    const fifo = join(root.path, "proc");
    Bun.spawnSync(["mkfifo", fifo]);
    ["dev", "sys"].forEach((name) => root.directory(name));
    const plan = withCalls('mount on "/proc"', "openat2", byName(constants.O_RDONLY));
    // through an overlay it would be another fifo than the host's
    const options: RunOptions = { rootfs: root.path, security: { readOnly: true } };
    let held = true;
    const running = failureOf(() => runChanged(["/bin/true"], options, { plan }));
    void running.finally(() => (held = false));
    await Bun.sleep(500 * SLOW);
    expect(held).toBe(true);
    closeSync(openSync(fifo, constants.O_RDWR | constants.O_NONBLOCK));
    expect((await running).code).toBe("mount_failed");
  });

  attack("/etc/passwd is a fifo, a directory, a loop or endless: the user is not found, and nobody waits", async () => {
    const cases: [what: string, make: (path: string) => void][] = [
      ...MAKE,
      ["a directory", (path) => mkdirSync(path)],
      ["endless", (path) => void Bun.spawnSync(["truncate", "-s", "1T", path])],
    ];
    for (const [what, make] of cases) {
      const root = hostile();
      rmSync(join(root.path, "etc/passwd"));
      make(join(root.path, "etc/passwd"));
      const started = performance.now();
      const error = await failureOf(() => sh(root, "true", { user: "app" }));
      expect([what, error.code]).toEqual([what, "user_not_found"]);
      expect(performance.now() - started).toBeLessThan(2000 * SLOW);
    }
  });

  test("the control: whoever just reads such a file waits, or reads on and on", () => {
    const folder = new Folder();
    roots.push(folder);
    const [fifo, endless] = [join(folder.path, "fifo"), join(folder.path, "endless")];
    Bun.spawnSync(["mkfifo", fifo]);
    Bun.spawnSync(["truncate", "-s", "1T", endless]);
    for (const path of [fifo, endless]) {
      const { signalCode } = Bun.spawnSync(["cat", path], { timeout: 500, stdout: "ignore" });
      expect([path, signalCode]).toEqual([path, "SIGTERM"]);
    }
  });

  attack("a file is not bound on a directory, nor the other way round", async () => {
    const root = hostile();
    const [file, directory] = [outside.write("a-file"), outside.directory("a-directory")];
    for (const [source, target] of [
      [file, "/etc"],
      [directory, "/etc/passwd"],
    ] as const) {
      const error = await failureOf(() => sh(root, "true", { mounts: [{ type: "bind", source, target }] }));
      expect([error.code, error.path]).toEqual(["mount_failed", target]);
      expect(error.hint).toContain("the mount point is not");
    }
  });
});

describe("mounting from inside", () => {
  testUnless(notRoot, "a bound directory with rslave tells the host nothing of what is mounted in it", async () => {
    const source = outside.directory("slave/below");
    const before = hostMounts();
    const { stdout } = await runChanged(
      ["/bin/sh", "-c", "mount -t tmpfs none /in/below && grep -c ' /in/below ' /proc/mounts"],
      {
        rootfs: hostile().path,
        mounts: [{ type: "bind", source: join(source, ".."), target: "/in", propagation: "rslave" }],
        security: { seccomp: "none", capabilities: ["SYS_ADMIN"] },
      },
      {},
    );
    expect([stdout, hostMounts()]).toEqual(["1\n", before]);
  });

  const again =
    "mount -o remount,bind,rw /in 2>/dev/null && echo remounted; echo after >/in/file 2>/dev/null && echo written; cat /in/file";
  const remounted = async (security: RunOptions["security"]) => {
    const source = outside.directory("read-only");
    outside.write("read-only/file", "before\n", 0o666);
    const mounts: MountOption[] = [{ type: "bind", source, target: "/in", readOnly: true }];
    return (await sh(hostile(), again, { mounts, security: security ?? {} })).stdout;
  };

  attack("a read-only mount cannot be made writable again, without the capability or with the filter", async () => {
    expect(await remounted({})).toBe("before\n");
    expect(await remounted({ seccomp: "none" })).toBe("before\n");
    expect(await remounted({ capabilities: ["DAC_OVERRIDE"], seccomp: "none" })).toBe("before\n");
  });

  testUnless(notRoot, "the control: with CAP_SYS_ADMIN and no filter it can", async () => {
    expect(await remounted({ capabilities: ["SYS_ADMIN"], seccomp: "none" })).toBe("remounted\nwritten\nafter\n");
  });
});
