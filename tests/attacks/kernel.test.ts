/** Attacks by way of system calls and other processes; each has a control that shows that it would work. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { Sandbox, type RunOptions } from "../../lib/index.ts";
import { CAPABILITIES } from "../../lib/plan/index.ts";
import { close, numberOf, syscall, trySyscall, type Op } from "../../syscalls/index.ts";
import { noBusybox, notRoot, testUnless } from "../support/machine.ts";
import { bindAbstract } from "../support/abstract-socket.ts";
import { buffer, call, cstring, kept, outcomes, probe, ref } from "../support/probe.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";
import { runChanged, withoutCalls } from "../support/unprotected.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const inRoot = (options: RunOptions = {}): RunOptions => ({ rootfs: root.path, ...options });
const sh = (line: string, options: RunOptions = {}) => Sandbox.run(["/bin/sh", "-c", line], inRoot(options));

/** Makes system calls in a sandbox. @returns what came of each */
async function calls(ops: Op[], options: RunOptions = {}): Promise<(number | string)[]> {
  const image = probe(...ops);
  const name = `probe-${Bun.hash(image).toString(36)}`;
  root.write(`bin/${name}`, image, 0o755);
  const { stdoutBytes } = await Sandbox.run([`/bin/${name}`], inRoot(options));
  return outcomes(stdoutBytes);
}
/** The same on the host. */
function callsOutside(...ops: Op[]): (number | string)[] {
  const path = outside.write("probe", probe(...ops), 0o755);
  return outcomes(Bun.spawnSync([path]).stdout);
}

const [NEWUSER, NEWNS, NEWUTS] = [0x10000000, 0x20000, 0x4000000];
const AT_FDCWD = -100;
const zeros = (size: number) => buffer("zeros", size);
const cloneArgs = () => {
  const args = zeros(88);
  new DataView(args.data.buffer).setBigUint64(0, BigInt(NEWUSER), true);
  return args;
};

