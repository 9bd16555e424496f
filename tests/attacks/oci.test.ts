/** Attacks by bundles, and by processes of OCI containers. @module */
import { afterAll, beforeEach, describe, expect } from "bun:test";
import { existsSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { join } from "node:path";
import { inGuest, noBusybox, notRoot, testUnless } from "../support/machine.ts";
import { bundleIn, ociAs, ociIn, runtimeIn } from "../support/oci.ts";
import { adoptOrphans, eventually, reapOrphans } from "../support/processes.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";
import { runContainer } from "../support/unprotected-container.ts";
import { inTurn, insertBefore, withoutStep } from "../support/unprotected.ts";
import { acceptSocket, close, cstring, Directory, listenIn, named, receiveDescriptor } from "../../syscalls/index.ts";

const folder = new Folder();
const rootfs = makeRootfs();
const runtime = runtimeIn(folder);
const oci = ociIn(runtime);
const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const attackAsRoot = (name: string, body: () => unknown) => testUnless(notRoot, name, body);

adoptOrphans();
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));
beforeEach(() => {
  rmSync(runtime.root, { recursive: true, force: true });
  reapOrphans();
});

const sh = (line: string, changes: Record<string, unknown> = {}, root = rootfs) =>
  bundleIn(folder, root.path, ["/bin/sh", "-c", line], changes);
const create = (id: string, bundle: string) =>
  ociAs({ leaves: true }, "--root", runtime.root, "create", "--bundle", bundle, id);
const masking = (...maskedPaths: string[]) => {
  return { linux: { ...linuxOf(sh("true")), maskedPaths } };
};
const linuxOf = (bundle: string) =>
  (JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as { linux: object }).linux;
const VERSION = "/proc/version";
const AT_FDCWD = named("AT_FDCWD", -100);

describe("a masked path", () => {
  const show = sh(`cat ${VERSION}`, masking(VERSION));

  attack("shows nothing", async () => {
    expect(oci("run", "-b", show, "m")).toEqual({ status: 0, stdout: "", stderr: "" });
    const [shown] = await runContainer(show, withoutStep(`mask "${VERSION}"`));
    expect(shown).toStartWith("Linux");
  });

  attack("is not covered by what the bundle has for /dev/null (CVE-2025-31133)", async () => {
    using hostile = makeRootfs();
    hostile.link("dev/null", "/proc/sys/kernel/ostype");
    const bundle = sh(`cat ${VERSION}`, masking(VERSION), hostile);
    expect(oci("run", "-b", bundle, "n")).toEqual({ status: 0, stdout: "", stderr: "" });
    const CLONE = named("OPEN_TREE_CLONE|OPEN_TREE_CLOEXEC", 0o2000001);
    const trusting = inTurn(
      withoutStep("open a cover for files"),
      // "make the links of /dev" has given it a node by then
      withoutStep('make the device "/dev/null"'),
      insertBefore(`mask "${VERSION}"`, {
        call: "open_tree",
        args: [AT_FDCWD, cstring("/dev/null"), CLONE],
        out: "mask of files",
      }),
    );
    const [shown] = await runContainer(bundle, trusting);
    expect(shown).toBe("Linux\n");
  });

  attack("may be one that a symlink leads to, which stays inside", () => {
    using hostile = makeRootfs();
    const outside = folder.write("outside", "of the host\n");
    hostile.link("way", outside);
    // there is no such file inside: nothing is covered, and the host's least of all
    expect(oci("run", "-b", sh("true", masking("/way"), hostile), "l")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(new TextDecoder().decode(Bun.spawnSync(["cat", outside]).stdout)).toBe("of the host\n");
  });
});

describe("a mount point", () => {
  attack("behind a symlink to the host is inside, or nowhere", () => {
    using hostile = makeRootfs();
    const outside = folder.directory("target");
    hostile.link("way", outside);
    const mounts = [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/way/made", type: "tmpfs", source: "tmpfs" },
    ];
    const { status, stderr } = oci("run", "-b", sh("grep -q /made /proc/self/mountinfo", { mounts }, hostile), "p");
    if (status !== 0) expect(stderr).toContain("the mount point does not exist");
    expect(existsSync(join(outside, "made"))).toBe(false);
  });
});

/** More are open neither in the creator nor in what joins. */
const LAST_FD = inGuest ? 8 : 16;

describe("the working directory", () => {
  attack("is no descriptor of the host's (CVE-2024-21626)", () => {
    for (let fd = 3; fd < LAST_FD; fd++) {
      const process = {
        user: { uid: 0, gid: 0 },
        args: ["/bin/sh", "-c", "ls"],
        env: ["PATH=/bin"],
        cwd: `/proc/self/fd/${fd}`,
      };
      const { status, stderr } = oci("run", "-b", sh("", { process }), `w${fd}`);
      expect([fd, status, stderr]).toEqual([fd, 1, expect.stringContaining("working directory") as string]);
    }
  });

  attack("neither of a process that joins", () => {
    expect(create("x", sh("sleep 100"))).toMatchObject({ status: 0 });
    expect(oci("start", "x")).toMatchObject({ status: 0 });
    for (let fd = 3; fd < LAST_FD; fd++)
      expect(oci("exec", "--cwd", `/proc/self/fd/${fd}`, "x", "/bin/ls").status).toBe(255);
    expect(oci("delete", "--force", "x")).toMatchObject({ status: 0 });
  });
});

describe("a container that waits", () => {
  attack("cannot be looked into from inside, whoever joins it", async () => {
    expect(create("v", sh("sleep 100"))).toMatchObject({ status: 0 });
    const look = ["exec", "v", "/bin/sh", "-c", "cat /proc/1/environ > /tmp/environ; ls /proc/1/fd"];
    expect(oci(...look).stderr).toMatch(/permission denied/i);
    expect(oci("start", "v")).toMatchObject({ status: 0 });
    // the command itself may be
    expect(await eventually(() => oci(...look).status === 0)).toBe(true);
    expect(oci("delete", "--force", "v")).toMatchObject({ status: 0 });
  });

  attack("leaves its command no descriptor of its own", async () => {
    const bundle = sh("ls /proc/self/fd");
    expect(oci("run", "-b", bundle, "fds").stdout.trim().split("\n")).toEqual(["0", "1", "2", "3"]); // ls's own
    // one that was left would be seen
    const left = insertBefore('execute "/bin/sh"', { call: "openat", args: [AT_FDCWD, cstring("/"), 0, 0] });
    expect((await runContainer(bundle, left))[0].trim().split("\n").length).toBeGreaterThan(4);
  });
});

describe("devices", () => {
  const line = "mknod /tmp/disk b 7 0 && : < /tmp/disk; rm -f /tmp/disk";
  const all = ["CAP_MKNOD", "CAP_DAC_OVERRIDE"];
  const process = {
    user: { uid: 0, gid: 0 },
    args: ["/bin/sh", "-c", line],
    env: ["PATH=/bin"],
    cwd: "/",
    capabilities: { bounding: all, effective: all, permitted: all },
  };
  const linux = linuxOf(sh("true"));

  attackAsRoot("of the host cannot be opened, even by who may make their nodes", () => {
    expect(oci("run", "-b", sh("", { process }), "dev").stderr).toMatch(/disk: operation not permitted/i);
    const allowed = { ...linux, resources: { devices: [{ allow: true, access: "rwm" }] } };
    const { stderr } = oci("run", "-b", sh("", { process, linux: allowed }), "dev");
    expect(stderr).not.toMatch(/operation not permitted/i);
  });
});

describe("the agent that a profile names", () => {
  for (const [what, syscalls] of [
    ["that asks", [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }]],
    ["that never asks", []],
  ] as const) {
    attack(`gets the listener of a filter ${what}, and nothing that the container has open`, () => {
      using directory = Directory.open(folder.path) as Directory;
      const socket = listenIn(directory.fd, "agent.sock");
      const seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerPath: join(folder.path, "agent.sock"), syscalls };
      const bundle = sh("echo done", { linux: { ...linuxOf(sh("true")), seccomp } });
      expect(oci("run", "-b", bundle, "agent")).toEqual({ status: 0, stdout: "done\n", stderr: "" });
      const connection = acceptSocket(socket);
      const received = receiveDescriptor(connection);
      expect(readlinkSync(`/proc/self/fd/${received}`)).toBe("anon_inode:seccomp notify");
      [received, connection, socket].forEach(close);
      rmSync(join(folder.path, "agent.sock"));
    });
  }
});

