/** Namespaces of others, clocks, OOM scores: looked at from inside. @module */
import { afterAll, describe, expect } from "bun:test";
import { readFileSync, readlinkSync } from "node:fs";
import { Sandbox, type RunOptions, type SandboxOptions } from "../lib/index.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, notRoot, notUser, testUnless } from "./support/machine.ts";
import { makeRootfs } from "./support/rootfs.ts";
import { shellIn } from "./support/shell.ts";

const root = makeRootfs();
afterAll(() => root.remove());

const sandboxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);

const sh = shellIn(root);
const make = (options: SandboxOptions = {}) => Sandbox.create({ rootfs: root.path, ...options });
const inBox = async (box: Sandbox, line: string): Promise<string> =>
  (await new Response(box.spawn(["/bin/sh", "-c", line]).stdout).text()).trim();

const FILES = { pid: "pid", mount: "mnt", uts: "uts", ipc: "ipc", user: "user", cgroup: "cgroup", network: "net" };
const link = (type: keyof typeof FILES) => `readlink /proc/self/ns/${FILES[type]}`;

/** Options with these namespaces of a sandbox, or at their paths. */
function sharing(box: Sandbox, types: (keyof typeof FILES)[], byPath = false): RunOptions {
  const options: RunOptions = { namespaces: {} };
  for (const type of types) {
    const shared = byPath ? (`ns:${box.namespace(type)}` as const) : box;
    if (type === "network") options.network = shared;
    else options.namespaces![type] = shared;
  }
  return options;
}

describe("namespaces of another sandbox", () => {
  for (const type of ["network", "ipc", "uts", "cgroup"] as const) {
    for (const byPath of [false, true]) {
      testUnless(notRoot, `${type} can be joined${byPath ? " by its path" : ""}, and no other is then`, async () => {
        await using box = await make();
        const options = sharing(box, [type], byPath);
        for (const other of Object.keys(FILES) as (keyof typeof FILES)[])
          expect([other, (await sh(link(other), options)) === (await inBox(box, link(other)))]).toEqual([
            other,
            other === type,
          ]);
      });
    }
  }

  sandboxTest("user and network can be joined together", async () => {
    await using box = await make();
    const options = sharing(box, ["user", "network"]);
    expect(await sh(link("user"), options)).toBe(await inBox(box, link("user")));
    expect(await sh(link("network"), options)).toBe(await inBox(box, link("network")));
    expect(await sh("id -u; cat /sys/class/net/lo/operstate; ls /", options)).toContain("0\nunknown\n");
  });

  testUnless(
    notRoot,
    "a network can be joined from a user namespace of its own, with its own view of /sys",
    async () => {
      await using box = await make();
      const options = sharing(box, ["network"]);
      expect(await sh("ls /sys/class/net", options)).toBe(await inBox(box, "ls /sys/class/net"));
      expect(await sh("grep -c ' /sys sysfs ro' /proc/mounts", options)).toBe("1");
    },
  );

  sandboxTest("pid and user can be joined together: processes see each other, and end with the box", async () => {
    await using box = await make();
    const sleep = box.spawn(["sleep", "77"]);
    const options = sharing(box, ["user", "pid"]);
    // a process has its name once it has been executed
    const sleeping = (count: number) =>
      `i=0; while [ $(grep -sl sleep /proc/[0-9]*/comm | wc -l) -lt ${count} ] && [ $i -lt 500 ]; do i=$((i+1)); usleep 10000; done; grep -sl sleep /proc/[0-9]*/comm | wc -l`;
    expect(await sh(`cat /proc/1/comm; ${sleeping(1)}`, options)).toBe("tsbox-init\n1");
    const guest = Sandbox.spawn(["/bin/sh", "-c", "echo started; sleep 66"], { rootfs: root.path, ...options });
    const reader = guest.stdout!.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe("started\n");
    expect(await inBox(box, sleeping(2))).toBe("2");
    await box.stop();
    expect((await guest.result()).signalCode).toBe("SIGKILL");
    await sleep.exited;
  });

  sandboxTest("in the pid namespace of others nothing stays of a sandbox that has ended", async () => {
    await using box = await make();
    const options = sharing(box, ["user", "pid"]);
    await sh("sleep 55 >/dev/null 2>&1 & echo", options);
    await sh("(setsid sleep 44 || nohup sleep 44) >/dev/null 2>&1 & echo", options);
    // what has been killed takes a moment to end
    const looking = "n=50; while [ $n -gt 0 ] && grep -sq sleep /proc/[0-9]*/comm; do n=$((n-1)); usleep 20000; done";
    expect(await inBox(box, `${looking}; grep -sl sleep /proc/[0-9]*/comm | wc -l`)).toBe("0");
  });

  testUnless(notRoot, "the mount namespace: what is mounted there is seen", async () => {
    await using box = await make({ mounts: [{ type: "tmpfs", target: "/mnt/here" }] });
    await inBox(box, "echo seen >/mnt/here/file");
    const { rootfs: _, ...options }: RunOptions = {
      ...sharing(box, ["mount", "user", "pid"]),
      rootfs: undefined as never,
    };
    const { stdout } = await Sandbox.run(["/bin/cat", "/mnt/here/file"], options);
    expect(stdout).toBe("seen\n");
  });

  sandboxTest("a box can be made of the namespaces of another, and processes join it", async () => {
    await using pod = await make();
    await using box = await make(sharing(pod, ["user", "network", "ipc"]));
    for (const type of ["user", "network", "ipc", "pid"] as const)
      expect([type, (await inBox(box, link(type))) === (await inBox(pod, link(type)))]).toEqual([type, type !== "pid"]);
  });

  sandboxTest("those of a sandbox that has ended are none", async () => {
    const box = await make();
    await box.stop();
    const error = await failureOf(() => Sandbox.run(["true"], { network: box }));
    expect(error.code).toBe("sandbox_closed");
  });

  testUnless(notRoot, "what is no namespace, or one of another type, is refused", async () => {
    const missing = await failureOf(() => sh("true", { network: "ns:/no/such" }));
    expect([missing.code, missing.message]).toEqual([
      "invalid_option",
      'open the network namespace "/no/such": ENOENT',
    ]);
    for (const path of ["/dev/null", "/proc/self/ns/uts", "/etc"]) {
      const error = await failureOf(() => sh("true", { network: `ns:${path}` }));
      expect([error.message, error.hint]).toEqual([
        `join the network namespace "${path}": EINVAL`,
        "it is no network namespace, or the caller's own",
      ]);
    }
  });

  testUnless(notUser, "an ordinary user needs the user namespace as well, and is told so", async () => {
    await using box = await make();
    const error = await failureOf(() => sh("true", { network: box }));
    expect([error.code, error.hint?.includes("together with the user namespace")]).toEqual(["permission_denied", true]);
  });

  sandboxTest("pid alone is refused: nothing could be mounted on /proc", async () => {
    await using box = await make();
    const error = await failureOf(() => Sandbox.run(["true"], sharing(box, ["pid"])));
    expect([error.code, error.hint]).toEqual(["invalid_option", "share the user namespace as well"]);
  });

  testUnless(notRoot, "the owner's own namespaces are as they were", async () => {
    const before = Object.values(FILES).map((name) => readlinkSync(`/proc/thread-self/ns/${name}`));
    await using box = await make();
    await sh("true", sharing(box, ["network", "ipc", "uts", "user", "pid"]));
    expect(Object.values(FILES).map((name) => readlinkSync(`/proc/thread-self/ns/${name}`))).toEqual(before);
  });
});