describe("system calls that the seccomp filter refuses", () => {
  const admin = { capabilities: ["SYS_ADMIN"], seccomp: "none" as const };
  /** The call, what is said, and without the filter (and with a capability, where the kernel asks for it): not that. */
  const CALLS: [
    name: string,
    ops: () => Op[],
    refused: string,
    without: RunOptions["security"],
    allowed?: (string | number)[],
  ][] = [
    ["unshare of a user namespace", () => [call("unshare", NEWUSER)], "EPERM", { seccomp: "none" }, [0]],
    ["unshare of mounts", () => [call("unshare", NEWNS)], "EPERM", admin, [0]],
    [
      "clone3, which can do the same",
      () => [call("clone3", cloneArgs(), 0)],
      "ENOSYS",
      { seccomp: "none" },
      ["EINVAL"],
    ],
    [
      "setns",
      () => [
        kept("ns", call("openat", AT_FDCWD, cstring("/proc/self/ns/uts"), 0, 0)),
        call("setns", ref("ns"), NEWUTS),
      ],
      "EPERM",
      admin,
      [0],
    ],
    ["mount", () => [call("mount", cstring("x"), cstring("/tmp"), cstring("tmpfs"), 0, 0)], "EPERM", admin, [0]],
    ["fsopen, the newer way to mount", () => [call("fsopen", cstring("tmpfs"), 1)], "EPERM", admin, [3]],
    ["open_tree", () => [call("open_tree", AT_FDCWD, cstring("/tmp"), 1)], "EPERM", admin, [3]],
    ["umount", () => [call("umount2", cstring("/sys"), 2)], "EPERM", admin, [0, "EINVAL"]],
    ["pivot_root", () => [call("pivot_root", cstring("."), cstring("."))], "EPERM", admin, ["EINVAL", "EBUSY"]],
    ["keyctl: the keyring is not of any namespace", () => [call("keyctl", 0, -3, 1)], "EPERM", { seccomp: "none" }],
    ["bpf", () => [call("bpf", 0, zeros(72), 72)], "EPERM", { seccomp: "none" }],
    ["io_uring_setup", () => [call("io_uring_setup", 1, zeros(120))], "EPERM", { seccomp: "none" }],
    ["userfaultfd", () => [call("userfaultfd", 1)], "EPERM", { seccomp: "none" }],
    ["perf_event_open", () => [call("perf_event_open", zeros(128), 0, -1, -1, 0)], "EPERM", { seccomp: "none" }],
    ["ptrace of init", () => [call("ptrace", 16, 1, 0, 0)], "EPERM", undefined],
    ["kexec_load", () => [call("kexec_load", 0, 0, 0, 0)], "EPERM", undefined],
    ["reboot", () => [call("reboot", 0, 0, 0, 0)], "EPERM", undefined],
    ["init_module", () => [call("init_module", zeros(8), 8, cstring(""))], "EPERM", undefined],
    ["settimeofday", () => [call("settimeofday", zeros(16), 0)], "EPERM", undefined],
    ["swapon", () => [call("swapon", cstring("/x"), 0)], "EPERM", undefined],
    ["acct", () => [call("acct", cstring("/tmp/x"))], "EPERM", undefined],
    ["quotactl", () => [call("quotactl", 0, 0, 0, 0)], "EPERM", undefined],
    ["syslog", () => [call("syslog", 3, zeros(64), 64)], "EPERM", undefined],
  ];
  for (const [name, ops, refused, without, allowed] of CALLS) {
    const known = ops().every((op) => numberOf(op.call as "getpid") >= 0);
    const reason = noBusybox ?? (known ? undefined : "this architecture has no such call");
    testUnless(reason, name, async () => {
      expect((await calls(ops())).at(-1)).toBe(refused);
      if (without === undefined) return;
      const result = (await calls(ops(), { security: without })).at(-1) as string | number;
      if (allowed) expect(allowed).toContain(result);
    });
  }

  testUnless(
    notRoot,
    "the control for those that no capability inside allows: outside, the kernel looks at their arguments",
    () => {
      const nothing = [
        call("keyctl", 0, -3, 1),
        call("bpf", 999, zeros(72), 72),
        call("userfaultfd", 2 ** 20),
        call("perf_event_open", zeros(128), 0, -1, -1, 2 ** 20),
      ];
      for (const result of callsOutside(...nothing)) expect(result).not.toBe("EPERM");
    },
  );

  attack("a filter is inherited, and cannot be taken off", async () => {
    const [PR_SET_SECCOMP, SECCOMP_SET_MODE_STRICT_NO] = [22, 0];
    expect(await calls([call("prctl", PR_SET_SECCOMP, SECCOMP_SET_MODE_STRICT_NO), call("unshare", NEWUSER)])).toEqual([
      "EINVAL",
      "EPERM",
    ]);
    expect((await sh("sh -c 'sh -c \"grep Seccomp: /proc/self/status\"'")).stdout).toBe("Seccomp:\t2\n");
  });

  attack("numbers of the 32-bit and x32 ABIs are no way around it", async () => {
    if (process.arch !== "x64") return expect(process.arch).toBe("arm64");
    const X32 = 0x40000000;
    const image = probe(call("getpid"));
    // the same program with a number that no table has
    const view = new DataView(image.buffer);
    const at = image.findIndex(
      (_, index) => index >= 12288 && index % 64 === 0 && view.getInt32(index, true) === numberOf("getpid"),
    );
    view.setInt32(at, numberOf("unshare") + X32, true);
    root.write("bin/x32", image, 0o755);
    const { stdoutBytes } = await Sandbox.run(["/bin/x32"], inRoot());
    expect(["ENOSYS", "EPERM"]).toContain(outcomes(stdoutBytes)[0] as string);
  });
});

describe("TIOCSTI: typing into a terminal that is shared with the host", () => {
  const [TIOCSTI, TIOCLINUX, HIGH] = [0x5412, 0x541c, 2 ** 32];
  const ioctl = (request: number) => [
    kept("file", call("openat", AT_FDCWD, cstring("/dev/null"), 2, 0)),
    call("ioctl", ref("file"), request, cstring("x")),
  ];

  attack("is refused, also with bits that the kernel does not look at", async () => {
    for (const request of [TIOCSTI, TIOCSTI + HIGH, TIOCLINUX, TIOCLINUX + HIGH]) {
      expect([request, (await calls(ioctl(request)))[1]]).toEqual([request, "EIO"]);
    }
  });

  attack("the control: without a filter, the kernel looks at the file", async () => {
    for (const request of [TIOCSTI, TIOCSTI + HIGH])
      expect((await calls(ioctl(request), { security: { seccomp: "none" } }))[1]).toBe("ENOTTY");
  });

  attack("the command has no controlling terminal, even where stdin is the owner's", async () => {
    const script = outside.script(
      `const { stdout } = await Sandbox.run(["sh", "-c", "(: </dev/tty) 2>&1; cut -d' ' -f7 /proc/self/stat"], { rootfs: ${JSON.stringify(root.path)}, stdin: "inherit" }); console.log(stdout);`,
    );
    const { stdout } = Bun.spawnSync(["setsid", process.execPath, script]);
    expect(stdout.toString()).toMatch(/No such device or address\n0\n/);
  });
});

