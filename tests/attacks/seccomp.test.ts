/** What a seccomp filter stops: each call with the filter, and without it what the kernel says to the same call. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Sandbox, type RunOptions, type SecurityOptions } from "../../lib/index.ts";
import type { SeccompProfile } from "../../lib/spec/index.ts";
import { close, numberOf, trySyscall, type Op, type SyscallName } from "../../syscalls/index.ts";
import { noBusybox, noSandbox, testUnless } from "../support/machine.ts";
import { buffer, call, cstring, outcomes, probe } from "../support/probe.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const NONE: SecurityOptions = { seccomp: "none" };

/** Makes system calls in a sandbox. @returns what came of each */
async function calls(ops: Op[], security?: SecurityOptions): Promise<(number | string)[]> {
  const image = probe(...ops);
  const name = `probe-${Bun.hash(image).toString(36)}`;
  root.write(`bin/${name}`, image, 0o755);
  const options: RunOptions = { rootfs: root.path, ...(security ? { security } : {}) };
  return outcomes((await Sandbox.run([`/bin/${name}`], options)).stdoutBytes);
}

const zeros = (size: number) => buffer("zeros", size);
const words = (size: number, ...values: [at: number, value: number][]) => {
  const data = zeros(size);
  for (const [at, value] of values) new DataView(data.data.buffer).setBigUint64(at, BigInt(value), true);
  return data;
};
const [NEWUSER, NEWNS, SIGCHLD] = [0x10000000, 0x20000, 17];
const PROCESS_KEYRING = -2;

describe("is refused, and gets to the kernel without the filter:", () => {
  /** The call, what the filter says, and what the kernel says. */
  const CALLS: [name: string, ops: Op[], refused: string, kernel: (result: number | string) => boolean][] = [
    [
      "add_key: a key in a keyring, which no namespace holds",
      [call("add_key", cstring("user"), cstring("tsbox"), cstring("x"), 1, PROCESS_KEYRING)],
      "EPERM",
      (key) => typeof key === "number",
    ],
    [
      "request_key, which makes the kernel run a program",
      [call("request_key", cstring("user"), cstring("tsbox"), 0, PROCESS_KEYRING)],
      "EPERM",
      (result) => result === "ENOKEY",
    ],
    ["keyctl", [call("keyctl", 0, PROCESS_KEYRING, 1)], "EPERM", (keyring) => typeof keyring === "number"],
    ["clone into a user namespace", [call("clone", NEWUSER | SIGCHLD, 0, 0, 0, 0)], "EPERM", isProcess],
    [
      "clone into a user and a mount namespace, with a bit that the kernel does not look at",
      [call("clone", 2 ** 40 + (NEWUSER | NEWNS | SIGCHLD), 0, 0, 0, 0)],
      "EPERM",
      (result) => isProcess(result) || result === "EINVAL",
    ],
    [
      "clone3, whose flags lie where no filter can look: libc falls back to clone",
      [call("clone3", words(64, [0, NEWUSER], [32, SIGCHLD]), 64)],
      "ENOSYS",
      isProcess,
    ],
    ["unshare", [call("unshare", NEWUSER | NEWNS)], "EPERM", (result) => result === 0],
    [
      "io_uring, whose operations no filter sees",
      [call("io_uring_setup", 1, zeros(120))],
      "EPERM",
      // a sysctl may forbid it for everybody
      (result) => typeof result === "number" || result === "EPERM",
    ],
    [
      "userfaultfd, to stop the kernel in its tracks",
      [call("userfaultfd", 1)],
      "EPERM",
      (fd) => typeof fd === "number",
    ],
    ["AF_VSOCK, past a comparison of 64 bits", [call("socket", 2 ** 32 + 40, 1, 0)], "EAFNOSUPPORT", hasFamily(40, 1)],
    ["AF_ALG", [call("socket", 38, 5, 0)], "EAFNOSUPPORT", hasFamily(38, 5)],
    ["personality with ADDR_NO_RANDOMIZE", [call("personality", 0x40000)], "EPERM", (result) => result === 0],
    ["modify_ldt", [call("modify_ldt", 0, 0, 0)], "EPERM", (result) => result === 0],
    [
      "kcmp: addresses of the kernel, in order",
      [call("kcmp", 1, 1, 0, 0, 0)],
      "EPERM",
      (result) => result !== "ENOSYS",
    ],
  ];
  for (const [name, ops, refused, kernel] of CALLS) {
    const known = ops.every((op) => numberOf(op.call as SyscallName) >= 0);
    testUnless(noBusybox ?? (known ? undefined : "this architecture has no such call"), name, async () => {
      expect(await calls(ops)).toEqual([refused]);
      const [result] = await calls(ops, NONE);
      // a kernel without the call says so
      expect([result, result === "ENOSYS" || kernel(result as number | string)]).toEqual([result, true]);
    });
  }
});

