/** A program that goes on by itself: whose it is then, and what it has. @module */
import { afterAll, expect } from "bun:test";
import { closeSync, openSync, readFileSync } from "node:fs";
import { daemonSteps, guardSteps, type Executed } from "../lib/plan/index.ts";
import { ARCH, elfImage, mapArena, Program, runProgram, sealedFile, syscall, unmapArena } from "../syscalls/index.ts";
import { noBusybox, testUnless } from "./support/machine.ts";
import { adoptOrphans, descendants, eventually, reapOrphans } from "./support/processes.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const [F_DUPFD_CLOEXEC, ABOVE] = [1030, 20];

/** @returns what the executor says */
function start(args: string[], out: string): number {
  const fd = openSync(out, "w+");
  const moved = syscall("move a descriptor", "fcntl", fd, F_DUPFD_CLOEXEC, ABOVE);
  const program = new Program(daemonSteps({ file: "/bin/busybox", args, env: ["A=B"] }, ["in", "out", "err"]), ARCH);
  const arena = mapArena(program.size);
  try {
    program.write(arena.bytes, arena.view, arena.address, { in: moved, out: moved, err: moved }, -1);
    return runProgram(arena.address, 0);
  } finally {
    unmapArena(arena);
    closeSync(moved);
    closeSync(fd);
  }
}

testUnless(noBusybox, "is nobody's child, leads a session, and has nothing but what it was given", async () => {
  adoptOrphans();
  const out = folder.write("out", "");
  // one that anybody would inherit
  const leaked = syscall("keep a descriptor", "fcntl", 2, 0, ABOVE);
  const before = readFileSync("/proc/self/status", "utf8").match(/^SigCgt:.*$/m)?.[0];
  // who is in between may not have ended when it begins
  const script =
    'sleep 0.1; echo "$(cut -d" " -f4 /proc/$$/stat) $A $(pwd)"; cut -d" " -f1,6 /proc/$$/stat; ls /proc/$$/fd | tr "\\n" " "; sleep 0.3; echo over';
  try {
    expect(start(["sh", "-c", script], out)).toBe(0);
    expect(await eventually(() => readFileSync(out, "utf8").endsWith("over\n"))).toBe(true);
  } finally {
    closeSync(leaked);
  }
  const [first = "", second = "", third = ""] = readFileSync(out, "utf8").split("\n");
  // this process adopts what has no parent any more
  expect(first).toBe(`${process.pid} B /`);
  const [pid, session] = second.split(" ");
  expect(Number(session)).toBeGreaterThan(0);
  expect(session).not.toBe(pid);
  expect(session).not.toBe(readFileSync("/proc/self/stat", "utf8").split(") ")[1]?.split(" ")[3] as string);
  expect(third.replace(/over$/, "").trim().split(" ").slice(0, 3)).toEqual(["0", "1", "2"]);
  expect(third).not.toContain(String(leaked));
  expect(readFileSync("/proc/self/status", "utf8").match(/^SigCgt:.*$/m)?.[0]).toBe(before as string);
  expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
});

testUnless(noBusybox, "has a guard, which ends with it, and becomes another program where it was killed", async () => {
  adoptOrphans();
  const out = folder.write("guarded", "");
  const shell = (script: string): Executed => ({ file: "/bin/busybox", args: ["sh", "-c", script], env: [] });
  /** @returns the guard */
  const begin = (script: string): number => {
    const again = { ...shell(`ls /proc/$$/fd >>${out}`), delayMs: 10 };
    const plan = guardSteps("a-guard", shell(script), 4, again);
    const file = sealedFile("guard", elfImage(new Program(plan, ARCH)));
    const child = Bun.spawn([`/proc/${process.pid}/fd/${file}`], { stdio: ["ignore", "ignore", "inherit"] });
    closeSync(file);
    return child.pid;
  };
  const said = () => readFileSync(out, "utf8");
  const isOver = () => (reapOrphans(), descendants().length === 0);
  for (const code of [0, 1]) {
    begin(`exit ${code}`);
    expect(await eventually(isOver)).toBe(true);
  }
  expect(said()).toBe("");
  const guard = begin(`echo $$ >>${out}; exec /bin/busybox sleep 1000`);
  expect(await eventually(() => /^\d+\n$/.test(said()))).toBe(true);
  expect(readFileSync(`/proc/${guard}/comm`, "utf8")).toBe("a-guard\n");
  process.kill(Number(said()), "SIGKILL");
  // with the first three, and perhaps the one by which they are listed
  expect(await eventually(() => /^\d+\n0\n1\n2\n(3\n)?$/.test(said()))).toBe(true);
  expect(await eventually(isOver)).toBe(true);
});

testUnless(noBusybox, "that cannot be executed leaves nothing", async () => {
  const program = new Program(daemonSteps({ file: "/nowhere", args: ["x"], env: [] }, []), ARCH);
  const arena = mapArena(program.size);
  program.write(arena.bytes, arena.view, arena.address, {}, -1);
  expect(runProgram(arena.address, 0)).toBe(0);
  unmapArena(arena);
  expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
});