describe("descriptors of the owner", () => {
  const F_DUPFD = 0;

  attack("none leaks, into a command or into one that joins", async () => {
    const directory = openSync("/", "r");
    const leaks = [30, 60, 90].map((above) => syscall("leak", "fcntl", directory, F_DUPFD, above));
    const ops = [...leaks, 3, 4, 5, 6, 7, 8].map((fd) => call("fchdir", fd));
    const results = await calls(ops);
    const image = probe(...ops);
    root.write("bin/joins", image, 0o755);
    await using box = await Sandbox.create(inRoot());
    const joined = outcomes(await new Response(box.spawn(["/bin/joins"]).stdout).bytes());
    const others = Bun.spawnSync(["sh", "-c", "ls /proc/self/fd"]).stdout.toString();
    closeSync(directory);
    leaks.forEach(close);
    expect(results).toEqual(ops.map(() => "EBADF"));
    expect(joined).toEqual(ops.map(() => "EBADF"));
    expect(others).not.toContain("30"); // Bun closes them as well
  });

  attack("the control: where they are not closed, a command goes where they lead", async () => {
    const directory = openSync("/", "r");
    const leak = syscall("leak", "fcntl", directory, F_DUPFD, 60);
    root.write("bin/goes", probe(call("fchdir", leak)), 0o755);
    const plan = withoutCalls("connect stdin, stdout and stderr, and close everything else", "close_range");
    const { stdoutBytes } = await runChanged(["/bin/goes"], inRoot(), { plan });
    closeSync(directory);
    close(leak);
    expect(outcomes(stdoutBytes)).toEqual([0]);
  });

  test("the control: such a descriptor is inherited by others", () => {
    const directory = openSync("/", "r");
    const leak = syscall("leak", "fcntl", directory, F_DUPFD, 30);
    const flags = trySyscall("fcntl", leak, 1);
    closeSync(directory);
    close(leak);
    expect(flags).toBe(0); // not close-on-exec
  });
});