/** Of the parent, or of the child, which writes its own results as well. */
function isProcess(result: number | string): boolean {
  return typeof result === "number" && result >= 0;
}

/** Without the filter there is a socket, where the machine has such ones. */
function hasFamily(family: number, type: number): (result: number | string) => boolean {
  const fd = trySyscall("socket", family, type, 0);
  if (fd >= 0) close(fd);
  return (result) => fd < 0 || typeof result === "number";
}

describe("a filter stays", () => {
  testUnless(noBusybox, "for what is executed, and what another thread or child does", async () => {
    const line = "sh -c 'grep -h ^Seccomp: /proc/self/status /proc/self/task/*/status' | sort -u";
    const filtered = await Sandbox.run(["sh", "-c", line], { rootfs: root.path });
    const bare = await Sandbox.run(["sh", "-c", line], { rootfs: root.path, security: NONE });
    expect([filtered.stdout, bare.stdout]).toEqual(["Seccomp:\t2\n", "Seccomp:\t0\n"]);
  });

  testUnless(noBusybox, "when the process loads one of its own that allows everything", async () => {
    const allowAll = buffer("return ALLOW", 8);
    new DataView(allowAll.data.buffer).setUint16(0, 0x06, true);
    new DataView(allowAll.data.buffer).setUint32(4, 0x7fff0000, true);
    const program = { ...buffer("filter", 16), pointers: [{ offset: 8, to: allowAll }] };
    program.data[0] = 1;
    expect(await calls([call("seccomp", 1, 0, program), call("unshare", NEWUSER)])).toEqual([0, "EPERM"]);
    expect(await calls([call("seccomp", 1, 0, program), call("unshare", NEWUSER)], NONE)).toEqual([0, 0]);
  });
});

describe("a profile of the caller's", () => {
  const killing = (action: SeccompProfile["defaultAction"]): SeccompProfile => ({
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdirat", "mkdir"], action }],
  });

  testUnless(noBusybox, "ends a process for a call, and the reason says so", async () => {
    const run = (action: SeccompProfile["defaultAction"]) =>
      Sandbox.run(["mkdir", "/tmp/x"], { rootfs: root.path, security: { seccomp: killing(action) } });
    for (const action of ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP"] as const)
      expect(await run(action)).toMatchObject({ reason: "seccomp", signalCode: "SIGSYS", exitCode: null });
    expect(await run("SCMP_ACT_LOG")).toMatchObject({ reason: "exit", exitCode: 0 });
    // without a tracer the kernel says ENOSYS
    expect((await run("SCMP_ACT_TRACE")).stderr).toContain("Function not implemented");
  });
});

// static, without a C library: unshare(CLONE_NEWUSER) by the i386 ABI, and what came of it as the exit status
const I386 = `
static int i386(int nr, int argument) { int r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(argument) : "memory", "r8", "r9", "r10", "r11"); return r; }
void _start(void) {
	int result = i386(310, 0x10000000);
	__asm__ volatile("syscall" :: "a"(231), "D"(-result) : "memory", "rcx", "r11");
}`;
const noI386 =
  noSandbox ??
  (process.arch === "x64" && Bun.which("gcc") ? undefined : "needs gcc, and an x86-64 kernel with the i386 ABI");

describe("the i386 ABI of a 64-bit program", () => {
  beforeAll(() => {
    if (noI386 !== undefined) return;
    const source = outside.write("i386.c", I386);
    const flags = ["-O1", "-static", "-nostdlib", "-fno-stack-protector", "-o"];
    const { exitCode } = Bun.spawnSync(["gcc", ...flags, `${root.path}/bin/i386`, source], { stderr: "inherit" });
    expect(exitCode).toBe(0);
  });

  testUnless(noI386, "is no way around the filter", async () => {
    const run = (security: SecurityOptions) => Sandbox.run(["/bin/i386"], { rootfs: root.path, security });
    const [ENOSYS, EPERM] = [38, 1];
    expect((await run({})).exitCode).toBe(ENOSYS);
    // not even where a profile that names the call does not list the ABI, or does
    const refusing = { defaultAction: "SCMP_ACT_ALLOW", syscalls: [{ names: ["unshare"], action: "SCMP_ACT_ERRNO" }] };
    expect((await run({ seccomp: refusing as SeccompProfile })).exitCode).toBe(ENOSYS);
    const listing = { ...refusing, architectures: ["SCMP_ARCH_X86"] } as SeccompProfile;
    expect((await run({ seccomp: listing })).exitCode).toBe(EPERM);
    // the control: without a filter, or with one that allows it, it works
    const hasAbi = (await run(NONE)).exitCode !== ENOSYS;
    if (!hasAbi) return;
    expect((await run(NONE)).exitCode).toBe(0);
    expect((await run({ seccomp: { ...listing, syscalls: [] } })).exitCode).toBe(0);
  });
});

test("no test here leaves a key behind", () => {
  expect(readFileSync("/proc/keys", "utf8")).not.toContain("tsbox");
});
