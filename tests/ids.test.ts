/** Who is who: ranges of ids of a sandbox's own, subordinate ids, maps as they are asked for. @module */
import { afterAll, describe, expect } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { userInfo } from "node:os";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { RANGES } from "../lib/sandbox/id-range.ts";
import { ROOT_ID_BASE } from "../lib/sandbox/namespaces.ts";
import { failureOf } from "./support/failure.ts";
import { notRoot, notUser, testUnless } from "./support/machine.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";
import { shellIn } from "./support/shell.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const sh = shellIn(root);
const AUTO = { namespaces: { user: "auto" } } as const;
const make = () => Sandbox.create({ rootfs: root.path, ...AUTO });
/** Where the map of a sandbox's init begins on the host. */
const firstId = (box: Sandbox) =>
  Number(/^ *0 +(\d+) +65536$/m.exec(readFileSync(`/proc/${box.pid}/uid_map`, "utf8"))?.[1]);

describe("a range of ids of its own", () => {
  testUnless(notRoot, "no two sandboxes have the same, nor those of another process", async () => {
    await using one = await make();
    await using two = await make();
    const script = outside.script(
      `const box = await Sandbox.create({ rootfs: ${JSON.stringify(root.path)}, namespaces: { user: "auto" } });
       console.log(box.pid); process.stdin.on("data", () => box.stop().then(() => process.exit(0)));`,
    );
    const other = Bun.spawn([process.execPath, script], { stdin: "pipe", stdout: "pipe" });
    const reader = other.stdout.getReader();
    const pid = Number(new TextDecoder().decode((await reader.read()).value));
    const ids = [firstId(one), firstId(two), firstId({ pid } as Sandbox)];
    expect(new Set(ids).size).toBe(3);
    for (const id of ids) {
      expect((id - RANGES.first) % RANGES.size).toBe(0);
      expect(id).toBeGreaterThanOrEqual(RANGES.first);
      expect(id).toBeLessThan(RANGES.first + RANGES.count * RANGES.size);
    }
    other.stdin.write("end");
    await other.stdin.end();
    expect(await other.exited).toBe(0);
  });

  testUnless(notRoot, "where none can be claimed, that is an error with the remedy", () => {
    const script = outside.script(
      `const options = { rootfs: ${JSON.stringify(root.path)}, namespaces: { user: "auto" } };
       await Sandbox.run(["true"], options).catch(({ message, hint }) => console.log(message + "\\n" + hint));`,
    );
    const line = `mount -t tmpfs -o ro none /run && exec ${process.execPath} ${script}`;
    const { stdout, stderr } = Bun.spawnSync(["unshare", "--mount", "sh", "-c", line]);
    expect([stderr.toString(), stdout.toString().split("\n")]).toEqual([
      "",
      [
        'make "/run/tsbox", where ranges of ids are claimed: EROFS',
        '/run has to be writable; or share one range: namespaces.user "private"',
        "",
      ],
    ]);
  });

  testUnless(notRoot, "one that is given back is free for all, also by an owner that is killed", async () => {
    const box = await make();
    const first = firstId(box);
    await box.stop();
    await using again = await make();
    expect(firstId(again)).toBe(first);
    const script = outside.script(
      `import { claimIdRange } from ${JSON.stringify(`${import.meta.dir}/../lib/sandbox/id-range.ts`)};
       Sandbox; let left = 0;
       try { for (;;) { claimIdRange(); left++; } } catch (error) { console.log(left, error.code, error.message); }
       process.kill(process.pid, "SIGKILL");`,
    );
    const all = () => Bun.spawnSync([process.execPath, script]).stdout.toString();
    // the one of this process is missing, and none of the process before
    const [, left] = /^(\d+) limit_unavailable claim a range of ids: all 1911 are in use$/m.exec(all()) ?? [];
    expect(Number(left)).toBeLessThan(RANGES.count);
    expect(Number(left)).toBeGreaterThan(RANGES.count - 100);
    const [, next] = /^(\d+) /.exec(all()) ?? [];
    expect(Math.abs(Number(next) - Number(left))).toBeLessThan(50);
  });

  testUnless(notRoot, "files are as they are outside, and other users are there", async () => {
    expect(await sh("id -u; stat -c %u /bin/sh; touch /x; chown 1000:1000 /x; stat -c %u:%g /x", AUTO)).toBe(
      "0\n0\n1000:1000",
    );
    const source = outside.directory("source");
    outside.write("source/file", "mine");
    const mounts: RunOptions["mounts"] = [{ type: "bind", source, target: "/in" }];
    expect(await sh("stat -c %u /in/file; cat /in/file", { ...AUTO, mounts })).toBe("0\nmine");
    expect(await sh("id -u", { ...AUTO, user: "65535:65535" })).toBe("65535");
    await using box = await make();
    expect((await new Response(box.spawn(["id", "-u"], { user: "5:6" }).stdout).text()).trim()).toBe("5");
  });
});