describe("clocks", () => {
  const uptime = async (options: RunOptions) => Number((await sh("cut -d' ' -f1 /proc/uptime", options)).split(".")[0]);
  const hosts = () => Number(readFileSync("/proc/uptime", "utf8").split(".")[0]);

  sandboxTest("can be ahead of the host's and behind them, in a namespace of their own", async () => {
    const ahead = await uptime({ timeOffsets: { boottime: { secs: 86_400 } } });
    expect(Math.abs(ahead - hosts() - 86_400)).toBeLessThan(60);
    expect(Math.abs((await uptime({})) - hosts())).toBeLessThan(60);
    const own = (options: RunOptions) => sh("readlink /proc/self/ns/time", options);
    expect(await own({})).toBe(readlinkSync("/proc/self/ns/time"));
    expect(await own({ namespaces: { time: "private" } })).not.toBe(readlinkSync("/proc/self/ns/time"));
  });

  sandboxTest("are those of the box for what joins it", async () => {
    await using box = await make({ timeOffsets: { boottime: { secs: 500_000 } } });
    const joined = Number((await inBox(box, "cut -d. -f1 /proc/uptime")).trim());
    expect(Math.abs(joined - hosts() - 500_000)).toBeLessThan(60);
  });

  sandboxTest("cannot be below zero", async () => {
    const error = await failureOf(() => sh("true", { timeOffsets: { boottime: { secs: -(2 ** 39) } } }));
    expect([error.code, error.message]).toEqual(["invalid_option", "set the offsets of its clocks: ERANGE"]);
  });
});

/** Root of a container may have been left without CAP_SYS_RESOURCE. */
const lowered = Bun.spawnSync(["sh", "-c", "echo -500 >/proc/self/oom_score_adj"], { stderr: "ignore" });
const noResource = noBusybox ?? (lowered.exitCode === 0 ? undefined : "needs CAP_SYS_RESOURCE");

describe("the OOM score", () => {
  const read = "cat /proc/self/oom_score_adj";
  const own = () => readFileSync("/proc/self/oom_score_adj", "utf8");

  sandboxTest("is the sandbox's, and not the owner's", async () => {
    const before = own();
    expect(await sh(read, { oomScoreAdj: 321 })).toBe("321");
    await using box = await make({ oomScoreAdj: 322 });
    expect([await inBox(box, read), await inBox(box, "cat /proc/1/oom_score_adj")]).toEqual(["322", "322"]);
    expect(await sh(read)).toBe(before.trim());
    expect(own()).toBe(before);
  });

  testUnless(noResource, "can be below the owner's, with the right to", async () => {
    expect(await sh(read, { oomScoreAdj: -500 })).toBe("-500");
    expect(await sh(read, { oomScoreAdj: -500, namespaces: { user: "host" } })).toBe("-500");
  });

  const resource = noResource === undefined ? "has CAP_SYS_RESOURCE" : noBusybox;
  testUnless(resource, "cannot be below the owner's without the right to, and the reason is told", async () => {
    const error = await failureOf(() => sh(read, { oomScoreAdj: -1000 }));
    expect([error.code, error.hint?.includes("CAP_SYS_RESOURCE")]).toEqual(["permission_denied", true]);
  });
});
