/** Attacks on the borders of namespaces; each has a control that shows that it would work. @module */
import { afterAll, describe, expect } from "bun:test";
import { Sandbox, type RunOptions } from "../../lib/index.ts";
import type { SeccompRule, Spec } from "../../lib/spec/index.ts";
import { close, trySyscall, type Op, type Plan } from "../../syscalls/index.ts";
import { asRoot, noBusybox, notRoot, SLOW, testUnless } from "../support/machine.ts";
import { buffer, call, cstring, kept, outcomes, probe, ref } from "../support/probe.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";
import { insertBefore, inTurn, runChanged, withoutCalls } from "../support/unprotected.ts";

const root = makeRootfs();
afterAll(() => root.remove());

const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const inRoot = (options: RunOptions = {}): RunOptions => ({ rootfs: root.path, ...options });

/** Puts a program that makes system calls into the root filesystem. @returns its path inside */
function program(...ops: Op[]): string {
  const image = probe(...ops);
  const path = `bin/probe-${Bun.hash(image).toString(36)}`;
  root.write(path, image, 0o755);
  return `/${path}`;
}

async function calls(ops: Op[], options: RunOptions = {}): Promise<(number | string)[]> {
  const { stdoutBytes } = await Sandbox.run([program(...ops)], inRoot(options));
  return outcomes(stdoutBytes);
}

const AT_FDCWD = -100;
const FLAGS = {
  mnt: 0x20000,
  cgroup: 0x2000000,
  uts: 0x4000000,
  ipc: 0x8000000,
  user: 0x10000000,
  pid: 0x20000000,
  net: 0x40000000,
  time: 0x80,
};
/** All that a caller can give away. */
const everything: RunOptions["security"] = {
  capabilities: ["SYS_ADMIN", "SYS_PTRACE", "SYS_CHROOT", "DAC_OVERRIDE", "DAC_READ_SEARCH", "KILL"],
  seccomp: "none",
};

describe("more namespaces", () => {
  for (const [name, flag] of Object.entries(FLAGS)) {
    attack(`unshare and clone make no ${name} namespace`, async () => {
      const ops = [call("unshare", flag), call("clone", flag | 17, 0, 0, 0, 0)];
      // clone(2) has no flag of its own for time
      const attempts = name === "time" ? ops.slice(0, 1) : ops;
      expect(await calls(attempts)).toEqual(attempts.map(() => "EPERM"));
      // the control: no filter, and the capability
      expect((await calls(ops.slice(0, 1), { security: everything }))[0]).toBe(0);
    });
  }

  attack("none of users, where a sysctl says so, even without a filter", async () => {
    const ops = [call("unshare", FLAGS.user)];
    const security = { seccomp: "none" } as const;
    const sysctls = { "user.max_user_namespaces": "0" };
    expect(await calls(ops, { security, sysctls })).toEqual(["ENOSPC"]);
    expect(await calls(ops, { security })).toEqual([0]); // the control
  });
});