describe("init", () => {
  const looks = ["environ", "mem", "maps", "auxv", "stack", "syscall", "fd/0", "fd/3", "root", "cwd", "exe"];
  const line = looks
    .map((name) => `(ls /proc/1/${name}/ || head -c 1 /proc/1/${name}) >/dev/null 2>&1 && echo ${name}`)
    .join("; ");

  attack("cannot be looked into: memory, environment, descriptors, root", async () => {
    expect((await sh(`sleep 0.1; ${line}; true`)).stdout).toBe("");
    await using box = await Sandbox.create(inRoot());
    expect(await new Response(box.spawn(["sh", "-c", `${line}; true`]).stdout).text()).toBe("");
  });

  testUnless(notRoot, "not even with every capability, as its program cannot be read either", async () => {
    const all = { capabilities: [...CAPABILITIES], seccomp: "none" as const };
    const readable = ["environ", "mem", "maps", "auxv", "root", "cwd", "exe"];
    const look = readable.map((name) => `(: </proc/1/${name}) 2>/dev/null && echo ${name}`).join("; ");
    expect((await sh(`${look}; true`, { security: all })).stdout).toBe("");
    // the control: what joins a box has to look into its init, and so may all in it that have the capability
    await using box = await Sandbox.create(inRoot({ security: all }));
    const { stdout } = box.spawn(["sh", "-c", `${look}; true`]);
    expect((await new Response(stdout).text()).split("\n")).toContain("mem");
  });

  attack("the control: a process of one's own can", async () => {
    const own = line.replaceAll("/proc/1/", "/proc/self/");
    const { stdout } = await sh(`${own}; true`);
    for (const name of ["environ", "maps", "fd/0", "root"]) expect(stdout.split("\n")).toContain(name);
  });

  attack("with every capability there is nothing in it: no environment, no root of the host, two sockets", async () => {
    const security = {
      capabilities: ["SYS_PTRACE", "SYS_ADMIN", "DAC_OVERRIDE", "DAC_READ_SEARCH"],
      seccomp: "none" as const,
    };
    const { stdout } = await sh(
      "cat /proc/1/environ 2>/dev/null; ls -A /proc/1/root/../.. 2>/dev/null; ls -l /proc/1/fd 2>/dev/null | grep -v total | sed 's/.*-> //; s/[0-9]//g' | sort -u",
      { security },
    );
    const seen = stdout
      .trim()
      .split("\n")
      .filter((each) => !/^(bin|dev|etc|proc|sys|tmp)$/.test(each));
    for (const each of seen)
      expect(["", "socket:[]", "anon_inode:[pidfd]", "pidfd:[]", "anon_inode:[signalfd]"]).toContain(each);
  });

  attack("a process that waits outside for one that joined cannot be seen inside", async () => {
    await using box = await Sandbox.create(inRoot());
    const first = box.spawn(["sleep", "100"]);
    const text = await new Response(box.spawn(["sh", "-c", "sleep 0.1; cat /proc/[0-9]*/comm | sort"]).stdout).text();
    expect(text.split("\n").filter((name) => /tsbox|bun/.test(name))).toEqual(["tsbox-init"]);
    expect(text).toContain("sleep\n");
    first.kill("KILL");
    await first.exited;
  });
});

describe("processes of the host", () => {
  attack("have no numbers inside, and no signal reaches them", async () => {
    const victim = Bun.spawn(["sleep", "100"]);
    const { stdout } = await sh(
      `kill -9 ${victim.pid} 2>/dev/null && echo killed; kill -9 ${process.pid} 2>/dev/null && echo killed; ls -d /proc/${process.pid} 2>/dev/null; true`,
    );
    // everything that this one may signal
    await sh("kill -9 -1");
    expect([stdout, victim.exitCode, victim.signalCode]).toEqual(["", null, null]);
    victim.kill();
    await victim.exited;
  });

  testUnless(notRoot, "in a shared pid namespace they can be seen, but neither signalled nor looked into", async () => {
    const secret = outside.write("secret", "of the host\n");
    const victim = Bun.spawn(["sleep", "100"], { env: { SECRET: "s3cr3t" } });
    const options: RunOptions = {
      namespaces: { pid: "host" },
      security: { capabilities: ["KILL", "SYS_PTRACE", "DAC_OVERRIDE"], seccomp: "none" },
    };
    const pid = victim.pid;
    const attacks = `kill -9 ${pid}; cat /proc/${pid}/environ; cat /proc/${pid}/root${secret}; ls /proc/${pid}/fd/; cat /proc/${pid}/mem; cat /proc/${process.pid}/environ`;
    const { stdout } = await sh(`cat /proc/${pid}/comm; (${attacks}) 2>/dev/null; true`, options);
    expect([stdout, victim.exitCode, victim.signalCode]).toEqual(["sleep\n", null, null]);
    // the control: on the host, all of that works
    expect(readFileSync(`/proc/${pid}/environ`, "utf8")).toContain("s3cr3t");
    expect(readFileSync(`/proc/${pid}/root${secret}`, "utf8")).toBe("of the host\n");
    victim.kill("SIGKILL");
    await victim.exited;
    expect(victim.signalCode).toBe("SIGKILL");
  });

  attack("in a shared pid namespace nothing escapes from being killed with the sandbox", async () => {
    const marker = `${1000 + (process.pid % 1000)}.${Date.now() % 100000}`;
    const options: RunOptions = { namespaces: { pid: "host" }, stdout: "ignore" };
    await sh(
      `setsid sleep ${marker} 2>/dev/null & (sleep ${marker} &) ; nohup sleep ${marker} >/dev/null 2>&1 & sleep 0.1; exit 0`,
      options,
    );
    await Bun.sleep(100);
    const left = Bun.spawnSync([
      "sh",
      "-c",
      `grep -al '${marker}' /proc/[0-9]*/cmdline 2>/dev/null | grep -v "/$$/" | grep -v self`,
    ]).stdout.toString();
    const sleeping = left.split("\n").filter((path) => path !== "" && commandOf(path).startsWith("sleep"));
    expect(sleeping).toEqual([]);
  });

  attack("a process of one sandbox does not see another's", async () => {
    await using first = await Sandbox.create(inRoot());
    const running = first.spawn(["sleep", "100"]);
    expect((await sh("pidof sleep || echo none")).stdout).toBe("none\n");
    running.kill("KILL");
    await running.exited;
  });
});

