/** Landlock: what it stops where another protection is gone, and what of it succeeds where it is gone as well. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Sandbox, type RunOptions } from "../../lib/index.ts";
// not a face: steps for kernels that are not here
import { landlockSteps } from "../../lib/plan/landlock.ts";
import type { Spec } from "../../lib/spec/index.ts";
import { close, landlockAbi, printPlan, syscall, type Op } from "../../syscalls/index.ts";
import { failureOf } from "../support/failure.ts";
import { noBusybox, noSandbox, notRoot, testUnless } from "../support/machine.ts";
import { buffer, call, cstring, kept, outcomes, probe, ref } from "../support/probe.ts";
import { bindAbstract } from "../support/abstract-socket.ts";
import { Folder } from "../support/rootfs.ts";
import { runChanged, withoutStep } from "../support/unprotected.ts";

const outside = new Folder();
afterAll(() => outside.remove());

const noLandlock = noSandbox ?? (landlockAbi() >= 2 ? undefined : "this kernel has no Landlock");
const noScopes = noLandlock ?? (landlockAbi() >= 6 ? undefined : "Landlock has no scopes before Linux 6.12");
const without = withoutStep("restrict access to files with Landlock");
const NONE = { landlock: "none" } as const;

/** Makes system calls in a view of the host. */
async function calls(ops: Op[], options: RunOptions): Promise<(number | string)[]> {
  const source = outside.write(`probe-${Bun.hash(probe(...ops)).toString(36)}`, probe(...ops), 0o755);
  const mounts = [{ type: "bind" as const, source, target: "/opt/probe", readOnly: true }];
  return outcomes((await Sandbox.run(["/opt/probe"], { ...options, mounts })).stdoutBytes);
}

describe("with a view of the host", () => {
  testUnless(noLandlock, "a bound directory is not written, even where its mount could be", async () => {
    const shared = new Folder();
    shared.write("mine", "before");
    const mounts = [{ type: "bind" as const, source: shared.path, target: "/shared", readOnly: true }];
    const line = [
      "sh",
      "-c",
      "echo after >/shared/mine; rm /shared/mine; mkdir /shared/new; mv /shared/mine /tmp; true",
    ];
    /** As if the kernel, or tsbox, had forgotten that the mount is read-only. */
    const spec = (changed: Spec) => {
      for (const mount of changed.mounts)
        if (mount.destination === "/shared") mount.options = mount.options?.filter((o) => o !== "rro") ?? [];
    };
    const { stderr } = await runChanged(
      line,
      { mounts, namespaces: { user: process.geteuid?.() === 0 ? "host" : "private" } },
      { spec },
    );
    expect(stderr.match(/Permission denied/g)?.length).toBeGreaterThanOrEqual(3);
    expect(readFileSync(`${shared.path}/mine`, "utf8")).toBe("before");
    await runChanged(
      ["sh", "-c", "echo after >/shared/mine"],
      { mounts, namespaces: { user: process.geteuid?.() === 0 ? "host" : "private" } },
      { spec, plan: without },
    );
    expect(readFileSync(`${shared.path}/mine`, "utf8")).toBe("after\n");
    shared.remove();
  });

  testUnless(noLandlock, "nothing is mounted, whatever the capabilities and the filter", async () => {
    const mount = [call("mount", cstring("x"), cstring("/tmp"), cstring("tmpfs"), 0, 0)];
    const security = { capabilities: ["SYS_ADMIN"], seccomp: "none" as const };
    expect(await calls(mount, { security: { ...security, landlock: "default" } })).toEqual(["EPERM"]);
    // asked for by its capability
    expect(await calls(mount, { security })).toEqual([0]);
    expect(await calls(mount, { security: { ...security, ...NONE } })).toEqual([0]);
  });

  testUnless(noScopes ?? notRoot, "no process outside is signalled, even of the same user", async () => {
    const attempt = async (security: RunOptions["security"]) => {
      const victim = Bun.spawn(["sleep", "100"]);
      const options: RunOptions = {
        namespaces: { pid: "host", user: "host" },
        security: { ...security, capabilities: ["KILL"] },
      };
      await Sandbox.run(["sh", "-c", `kill -9 ${victim.pid}`], options);
      await Bun.sleep(20);
      const killed = victim.signalCode;
      victim.kill();
      await victim.exited;
      return killed;
    };
    expect([await attempt({}), await attempt(NONE)]).toEqual([null, "SIGKILL"]);
  });

  testUnless(noScopes, "no abstract socket outside is reached, even in the same network", async () => {
    const name = `tsbox-landlock-${process.pid}`;
    const address = buffer("address", 64);
    address.data.set([1, 0, 0, ...new TextEncoder().encode(name)]);
    const fd = syscall("make a socket", "socket", 1, 1, 0);
    try {
      bindAbstract(fd, address.data, 3 + name.length);
      const connect = [
        kept("socket", call("socket", 1, 1, 0)),
        call("connect", ref("socket"), address, 3 + name.length),
      ];
      expect((await calls(connect, { network: "host" }))[1]).toBe("EPERM");
      expect((await calls(connect, { network: "host", security: NONE }))[1]).toBe(0);
    } finally {
      close(fd);
    }
  });

  testUnless(noLandlock, "what is private can be written, files be moved and executed, devices be used", async () => {
    const line =
      "cd /tmp && echo 'echo run' >a && chmod +x a && mkdir d && mv a d/b && ./d/b && rm -r d && echo >/dev/null && ls / >/dev/null && echo 1 >/proc/self/oom_score_adj && echo done";
    expect((await Sandbox.run(["sh", "-c", line])).stdout).toBe("run\ndone\n");
    await using box = await Sandbox.create();
    expect(await new Response(box.spawn(["sh", "-c", line]).stdout).text()).toBe("run\ndone\n");
  });

  testUnless(noLandlock, "processes of one box signal each other", async () => {
    await using box = await Sandbox.create();
    const sleeper = box.spawn(["sh", "-c", "echo there; exec sleep 100"]);
    await sleeper.stdout?.getReader().read();
    await box.spawn(["sh", "-c", "kill -TERM -1"]).exited;
    await sleeper.exited;
    expect(sleeper.signalCode).toBe("SIGTERM");
  });

  testUnless(noLandlock, "a bound file and a bound directory can be written", async () => {
    const [file, directory] = [outside.write("file", "x", 0o666), outside.directory("directory", 0o777)];
    const mounts = [
      { type: "bind" as const, source: file, target: "/opt/file" },
      { type: "bind" as const, source: directory, target: "/opt/directory" },
    ];
    const result = await Sandbox.run(["sh", "-c", "echo y >/opt/file && echo z >/opt/directory/z"], { mounts });
    expect([result.stderr, result.exitCode]).toEqual(["", 0]);
    expect([readFileSync(file, "utf8"), readFileSync(`${directory}/z`, "utf8")]).toEqual(["y\n", "z\n"]);
  });
});