describe("namespaces of the host", () => {
  /** Opens a namespace by its path, and joins it; then by a pidfd. */
  const joins = (pid: number | string) =>
    Object.entries(FLAGS).flatMap(([name, flag]) => [
      kept(name, call("openat", AT_FDCWD, cstring(`/proc/${pid}/ns/${name}`), 0, 0)),
      call("setns", ref(name), flag),
    ]);

  testUnless(notRoot, "cannot be joined with every capability inside, though the processes are seen", async () => {
    const victim = Bun.spawn(["sleep", "100"]);
    try {
      const pidfd = [
        kept("victim", call("pidfd_open", victim.pid, 0)),
        call("setns", ref("victim"), FLAGS.mnt),
        call("pidfd_getfd", ref("victim"), 0, 0),
        call("pidfd_send_signal", ref("victim"), 9, 0, 0),
        call("ptrace", 16, victim.pid, 0, 0),
      ];
      const options = { namespaces: { pid: "host" }, security: everything } as const;
      const [byPath, byPidfd] = await Promise.all([calls(joins(victim.pid), options), calls(pidfd, options)]);
      expect(byPath.filter((_, index) => index % 2 === 0)).toEqual(Object.keys(FLAGS).map(() => "EACCES"));
      expect(byPidfd.slice(1)).toEqual(["EPERM", "EPERM", "EPERM", "EPERM"]);
      expect([victim.exitCode, victim.signalCode]).toEqual([null, null]);
      // the control: without a user namespace of its own, all of it works
      const shared = { ...options, namespaces: { pid: "host", user: "host" } } as const;
      const opened = (await calls(joins(victim.pid), shared)).filter((_, index) => index % 2 === 0);
      for (const fd of opened) expect(fd).toBeGreaterThan(2);
      expect((await calls(pidfd, shared)).slice(1, 4)).toEqual([0, expect.any(Number), 0]);
      await victim.exited;
      expect(victim.signalCode).toBe("SIGKILL");
    } finally {
      victim.kill("SIGKILL");
    }
  });

  attack("have no path inside: what /proc shows are the sandbox's own", async () => {
    const { stdout } = await Sandbox.run(
      ["sh", "-c", "for p in /proc/[0-9]*; do readlink $p/ns/pid; done | sort -u; readlink /proc/self/ns/pid"],
      inRoot({ security: everything }),
    );
    const [links, own] = [stdout.trim().split("\n").slice(0, -1), stdout.trim().split("\n").at(-1)];
    expect(links).toEqual([own as string]);
    expect((await calls([call("pidfd_open", process.pid + 100_000, 0)], { security: everything }))[0]).toBe("ESRCH");
  });

  attack("/proc/1/root is the sandbox's own root", async () => {
    const line = "cat /proc/1/root/etc/hostname /proc/1/root/proc/version; ls -d /proc/1/root/bin/sh";
    const shown = (await Sandbox.run(["sh", "-c", `(${line}) 2>/dev/null; true`], inRoot())).stdout;
    expect(shown).toBe("");
    const all = (await Sandbox.run(["sh", "-c", "ls -A /proc/1/root/"], inRoot({ security: everything }))).stdout;
    // init has left the host's root: at most the new one can be seen in it
    for (const name of all.split("\n").filter(Boolean))
      expect(["bin", "dev", "etc", "proc", "sys", "tmp"]).toContain(name);
  });

  attack("the control: it would be the host's, had init stayed there, and were its program no secret", async () => {
    using outside = new Folder();
    const secret = outside.write("secret", "of the host\n");
    ["proc", "sys", "dev"].forEach((name) => root.directory(name));
    const stay = [
      withoutCalls("drop the host's root", "umount2"),
      insertBefore("become init", call("chroot", cstring("/.."))),
    ];
    // init's image is the same for all sandboxes of this process
    const mode = (bits: number) =>
      insertBefore(/^clone the sandbox.s first process/, call("fchmod", ref("init"), bits));
    const shown = async (...changes: ((plan: Plan) => Plan)[]) => {
      const options = inRoot({ security: { ...everything, readOnly: true } });
      return (await runChanged(["cat", `/proc/1/root${secret}`], options, { plan: inTurn(...changes) })).stdout;
    };
    expect(await shown(...stay, mode(0o555))).toBe("of the host\n");
    expect(await shown(mode(0o555))).toBe("");
    // for root's sandboxes, either is enough; an ordinary user is root inside, who may read files of that user's
    if (asRoot) expect(await shown(...stay, mode(0o111))).toBe("");
  });

  attack("a socket to the hypervisor: vsock belongs to no namespace", async () => {
    const AF_VSOCK = 40;
    const make = [call("socket", AF_VSOCK, 1, 0)];
    expect(await calls(make)).toEqual(["EAFNOSUPPORT"]);
    // the control, where the kernel knows them
    const fd = trySyscall("socket", AF_VSOCK, 1, 0);
    if (fd >= 0) close(fd);
    const [without] = await calls(make, { security: { seccomp: "none" } });
    expect(typeof without).toBe(fd >= 0 ? "number" : "string");
  });

  attack("the control, also where it knows none: it is the filter that refuses them", async () => {
    const [AF_VSOCK, EXDEV] = [40, 18];
    // the kernel does not look at the upper half of the register
    const make = [program(call("socket", AF_VSOCK, 1, 0), call("socket", 2 ** 32 + AF_VSOCK, 1, 0))];
    const refused = async (change: (rule: SeccompRule) => SeccompRule[]) => {
      const isAbout = ({ args }: SeccompRule) => args?.some(({ valueTwo }) => valueTwo === AF_VSOCK);
      const changed = ({ linux }: Spec) => {
        const { seccomp } = linux;
        if (seccomp)
          linux.seccomp = {
            ...seccomp,
            syscalls: seccomp.syscalls?.flatMap((rule) => (isAbout(rule) ? change(rule) : [rule])) ?? [],
          };
      };
      return outcomes((await runChanged(make, inRoot(), { spec: changed })).stdoutBytes);
    };
    expect(await refused((rule) => [{ ...rule, errnoRet: EXDEV }])).toEqual(["EXDEV", "EXDEV"]);
    const fd = trySyscall("socket", AF_VSOCK, 1, 0);
    if (fd >= 0) close(fd);
    // without the rule, the kernel's own answer
    for (const without of await refused(() => [])) expect(typeof without).toBe(fd >= 0 ? "number" : "string");
  });
});

describe("a process that joins namespaces in which somebody is waiting", () => {
  /** Looks into every process that it sees, for the owner's program, until it has been found or for so long. */
  const spy = (seconds: number) =>
    `end=$(($(cut -d. -f1 /proc/uptime) + ${seconds})); while [ $(cut -d. -f1 /proc/uptime) -lt $end ]; do
       for p in /proc/[0-9]*; do grep -q '${RUNTIME}' $p/maps 2>/dev/null && echo found && exit; done; done; echo nothing`;
  const RUNTIME = process.execPath.split("/").at(-1) as string;
  const pause = () => {
    const time = buffer("0.5 s", 16);
    new DataView(time.data.buffer).setBigInt64(8, BigInt(500_000_000 * Math.min(SLOW, 1)), true);
    return call("nanosleep", time, 0);
  };
  const PR_SET_DUMPABLE = 4;

  async function spied(...more: Op[]): Promise<string> {
    await using box = await Sandbox.create(inRoot({ security: everything }));
    const spying = box.spawn(["sh", "-c", spy(2 * SLOW)]);
    const options = inRoot({ namespaces: { user: box, pid: box } });
    // it stands still where it still has a copy of the owner's memory
    const plan = insertBefore('mount on "/proc"', ...more, pause());
    await runChanged(["true"], options, { plan });
    return (await new Response(spying.stdout).text()).trim();
  }

  attack("cannot be looked into while it has a copy of the owner's memory", async () => {
    expect(await spied()).toBe("nothing");
  });

  attack("the control: it could be, if it did not say otherwise", async () => {
    expect(await spied(call("prctl", PR_SET_DUMPABLE, 1))).toBe("found");
  });

  attack("brings nothing of the owner's where it joins a box by an image", async () => {
    await using box = await Sandbox.create(inRoot({ security: everything }));
    const spying = box.spawn(["sh", "-c", spy(2 * SLOW)]);
    for (let round = 0; round < 20; round++) await box.spawn(["true"]).exited;
    expect((await new Response(spying.stdout).text()).trim()).toBe("nothing");
  });
});