describe("maps as they are asked for", () => {
  testUnless(notRoot, "are those of the sandbox", async () => {
    const options: RunOptions = {
      uidMappings: [
        { containerID: 0, hostID: 300_000, size: 10 },
        { containerID: 50, hostID: 400_000, size: 1 },
      ],
      gidMappings: [{ containerID: 0, hostID: 500_000, size: 100 }],
    };
    const maps = await sh("cat /proc/self/uid_map /proc/self/gid_map", options);
    expect(maps.split("\n").map((line) => line.trim().split(/ +/).map(Number))).toEqual([
      [0, 300_000, 10],
      [50, 400_000, 1],
      [0, 500_000, 100],
    ]);
    expect(await sh("id -u; id -g", { ...options, user: "50:99" })).toBe("50\n99");
    const error = await failureOf(() => sh("id", { ...options, user: "10:0" }));
    expect([error.code, error.message]).toEqual([
      "invalid_option",
      "use the user 10: it is not among the ids of the sandbox",
    ]);
  });

  testUnless(notUser, "an ordinary user cannot have those of others, and is told why", async () => {
    const uidMappings = [{ containerID: 0, hostID: 0, size: 10 }];
    const error = await failureOf(() => sh("id", { uidMappings }));
    expect(["permission_denied", "unsupported"]).toContain(error.code as string);
  });
});

describe("mounts with a map of their own", () => {
  /** Whoever it is outside is that user inside. */
  const mountAs = (id: number, source: string, target = "/in"): NonNullable<RunOptions["mounts"]>[number] => ({
    type: "bind",
    source,
    target,
    uidMappings: [{ containerID: 0, hostID: ROOT_ID_BASE + id, size: 1 }],
  });

  testUnless(notRoot, "files belong to whom it says, and files that are made to whom it was outside", async () => {
    const source = outside.directory("mapped");
    outside.write("mapped/file", "root's");
    const line = "stat -c %u:%g /in/file /as-is/file; echo 'of 7' >/in/made; stat -c %u /in/made";
    const mounts = [mountAs(7, source), { type: "bind", source, target: "/as-is", readOnly: true } as const];
    expect(await sh(line, { mounts, user: "7:7" })).toBe("7:7\n0:0\n7");
    expect(statSync(`${source}/made`).uid).toBe(0);
    // in the host's user namespace, the ids are the host's
    const namespaces = { user: "host" } as const;
    expect(await sh("stat -c %u /in/file", { mounts, namespaces })).toBe(String(ROOT_ID_BASE + 7));
  });

  testUnless(notRoot, "others can do nothing with them", async () => {
    const source = outside.directory("others", 0o700);
    outside.write("others/file", "of 7", 0o600);
    const mounts = [mountAs(7, source)];
    expect(await sh("cat /in/file", { mounts, user: "7:7" })).toBe("of 7");
    expect(await sh("cat /in/file 2>/dev/null || echo refused", { mounts, user: "8:8" })).toBe("refused");
    // the control: as outside, root inside is who they belong to
    expect(await sh("cat /in/file", { mounts: [{ type: "bind", source, target: "/in" }] })).toBe("of 7");
  });

  testUnless(notRoot, "a file system that has none is told, and nothing stays behind", async () => {
    const children = () => readFileSync("/proc/thread-self/children", "utf8").trim();
    const before = children();
    const error = await failureOf(() => sh("true", { mounts: [mountAs(7, "/proc/version", "/v")] }));
    expect([error.code, error.message]).toEqual(["mount_failed", 'map the ids of files in the mount on "/v": EINVAL']);
    expect(children()).toBe(before);
    expect(await sh("echo well")).toBe("well");
  });

  testUnless(notUser, "are root's only, and an ordinary user is told so", async () => {
    const source = outside.directory("mapped");
    const error = await failureOf(() => sh("true", { mounts: [mountAs(7, source)] }));
    expect([error.code, error.message]).toEqual([
      "permission_denied",
      'map the ids of the mount on "/in": only root may',
    ]);
  });
});

// not userInfo: without USER in the environment it does not know
const login = Bun.spawnSync(["id", "-un"]).stdout.toString().trim();
const hasRange = (file: string) => {
  try {
    return readFileSync(file, "utf8")
      .split("\n")
      .some((line) => line.startsWith(`${login}:`));
  } catch {
    return false;
  }
};
const noSubordinate =
  notUser ??
  (Bun.which("newuidmap") === null
    ? "newuidmap is not installed"
    : hasRange("/etc/subuid") && hasRange("/etc/subgid")
      ? undefined
      : "the user has no subordinate ids");

describe("subordinate ids of an ordinary user", () => {
  testUnless(noSubordinate, "give it other users and groups, whose files are not its own outside", async () => {
    const options: RunOptions = { ...AUTO, groups: [7, 8] };
    expect(await sh("id -u; id -G; touch /x; chown 5:6 /x; stat -c %u:%g /x", options)).toBe("0\n0 7 8\n5:6");
    expect(await sh("id -u; id -g", { ...AUTO, user: "1000:1000" })).toBe("1000\n1000");
    await using box = await make();
    expect((await new Response(box.spawn(["id", "-u"], { user: "5:6" }).stdout).text()).trim()).toBe("5");
    const outer = userInfo().uid;
    expect((await sh("head -n 1 /proc/self/uid_map", AUTO)).split(/ +/).map(Number)).toEqual([0, outer, 1]);
  });

  testUnless(noSubordinate, "what newuidmap refuses is told as a step, and leaves nothing behind", async () => {
    const uidMappings = [{ containerID: 0, hostID: 0, size: 10 }];
    const error = await failureOf(() => sh("id", { uidMappings }));
    expect(error.code).toBe("permission_denied");
    expect(error.message).toMatch(/^have .*newuidmap write an id map: EPERM$/);
    expect(error.hint).toContain("/etc/subuid");
    expect(await sh("id -u")).toBe("0");
  });

  const without = notUser ?? (noSubordinate === undefined ? "the user has subordinate ids" : undefined);
  testUnless(without, "are told to be missing", async () => {
    const error = await failureOf(() => sh("id", AUTO));
    expect([error.code, error.message.startsWith("use subordinate ids: ")]).toEqual(["permission_denied", true]);
  });
});