describe("is asked for", () => {
  testUnless(noLandlock ?? noBusybox, "for a directory as well", () => {
    const { linux } = Sandbox.spec(["true"], { rootfs: outside.path, security: { landlock: "default" } });
    expect(linux.landlock).toEqual({ abi: landlockAbi(), writable: ["/"], writableFiles: [] });
    expect(Sandbox.spec(["true"], { rootfs: outside.path }).linux.landlock).toBeUndefined();
  });

  testUnless(noSandbox, "in the host's mount namespace, where it would mean nothing", async () => {
    const options = { namespaces: { mount: "host" }, security: { landlock: "default" } } as const;
    expect(await failureOf(() => Sandbox.run(["true"], options))).toMatchObject({ code: "invalid_option" });
  });

  test.skipIf(landlockAbi() >= 2)("where the kernel has none", async () => {
    const attempt = () => Sandbox.run(["true"], { security: { landlock: "default" } });
    expect(await failureOf(attempt)).toMatchObject({ code: "unsupported" });
    expect((await Sandbox.run(["true"])).exitCode).toBe(0);
  });
});

describe("each ABI gets what it knows", () => {
  const planFor = (abi: number, alone = true) => {
    const landlock = { abi, writable: ["/tmp"], writableFiles: ["/f"] };
    return printPlan(landlockSteps({ linux: { namespaces: [], landlock } } as unknown as Spec, alone));
  };
  test.each([
    [2, "0x3fff", 0, 8],
    [3, "0x7fff", 0, 8],
    [4, "0x7fff", 0, 16],
    [5, "0xffff", 0, 16],
    [6, "0xffff", 3, 24],
    [7, "0xffff", 3, 24],
    [99, "0xffff", 3, 24],
  ])("%d", (abi, rights, scopes, bytes) => {
    const created = `landlock_create_ruleset({handled_access_fs=${rights}, scoped=${scopes}}, ${bytes}, 0)`;
    expect(planFor(abi)).toContain(created);
    expect(planFor(abi, false)).toContain("scoped=0");
  });
});