describe("the network", () => {
  attack("a server of the host's cannot be reached", async () => {
    using server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response("hello") });
    const port = server.port ?? 0;
    // struct sockaddr_in
    const address = buffer("address", 16);
    address.data.set([2, 0, port >> 8, port & 255, 127, 0, 0, 1]);
    const connect = () => [kept("socket", call("socket", 2, 1, 0)), call("connect", ref("socket"), address, 16)];
    expect((await calls(connect()))[1]).toBe("ECONNREFUSED");
    expect((await calls(connect(), { network: "host" }))[1]).toBe(0); // the control
  });

  attack("an abstract socket of the host's cannot be reached", async () => {
    const name = `tsbox-test-${process.pid}`;
    const address = buffer("address", 32);
    address.data.set([1, 0, 0, ...new TextEncoder().encode(name)]);
    const length = 3 + name.length;
    const fd = syscall("make a socket", "socket", 1, 1, 0);
    try {
      bindAbstract(fd, address.data, length);
      const connect = () => [kept("socket", call("socket", 1, 1, 0)), call("connect", ref("socket"), address, length)];
      expect((await calls(connect()))[1]).toBe("ECONNREFUSED");
      expect((await calls(connect(), { network: "host" }))[1]).toBe(0); // the control
    } finally {
      close(fd);
    }
  });

  attack("raw and packet sockets need a capability that is not given", async () => {
    const [AF_INET, AF_PACKET, SOCK_RAW] = [2, 17, 3];
    expect(await calls([call("socket", AF_INET, SOCK_RAW, 1), call("socket", AF_PACKET, SOCK_RAW, 0)])).toEqual([
      "EPERM",
      "EPERM",
    ]);
    const control = await calls([call("socket", AF_INET, SOCK_RAW, 1)], { security: { capabilities: ["NET_RAW"] } });
    expect(control).toEqual([3]);
  });
});

describe("capabilities", () => {
  attack("a file cannot give back what was dropped from the bounding set", async () => {
    // a program with cap_net_raw in its file capabilities, as setcap(8) makes it: VFS_CAP_REVISION_2
    const value = new Uint8Array(20);
    new DataView(value.buffer).setUint32(0, 0x02000001, true);
    new DataView(value.buffer).setUint32(4, 1 << 13, true);
    const attribute = { data: value, text: "cap_net_raw+ep" };
    const set = call("setxattr", cstring("/tmp/program"), cstring("security.capability"), attribute, 20, 0);
    const image = probe(set);
    root.write("bin/setcap", image, 0o755);
    root.write("bin/raw", probe(call("socket", 2, 3, 1)), 0o755);
    const { stdoutBytes } = await sh("cp /bin/raw /tmp/program; /bin/setcap; /tmp/program 2>/dev/null; true");
    const results = outcomes(stdoutBytes);
    expect(results[0]).toBe(0);
    // it is not executed at all, or without the capability
    expect([undefined, "EPERM"]).toContain(results[1] as string | undefined);
  });

  attack("changing the user inside does not change who it is on the host", async () => {
    const secret = outside.write("mine", "x", 0o600);
    const { stdout } = await sh(
      `cat /host/mine 2>&1 | head -c 1; cd /host; chown 12345 mine 2>/dev/null && echo changed; true`,
      {
        mounts: [{ type: "bind", source: outside.path, target: "/host", readOnly: true }],
      },
    );
    expect(stdout).toBe("x");
    expect(readFileSync(secret, "utf8")).toBe("x");
  });
});

function commandOf(path: string): string {
  try {
    return readFileSync(path, "utf8").replaceAll("\0", " ");
  } catch {
    return "";
  }
}
