/** Mounts that a request adds: what their options come to. @module */
import { afterAll, describe, expect } from "bun:test";
import { chmodSync, existsSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { Sandbox, type MountOption, type RunOptions } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, noLimits, notRoot, testUnless } from "./support/machine.ts";
import { descendants, descriptors, eventually, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";
import { shellIn } from "./support/shell.ts";
import { runChanged } from "./support/unprotected.ts";

const root = makeRootfs();
const outside = new Folder();
const closed: string[] = [];
afterAll(() => {
  for (const path of closed) chmodSync(path, 0o700);
  [root, outside].forEach((folder) => folder.remove());
});

const sh = shellIn(root);

/** Runs lines of a program whose mounts nobody else sees. */
function inMountNamespace(propagation: string, body: string): string {
  const script = outside.script(`
    const { execSync } = require("node:child_process");
    const host = (line) => execSync(line, { encoding: "utf8" }).trim();
    const rootfs = ${JSON.stringify(root.path)};
    const sh = async (line, mounts, more = {}) => {
      const { stdout, stderr } = await Sandbox.run(["/bin/sh", "-c", line], { rootfs, mounts, ...more });
      return (stdout + stderr).trim();
    };
    ${body}`);
  const line = `mount -t tmpfs none /mnt && mount --make-rshared /mnt && exec ${process.execPath} ${script}`;
  const { stdout, stderr } = Bun.spawnSync(["unshare", "--mount", "--propagation", propagation, "sh", "-c", line]);
  expect(stderr.toString()).toBe("");
  return stdout.toString().trim();
}

describe("a bound directory with a mount below it", () => {
  const write = "touch /in/top 2>/dev/null && echo top; touch /in/below/x 2>/dev/null && echo below; true";
  const set = 'host("mkdir -p /mnt/a/below; mount -t tmpfs -o mode=777 none /mnt/a/below; chmod 777 /mnt/a");';
  const cases: [what: string, more: Partial<MountOption>, written: string][] = [
    ["can be written", {}, "top\nbelow"],
    ["is read-only all the way down", { readOnly: true }, ""],
    ["with an exception, is read-only at the top", { readOnly: true, recursive: "writable" }, "below"],
  ];
  for (const [what, more, written] of cases) {
    testUnless(notRoot, what, () => {
      const mount = JSON.stringify({ type: "bind", source: "/mnt/a", target: "/in", ...more });
      expect(inMountNamespace("private", `${set} console.log(await sh(${JSON.stringify(write)}, [${mount}]));`)).toBe(
        written,
      );
    });
  }

  testUnless(notRoot, "without it, where that is wanted", () => {
    const mount = '{ type: "bind", source: "/mnt/a", target: "/in", recursive: false }';
    const out = inMountNamespace(
      "private",
      `${set} host("touch /mnt/a/below/file"); console.log(await sh("ls /in/below | wc -l; ls /in", [${mount}]));`,
    );
    expect(out).toBe("0\nbelow");
  });
});

describe("propagation", () => {
  const later = (propagation: string) =>
    inMountNamespace(
      "private",
      `host("mkdir -p /mnt/a/later");
       await using box = await Sandbox.create({ rootfs, mounts: [{ type: "bind", source: "/mnt/a", target: "/in", propagation: "${propagation}" }] });
       host("mount -t tmpfs -o mode=777 none /mnt/a/later; touch /mnt/a/later/file");
       console.log(await new Response(box.spawn(["ls", "/in/later"]).stdout).text());`,
    );
  testUnless(notRoot, "what the host mounts later is seen with rslave", () => {
    expect(later("rslave")).toBe("file");
  });
  testUnless(notRoot, "and not otherwise", () => {
    expect(later("rprivate")).toBe("");
  });

  /** Mounts inside, with the capability; the filter would refuse it. */
  const mountsInside = (propagation: string) =>
    inMountNamespace(
      "private",
      `host("mkdir -p /mnt/a/new");
       await using box = await Sandbox.create({ rootfs, namespaces: { user: "host" }, security: { seccomp: "none", capabilities: ["SYS_ADMIN"] },
         mounts: [{ type: "bind", source: "/mnt/a", target: "/in", propagation: "${propagation}" }] });
       const inside = box.spawn(["mount", "-t", "tmpfs", "none", "/in/new"]);
       console.log(await inside.exited, host("grep -c ' /mnt/a/new ' /proc/self/mounts || true"));`,
    );
  testUnless(notRoot, "what is mounted inside reaches the host with rshared alone", () => {
    expect(["rshared", "rslave", "rprivate"].map(mountsInside)).toEqual(["0 1", "0 0", "0 0"]);
  });
});

describe("where there is a mount anyway", () => {
  const shm = (mount: MountOption, more: RunOptions = {}) =>
    Sandbox.run(["sh", "-c", "grep -c ' /dev/shm ' /proc/mounts; ls -A /dev/shm; df -k /dev/shm | tail -n 1"], {
      mounts: [mount],
      ...more,
    });

  testUnless(noBusybox, "/dev/shm is what is mounted on it", async () => {
    const source = outside.directory("shm");
    outside.write("shm/found", "");
    for (const more of [{ rootfs: root.path }, {}]) {
      const own = await shm({ type: "tmpfs", target: "/dev/shm", size: "3mb" }, more);
      expect([own.stderr, own.stdout]).toEqual(["", expect.stringMatching(/ 3072 /)]);
      const bound = await shm({ type: "bind", source, target: "/dev/shm/" }, more);
      expect([bound.stderr, bound.stdout]).toEqual(["", expect.stringContaining("found\n")]);
    }
  });

  testUnless(noBusybox, "a file cannot be, where that is a directory", async () => {
    for (const target of ["/tmp", "/dev/shm"]) {
      const failure = await failureOf(() => shm({ type: "bind", source: "/etc/passwd", target }));
      expect([failure.code, failure.hint]).toEqual(["mount_failed", "the source is a file, the mount point is not"]);
    }
  });
});

describe("options of a bind mount", () => {
  testUnless(noBusybox, "noExec: nothing in it is executed", async () => {
    const source = outside.directory("programs");
    outside.write("programs/run", "#!/bin/sh\necho ran\n", 0o755);
    const run = (noExec: boolean) =>
      sh("/in/run 2>/dev/null || echo refused", { mounts: [{ type: "bind", source, target: "/in", noExec }] });
    expect([await run(false), await run(true)]).toEqual(["ran", "refused"]);
  });

  testUnless(noBusybox, "create: a source that is not there is made; a plan makes nothing", async () => {
    const source = join(outside.path, "made/by/it");
    const options: RunOptions = {
      rootfs: root.path,
      mounts: [{ type: "bind", source, target: "/in", create: true }],
    };
    expect(Sandbox.plan(["true"], options)).toContain(`mkdirat(AT_FDCWD, "${source}"`);
    expect(existsSync(source)).toBe(false);
    expect(await sh("echo x >/in/x; ls /in", options)).toBe("x");
    expect(readdirSync(source)).toEqual(["x"]);
    expect(statSync(source).uid).toBe(process.geteuid?.() ?? -1);
    expect(await sh("ls /in", options)).toBe("x");
  });

  testUnless(noBusybox, "create, below a file: an error, and nothing else is made", async () => {
    const file = outside.write("file");
    const mounts: MountOption[] = [{ type: "bind", source: `${file}/below`, target: "/in", create: true }];
    const error = await failureOf(() => sh("true", { mounts }));
    expect([error.code, error.path]).toEqual(["mount_failed", `${file}/below`]);
  });
});

describe("devices", () => {
  testUnless(noBusybox, "one of the host's is there, under the name that is asked for", async () => {
    const devices = [
      "/dev/zero",
      { source: "/dev/zero", target: "/dev/nought" },
      { source: "/dev/full", target: "/x/full" },
    ];
    const wanted = devices.slice(1);
    const line =
      "head -c 3 /dev/nought | od -An -tx1; (echo x >/x/full) 2>/dev/null || echo full; ls -l /dev/nought | cut -c1";
    expect(await sh(line, { devices: wanted })).toBe("00 00 00\nfull\nc");
  });

  testUnless(noBusybox, "what is none, or is not there, is an error", async () => {
    const file = outside.write("plain");
    for (const device of [file, outside.path, "/dev/none-such"]) {
      const error = await failureOf(() => sh("true", { devices: [device] }));
      expect([error.code, error.path]).toEqual(["mount_failed", device]);
    }
  });

  const device = ["/dev/loop-control", "/dev/fuse", "/dev/net/tun"].find((path) => existsSync(path));
  const noDevice = device === undefined ? "no device to try it with" : undefined;
  testUnless(noLimits ?? notRoot ?? noDevice, "can be read, or written, as far as it is said", async () => {
    const line = `(: <${device}) 2>/dev/null && echo read; (: >>${device}) 2>/dev/null && echo written; true`;
    const opened = (access?: string) =>
      sh(line, {
        devices: [{ source: device as string, ...(access === undefined ? {} : { access }) }],
        namespaces: { user: "host" }, // or its mode lets nobody in
      });
    expect([await opened(), await opened("r"), await opened("w"), await opened("rw")]).toEqual([
      "read\nwritten",
      "read",
      "written",
      "read\nwritten",
    ]);
  });

  testUnless(noBusybox, "a file can be bound in /dev, too", async () => {
    const source = outside.write("log", "hello\n");
    expect(await sh("cat /dev/log", { mounts: [{ type: "bind", source, target: "/dev/log" }] })).toBe("hello");
  });
});

testUnless(noBusybox, "/dev/shm has the size that is asked for", async () => {
  const size = (shmSize?: string) => sh("stat -f -c '%b %S' /dev/shm", shmSize ? { shmSize } : {});
  expect(await size()).toBe(`${(64 * 1024 * 1024) / 4096} 4096`);
  expect(await size("1m")).toBe("256 4096");
});

testUnless(noBusybox, "there is no /dev/shm in an IPC namespace without, and the namespace is its own", async () => {
  const look = "ls -d /dev/mqueue /dev/shm 2>/dev/null; readlink /proc/self/ns/ipc";
  const lines = (await sh(look, { namespaces: { ipc: "none" } })).split("\n");
  expect(lines).toEqual(["/dev/mqueue", expect.stringMatching(/^ipc:/)]);
  expect(lines[1]).not.toBe(readlinkSync("/proc/self/ns/ipc"));
});

testUnless(notRoot, "a tmpfs is whose it is said to be, and of nobody that the sandbox does not know", async () => {
  const mount = { type: "tmpfs", target: "/data", mode: 0o750 } as const;
  const look = (uid: number, gid: number) => sh("stat -c '%u:%g %a' /data", { mounts: [{ ...mount, uid, gid }] });
  expect(await look(1000, 5)).toBe("1000:5 750");
  expect((await failureOf(() => look(4_000_000_000, 5))).hint).toContain("an id is none of the user namespace");
  expect((await failureOf(() => look(-1, 5))).code).toBe("invalid_option");
});

describe("a writable layer in a directory", () => {
  /** The work directory of an overlay lets nobody in, and so keeps an ordinary user from removing it. */
  const layerNamed = (name: string): string => {
    const path = outside.directory(name);
    closed.push(join(path, "work/work"));
    return path;
  };

  testUnless(noBusybox, "keeps what is written and what is removed; the root filesystem stays as it is", async () => {
    const writableLayer = layerNamed("layer");
    const before = readdirSync(join(root.path, "etc"));
    await sh("echo kept >/etc/new; rm /etc/group; mkdir -p /a/b", { writableLayer });
    expect(await sh("cat /etc/new; ls /etc; ls -d /a/b", { writableLayer })).toBe("kept\nnew\npasswd\n/a/b");
    expect(readdirSync(join(root.path, "etc"))).toEqual(before);
    // what is in it belongs outside to the numbers that it has inside, or to the user
    const { uid } = statSync(join(writableLayer, "upper/etc/new"));
    expect(uid).toBe(process.geteuid?.() ?? -1);
    expect(await sh("ls /etc")).toBe("group\npasswd");
  });

  testUnless(noBusybox, "is for one sandbox at a time, and free when that is gone, however", async () => {
    const writableLayer = layerNamed("busy");
    const box = await Sandbox.create({ rootfs: root.path, writableLayer });
    const error = await failureOf(() => sh("true", { writableLayer }));
    expect([error.code, error.path, error.message]).toEqual([
      "mount_failed",
      writableLayer,
      `use the writableLayer "${writableLayer}": another sandbox does`,
    ]);
    await box.stop();
    await sh("true", { writableLayer });
    await failureOf(() => sh("true", { writableLayer, mounts: [{ type: "tmpfs", target: "/etc/passwd" }] }));
    await sh("true", { writableLayer });
    const owner = Bun.spawn([
      process.execPath,
      outside.script(
        `await Sandbox.create({ rootfs: ${JSON.stringify(root.path)}, writableLayer: ${JSON.stringify(writableLayer)} }); console.log("up"); await Bun.sleep(60_000);`,
      ),
    ]);
    await owner.stdout.getReader().read();
    expect((await failureOf(() => sh("true", { writableLayer }))).code).toBe("mount_failed");
    owner.kill("SIGKILL");
    await owner.exited;
    await sh("true", { writableLayer });
    expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
  });

  testUnless(noBusybox, "that cannot be one is an error", async () => {
    using hostile = new Folder();
    const inside = hostile.directory("root/layer");
    hostile.directory("root/bin");
    hostile.link("link", inside);
    const cases: [options: RunOptions, message: string][] = [
      [{ writableLayer: join(hostile.path, "none") }, "no such directory"],
      [{ writableLayer: hostile.write("file") }, "no such directory"],
      [{ writableLayer: "" }, "empty"],
      [{ rootfs: join(hostile.path, "root"), writableLayer: inside }, "in the other"],
      [{ rootfs: join(hostile.path, "root"), writableLayer: join(hostile.path, "link") }, "in the other"],
      [{ rootfs: join(hostile.path, "root"), writableLayer: hostile.path }, "in the other"],
      [{ rootfs: "host", writableLayer: inside }, "a view of the host"],
      [{ writableLayer: inside, security: { readOnly: true } }, "readOnly"],
      [{ writableLayer: inside, limits: { disk: "1mb" } }, "limits.disk"],
      [{ writableLayer: 7 as never }, "not a string"],
    ];
    for (const [options, message] of cases) {
      const error = await failureOf(() => Sandbox.run(["true"], { rootfs: root.path, ...options }));
      expect(["invalid_option", "mount_failed"]).toContain(error.code);
      expect(error.message).toContain(message);
    }
    expect(readdirSync(inside)).toEqual([]);
  });
});

describe("a volume of another sandbox", () => {
  const make = () => Sandbox.create({ rootfs: root.path, mounts: [{ type: "tmpfs", target: "/data", mode: 0o777 }] });
  const inBox = async (box: Sandbox, line: string) =>
    (await new Response(box.spawn(["/bin/sh", "-c", line]).stdout).text()).trim();

  testUnless(noBusybox, "is seen by both, and stays when either has gone", async () => {
    const before = descriptors().size;
    const first = await make();
    await inBox(first, "echo one >/data/file");
    const second = await Sandbox.create({
      rootfs: root.path,
      mounts: [{ type: "volume", source: await first.volume("/data"), target: "/shared" }],
    });
    expect(await inBox(second, "cat /shared/file; echo two >>/shared/file")).toBe("one");
    expect(await inBox(first, "cat /data/file")).toBe("one\ntwo");
    const third = await second.volume("/shared");
    await first.stop();
    await second.stop();
    const mounts: MountOption[] = [{ type: "volume", source: third, target: "/data", readOnly: true }];
    expect(await sh("cat /data/file; touch /data/x 2>/dev/null || echo read-only", { mounts })).toBe(
      "one\ntwo\nread-only",
    );
    expect(await eventually(() => descriptors().size <= before)).toBe(true);
  });

  testUnless(noBusybox, "is for one sandbox, and once", async () => {
    await using box = await make();
    const source = await box.volume("/data");
    const mounts: MountOption[] = [{ type: "volume", source, target: "/a" }];
    const twice = await failureOf(() => sh("true", { mounts: [...mounts, { type: "volume", source, target: "/b" }] }));
    expect([twice.code, source.open]).toEqual(["invalid_option", true]);
    expect(Sandbox.plan(["true"], { mounts })).toContain("volume for /a");
    await sh("true", { mounts });
    expect(source.open).toBe(false);
    expect((await failureOf(() => sh("true", { mounts }))).hint).toContain("box.volume");
    const auto = await failureOf(() => sh("true", { mounts, namespaces: { user: "auto" } }));
    expect(auto.code).toBe("invalid_option");
  });

  testUnless(noBusybox, "is a directory inside, whatever symlinks say", async () => {
    await using box = await make();
    await inBox(
      box,
      `ln -s ${outside.path} /data/out; ln -s /etc /data/in; ln -s /proc/self/cwd /data/magic; echo >/data/f`,
    );
    for (const path of ["/none", "/data/out", "/data/f", "/data/magic", "/data/f/x"]) {
      const error = await failureOf(() => box.volume(path));
      expect([error.code, error.path]).toEqual(["mount_failed", path]);
    }
    using etc = await box.volume("/data/in");
    expect(await sh("ls /e", { mounts: [{ type: "volume", source: etc, target: "/e" }] })).toBe("group\npasswd");
    expect((await failureOf(() => box.volume("data"))).code).toBe("invalid_option");
    await box.stop();
    expect((await failureOf(() => box.volume("/data"))).code).toBe("sandbox_closed");
  });

  testUnless(noBusybox, "that is none is an error", async () => {
    for (const source of ["/data", { path: "/data" }, undefined, 7]) {
      const mounts = [{ type: "volume", source, target: "/a" }] as never;
      expect((await failureOf(() => sh("true", { mounts }))).code).toBe("invalid_option");
    }
  });
});

describe("control groups inside", () => {
  const target = "/sys/fs/cgroup";
  const limit = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true";

  testUnless(noLimits, "a program finds its limits there, and changes none of them", async () => {
    const options: RunOptions = { mounts: [{ type: "cgroup", target }], limits: { memory: "64mb" } };
    const line = `${limit}; for f in /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max; do (echo 1g >$f) 2>/dev/null && echo changed; done; true`;
    expect(await sh(line, options)).toBe(String(64 * 1024 * 1024));
    // also where it may mount, and has every right inside
    const security = { seccomp: "none" as const, capabilities: ["SYS_ADMIN", "DAC_OVERRIDE"] };
    expect(await sh("touch /sys/fs/cgroup/x 2>/dev/null || echo read-only", { ...options, security })).toBe(
      "read-only",
    );
  });

  testUnless(noBusybox, "of the host's cgroup namespace are refused", async () => {
    const options: RunOptions = { mounts: [{ type: "cgroup", target }], namespaces: { cgroup: "host" } };
    expect((await failureOf(() => sh("true", options))).code).toBe("invalid_option");
  });
});

describe("options of the specification, in a sandbox", () => {
  const options = (spec: string[], type = "tmpfs") =>
    runChanged(
      ["/bin/sh", "-c", "grep ' /in ' /proc/self/mountinfo | cut -d' ' -f6-; true"],
      { rootfs: root.path },
      { spec: ({ mounts }) => void mounts.push({ destination: "/in", type, source: type, options: spec }) },
    );

  testUnless(noBusybox, "attributes are those of the mount", async () => {
    const { stdout } = await options(["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "nosymfollow"]);
    expect(stdout).toMatch(/^ro,nosuid,nodev,noexec,noatime,nodiratime,nosymfollow - tmpfs/);
  });

  testUnless(
    noBusybox,
    "the others are the file system's: sync, lazytime, and what it does not know is an error",
    async () => {
      expect((await options(["sync", "dirsync", "mode=700"])).stdout).toMatch(/- tmpfs \S+ rw,sync,dirsync,.*mode=700/);
      expect((await options(["lazytime"])).stdout).toMatch(/lazytime/);
      const error = await failureOf(() => options(["nosuchthing"]));
      expect([error.code, error.message.split(": ").at(-1)]).toEqual(["mount_failed", "EINVAL"]);
      expect(error.hint).toContain("nosuchthing");
    },
  );

  testUnless(noBusybox, "shared and unbindable, and a root that passes mounts on", async () => {
    expect((await options(["shared"])).stdout).toContain("shared:");
    expect((await options(["unbindable"])).stdout).toContain("unbindable");
    expect((await options(["private"])).stdout).not.toContain("shared:");
    const { stdout } = await runChanged(
      ["/bin/sh", "-c", "grep ' / / ' /proc/self/mountinfo"],
      { rootfs: root.path },
      { spec: ({ linux }) => void (linux.rootfsPropagation = "shared") },
    );
    expect(stdout).toContain("shared:");
  });

  testUnless(noBusybox, "tmpcopyup: what lies at the mount point is there, and stays as it is below", async () => {
    root.write("full/a/file", "from the root filesystem\n");
    root.directory("full", 0o750);
    root.directory("empty", 0o700);
    const before = readdirSync(join(root.path, "full"));
    const copied = (line: string, more: string[] = []) =>
      runChanged(
        ["/bin/sh", "-c", line],
        { rootfs: root.path },
        {
          spec: ({ mounts }) =>
            void mounts.push({
              destination: "/full",
              type: "tmpfs",
              source: "tmpfs",
              options: ["tmpcopyup", "size=1m", ...more],
            }),
        },
      );
    const { stdout } = await copied(
      "cat /full/a/file; stat -c %a /full; echo new >/full/a/file; cat /full/a/file; ls /full",
    );
    expect(stdout).toBe("from the root filesystem\n750\nnew\na\n");
    expect([readdirSync(join(root.path, "full")), await sh("cat /full/a/file")]).toEqual([
      before,
      "from the root filesystem",
    ]);
    const full =
      "stat -c %a /full; head -c 2000000 /dev/zero >/full/big 2>/dev/null || echo full; touch /full/x 2>/dev/null || echo read-only";
    expect((await copied(full, ["mode=1777", "noexec"])).stdout).toBe("1777\nfull\n");
    expect((await copied("touch /full/x 2>/dev/null || echo read-only; cat /full/a/file", ["ro"])).stdout).toBe(
      "read-only\nfrom the root filesystem\n",
    );
    const inNothing = await runChanged(
      [
        "/bin/sh",
        "-c",
        "for at in /none-such /empty; do ls -A $at; stat -c %a $at; done; grep -E 'none-such|/empty' /proc/mounts",
      ],
      { rootfs: root.path },
      {
        spec: ({ mounts }) =>
          void mounts.push(
            { destination: "/none-such", type: "tmpfs", options: ["tmpcopyup", "size=64k", "ro", "noexec"] },
            { destination: "/empty", type: "tmpfs", options: ["tmpcopyup", "nodev", "mode=1777"] },
          ),
      },
    );
    const [unnamed, inEmpty, ...lines] = inNothing.stdout.trimEnd().split("\n");
    expect([unnamed, inEmpty]).toEqual(["755", "1777"]);
    expect(
      lines.map((line) =>
        line
          .split(" ")
          .slice(1, 4)
          .join(" ")
          .replace(/,(size|uid|inode64).*/, ""),
      ),
    ).toEqual(["/none-such tmpfs ro,noexec,relatime", "/empty tmpfs rw,nodev,relatime"]);
  });

  testUnless(noBusybox, "remount changes what is there, and nothing else", async () => {
    const { stdout } = await runChanged(
      [
        "/bin/sh",
        "-c",
        "grep ' /dev/shm ' /proc/self/mountinfo | cut -d' ' -f6; touch /dev/shm/x 2>/dev/null || echo refused",
      ],
      { rootfs: root.path },
      { spec: ({ mounts }) => void mounts.push({ destination: "/dev/shm", options: ["remount", "ro"] }) },
    );
    expect(stdout).toBe("ro,nosuid,nodev,noexec,relatime\nrefused\n");
    const error = await failureOf(() =>
      runChanged(
        ["/bin/true"],
        { rootfs: root.path },
        { spec: ({ mounts }) => void mounts.push({ destination: "/etc", options: ["remount", "ro"] }) },
      ),
    );
    expect([error.code, error.path, error.hint]).toEqual(["mount_failed", "/etc", "nothing is mounted there"]);
  });
});

testUnless(
  noBusybox,
  "one directory of a source and then another: a sandbox has what it asked for, not what the last did",
  async () => {
    for (const name of ["first", "second"]) outside.write(`source/${name}/file`, name);
    for (const subpath of ["first", "second", "first"]) {
      const mounts: MountOption[] = [
        { type: "bind", source: join(outside.path, "source"), target: "/in", subpath, readOnly: true },
      ];
      const { stdout, stderr } = await Sandbox.run(["/bin/sh", "-c", "cat /in/file"], { rootfs: root.path, mounts });
      expect([stderr, stdout]).toEqual(["", subpath]);
    }
  },
);

describe("a file of the sandbox's own", () => {
  testUnless(noBusybox, "has the content, mode and owner that were asked for, and is not written", async () => {
    const mounts: MountOption[] = [
      { type: "file", target: "/etc/motd", content: "hello\n" },
      { type: "file", target: "/run/token", content: new Uint8Array([65, 0, 66]), mode: 0o400 },
      { type: "file", target: "/bin/program", content: "#!/bin/sh\necho ran\n", mode: 0o755 },
    ];
    const line = "cat /etc/motd; od -An -tx1 /run/token; stat -c '%a %u:%g' /run/token /etc/motd; program";
    expect(await sh(line, { mounts })).toBe("hello\n 41 00 42\n400 0:0\n644 0:0\nran");
    expect(await sh("(echo x > /etc/motd; rm /etc/motd) 2> /dev/null; cat /etc/motd", { mounts })).toBe("hello");
    expect(existsSync(join(root.path, "run/token"))).toBe(false);
  });

  testUnless(noBusybox, "of half a megabyte is whole", async () => {
    const mounts: MountOption[] = [{ type: "file", target: "/big", content: new Uint8Array(500_000).fill(120) }];
    expect(await sh("wc -c < /big; tr -d x < /big | wc -c", { mounts })).toBe("500000\n0");
  });

  testUnless(noBusybox, "can be another's, where there are others", async () => {
    const mounts: MountOption[] = [{ type: "file", target: "/f", content: "x", uid: 1000, gid: 1001, mode: 0o440 }];
    const options = { mounts, namespaces: { user: "auto" as const } };
    const result = await sh("stat -c '%a %u:%g' /f", options).catch((error: { code: string }) => error.code);
    // a user without subordinate ids has no others
    expect(result).toBeOneOf(["440 1000:1001", "permission_denied", "unsupported"]);
  });

  testUnless(noBusybox, "is refused where it is too long, or is none", async () => {
    const bad = [
      { content: 1 },
      { content: new Uint8Array(2 ** 20 + 1) },
      { content: "", mode: 0o1777 },
      { content: "", uid: -1 },
    ];
    for (const each of bad) {
      const mounts = [{ type: "file", target: "/f", ...each } as MountOption];
      expect((await failureOf(() => sh("true", { mounts }))).code).toBe("invalid_option");
    }
  });
});

testUnless(noBusybox, "a mount over the whole of /proc or /sys is told to be what is wrong", async () => {
  for (const target of ["/proc", "/sys"]) {
    const failed = await failureOf(() => sh("true", { mounts: [{ type: "tmpfs", target }] }));
    expect([failed.code, failed.hint]).toEqual(["mount_failed", expect.stringContaining(`mounted over "${target}"`)]);
  }
});
