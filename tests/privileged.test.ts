/** `--privileged`: what it takes away, of containers, of sandboxes and of further commands; and nothing without it. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { asRoot, noBusybox, notRoot, notUser, SLOW, testUnless } from "./support/machine.ts";

const TIMEOUT_MS = 30_000 * SLOW;
const RUNS = ["sandbox", "container"] as const;

let made: CommandLine;
beforeAll(async () => {
  made = await CommandLine.open();
});
afterAll(async () => {
  await made[Symbol.asyncDispose]();
}, TIMEOUT_MS);

const said = (...words: string[]) => made.said(...words);
const boxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, TIMEOUT_MS);
const rootTest = (name: string, body: () => unknown) => testUnless(notRoot, name, body, TIMEOUT_MS);
const userTest = (name: string, body: () => unknown) => testUnless(notUser, name, body, TIMEOUT_MS);

let count = 0;
/** One that runs. @returns its name */
function running(...flags: string[]): string {
  const name = `p${count++}-x`;
  said("run", "-d", "--name", name, ...flags, "busy", "sleep", "1000");
  return name;
}

/** What a line prints, both ways that a command is run. */
function inside(how: (typeof RUNS)[number], line: string, ...flags: string[]): string {
  if (how === "sandbox") return said("run", "--rm", ...flags, "busy", "sh", "-c", line);
  const name = running(...flags);
  return said("exec", name, "sh", "-c", line);
}

const field = (name: string) => `grep -w ${name}: /proc/self/status | cut -f 2`;
const STATUS = ["CapEff", "CapBnd", "Seccomp", "NoNewPrivs"].map(field).join("; ");
/** Those of this program, which are the machine's, or all where there is a user namespace. */
const own = () => BigInt(`0x${/^CapPrm:\s*(\w+)/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1]}`);
const LAST = Number(readFileSync("/proc/sys/kernel/cap_last_cap", "utf8"));
const every = (2n ** BigInt(LAST + 1) - 1n).toString(16).padStart(16, "0");
const held = () => (asRoot ? own().toString(16).padStart(16, "0") : every);

/** Each is allowed to who is privileged, and refused to who is not, even with all capabilities. */
const ATTEMPTS: [name: string, line: string][] = [
  ["a device node is made, and used", "mknod /n c 1 5 && head -c 2 /n | wc -c | grep -q 2"],
  ["something is mounted", "mount -t tmpfs t /mnt"],
  // its own value: nothing changes
  ["/proc/sys is writable", "f=/proc/sys/kernel/panic_on_oops; v=$(cat $f); echo $v >$f"],
  ["/sys is writable", "grep ' /sys sysfs rw' /proc/mounts"],
  ["control groups are writable", "grep -E ' /sys/fs/cgroup(/[^ ]*)? cgroup2? rw' /proc/mounts"],
  ["nothing of /proc is masked", "! grep -E ' /proc/[^ ]* ' /proc/mounts"],
];