describe("an agent that is not there", () => {
  attack("is told of, and nothing is started without it", () => {
    const listenerPath = join(folder.path, "nobody.sock");
    const syscalls = [{ names: ["mkdir"], action: "SCMP_ACT_NOTIFY" }];
    const seccomp = { defaultAction: "SCMP_ACT_ALLOW", listenerPath, syscalls };
    const bundle = sh("echo ran", { linux: { ...linuxOf(sh("true")), seccomp } });
    const ran = oci("run", "-b", bundle, "alone");
    expect([ran.status, ran.stdout]).toEqual([1, ""]);
    expect(ran.stderr).toContain("failed to connect with seccomp agent");
    expect(existsSync(join(runtime.root, "alone"))).toBe(false);
    // one that waits is no use to anybody then, and is not waited for
    expect(create("waits", bundle)).toMatchObject({ status: 0 });
    expect(oci("start", "waits").stderr).toContain("failed to connect with seccomp agent");
    expect(JSON.parse(oci("state", "waits").stdout)).toMatchObject({ status: "stopped" });
    expect(oci("delete", "waits").status).toBe(0);
  });
});

describe("a pid file", () => {
  attack("is written through no symlink of whoever may write beside it", () => {
    const precious = folder.write("precious-file", "kept");
    const file = join(folder.path, "container.pid");
    folder.link("container.pid", precious);
    folder.link(".container.pid", precious);
    expect(oci("run", "--pid-file", file, "-b", sh("true"), "pid").status).toBe(0);
    expect([readFileSync(precious, "utf8"), readFileSync(file, "utf8")]).toEqual([
      "kept",
      expect.stringMatching(/^\d+$/),
    ]);
  });
});

describe("a state directory", () => {
  attack("of somebody else's making is not followed", () => {
    const outside = folder.directory("precious");
    folder.write("precious/file", "kept");
    folder.directory("root");
    folder.link("root/evil", outside);
    expect(oci("delete", "--force", "evil").status).toBe(0);
    expect(existsSync(join(outside, "file"))).toBe(true);
  });
});