describe("--privileged", () => {
  for (const how of RUNS) {
    boxTest(`of a ${how}: all capabilities, no filter, setuid programs count`, () => {
      expect(inside(how, STATUS, "--privileged").split("\n")).toEqual([held(), held(), "0", "0"]);
      const [effective, , seccomp, noNewPrivileges] = inside(how, STATUS).split("\n");
      expect([effective === held(), seccomp, noNewPrivileges]).toEqual([false, "2", "1"]);
    });

    for (const [what, line] of ATTEMPTS) {
      rootTest(`of a ${how}: ${what}, and not without it`, () => {
        const attempt = `mkdir -p /mnt; (${line}) >/dev/null 2>&1 && echo yes || echo no`;
        expect([inside(how, attempt, "--privileged"), inside(how, attempt)]).toEqual(["yes", "no"]);
        const more = ["--cap-add", "ALL"];
        if (!what.includes("mounted")) expect(inside(how, attempt, ...more)).toBe("no");
      });
    }

    boxTest(`of a ${how}: all devices of the host are there, and not without it`, () => {
      const devices = readdirSync("/dev").filter((name) => /^(?:kmsg|tty\d|loop\d|fuse|autofs|hwrng)$/.test(name));
      const line = `for d in ${devices.join(" ")}; do [ -c /dev/$d -o -b /dev/$d ] && echo $d; done; true`;
      expect(devices.length).toBeGreaterThan(0);
      expect(inside(how, line, "--privileged").split("\n")).toEqual(devices);
      expect(inside(how, line)).toBe("");
    });
  }

  rootTest("devices can be used, whatever the rules beside it", () => {
    const line = "head -c 0 /dev/kmsg && echo read";
    expect(inside("container", line, "--privileged", "--device-cgroup-rule", "c 1:3 rwm")).toBe("read");
  });

  boxTest("--cap-drop does not count beside it, but a seccomp profile, and no-new-privileges", () => {
    const flags = ["--privileged", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    const line = inside("sandbox", STATUS, ...flags, "--security-opt", "seccomp=builtin");
    expect(line.split("\n")).toEqual([held(), held(), "2", "1"]);
  });

  boxTest("another user than root has its capabilities by setuid programs at most", () => {
    const user = asRoot ? ["-u", "1000"] : [];
    const [effective, bounding] = inside("sandbox", STATUS, "--privileged", ...user).split("\n");
    expect([effective, bounding]).toEqual([asRoot ? "0".repeat(16) : held(), held()]);
  });

  rootTest("root is the host's, but in a user namespace of its own where that is said", () => {
    const maps = (...flags: string[]) => inside("sandbox", "cat /proc/self/uid_map", "--privileged", ...flags);
    expect(maps().trim().split(/\s+/)).toEqual(["0", "0", "4294967295"]);
    expect(maps("--userns", "auto").trim().split(/\s+/).at(-1)).toBe("65536");
    expect(inside("sandbox", STATUS, "--privileged", "--userns", "private").split("\n")[0]).toBe(every);
  });

  rootTest("/dev of the host, bound, has devices that can be used", () => {
    const line = (path: string) => `head -c 2 ${path}/zero 2>/dev/null | wc -c`;
    expect(inside("sandbox", line("/dev"), "--privileged", "-v", "/dev:/dev")).toBe("2");
    expect(inside("sandbox", line("/d"), "--privileged", "-v", "/dev:/d")).toBe("2");
    expect(inside("sandbox", line("/d"), "--cap-add", "SYS_ADMIN", "--userns", "host", "-v", "/dev:/d")).toBe("0");
  });

  boxTest("inspect tells of it", () => {
    const [privileged, plain] = [running("--privileged"), running()];
    const format = "{{.HostConfig.Privileged}} {{json .HostConfig.SecurityOpt}}";
    expect(said("inspect", "--format", format, privileged)).toBe("true null");
    expect(said("inspect", "--format", format, plain)).toBe('false ["no-new-privileges"]');
  });

  rootTest("files of one that has ended are copied as they are owned", () => {
    const name = running("--privileged");
    said("exec", name, "sh", "-c", "echo x >/f; chown 12:34 /f");
    said("kill", name);
    said("wait", name);
    expect(made.call(["cp", `${name}:/f`, "-"]).stdout).toContain("0000014\u00000000042");
  });

  userTest("an ordinary user's is no more than that user", () => {
    const line =
      "(echo 1 >/proc/sys/kernel/panic_on_oops) 2>/dev/null || echo no; mknod /n c 1 3 2>/dev/null || echo no";
    expect(inside("sandbox", line, "--privileged")).toBe("no\nno");
    expect(inside("sandbox", "mkdir /mnt; mount -t tmpfs t /mnt && echo yes", "--privileged")).toBe("yes");
  });
});

describe("exec --privileged", () => {
  boxTest("has all capabilities, whatever the container has", () => {
    const name = running("--cap-drop", "ALL");
    const [effective, bounding, seccomp, noNewPrivileges] = said(
      "exec",
      "--privileged",
      name,
      "sh",
      "-c",
      STATUS,
    ).split("\n");
    expect([effective, bounding, seccomp, noNewPrivileges]).toEqual([every, every, "0", "0"]);
    const mount = ["sh", "-c", "mkdir -p /mnt; mount -t tmpfs t /mnt 2>/dev/null && echo yes || echo no"];
    expect(said("exec", name, ...mount)).toBe("no");
    expect(said("exec", "--privileged", name, ...mount)).toBe("yes");
  });

  rootTest("in the host's user namespace, those that the machine has", () => {
    const name = running("--userns", "host");
    expect(said("exec", "--privileged", name, "sh", "-c", field("CapEff"))).toBe(held());
    expect(said("exec", name, "sh", "-c", field("CapEff"))).not.toBe(held());
  });
});

describe("--security-opt", () => {
  const masks = "grep -c -E ' /proc/[^ ]* ' /proc/mounts";
  for (const how of RUNS) {
    boxTest(`systempaths=unconfined of a ${how}: nothing of /proc is masked, all else is`, () => {
      const [covers, sys, ...status] = inside(
        how,
        `${masks}; grep -c ' /sys sysfs rw' /proc/mounts; ${STATUS}`,
        "--security-opt",
        "systempaths=unconfined",
      ).split("\n");
      expect([covers, sys, status[2], status[3]]).toEqual(["0", "0", "2", "1"]);
      expect(Number(inside(how, masks))).toBeGreaterThan(3);
    });
  }
});

describe("of the library", () => {
  boxTest("it is security.privileged, which nothing that is false in it makes less", async () => {
    const run = async (options: RunOptions) =>
      (await Sandbox.run(["/bin/sh", "-c", STATUS], { rootfs: "host", ...options })).stdout.trim().split("\n");
    expect(await run({ security: { privileged: true } })).toEqual([held(), held(), "0", "0"]);
    expect(await run({ security: { privileged: false } })).toEqual(await run({}));
  });

  boxTest("joined processes have it as well, and no request is kept for the next", async () => {
    await using box = await Sandbox.create({ rootfs: "host", security: { privileged: true } });
    expect((await box.$`sh -c ${STATUS}`.text()).trim().split("\n")).toEqual([held(), held(), "0", "0"]);
    const { stdout } = await Sandbox.run(["/bin/sh", "-c", STATUS], { rootfs: "host" });
    expect(stdout.split("\n")[2]).toBe("2");
  });
});
