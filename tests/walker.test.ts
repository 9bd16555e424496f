/** The process that makes calls for another one: it ends with whoever made it, and holds nobody up. @module */
import { expect, test } from "bun:test";
import { join } from "node:path";

const SYSCALLS = join(import.meta.dir, "../syscalls/index.ts");

/** In a program of its own: what waits for a child stands still, and no test could end it. */
const PROGRAM = `
import { readdirSync, readlinkSync } from "node:fs";
import { Walker } from ${JSON.stringify(SYSCALLS)};
const sockets = () => new Set(readdirSync("/proc/self/fd").filter((fd) => {
  try { return readlinkSync("/proc/self/fd/" + fd).startsWith("socket:"); } catch { return false; }
}));
const walked = { failed: () => 0, reached: () => {} };
const before = sockets();
const first = new Walker([], walked);
const [own] = [...sockets()].filter((fd) => !before.has(fd)).map(Number);
const second = new Walker([own], walked);
first[Symbol.dispose]();
console.log("over");
second[Symbol.dispose]();
`;

test("is over when it is disposed of, although another process has a copy of this end", async () => {
  const child = Bun.spawn([process.execPath, "-e", PROGRAM], { stdin: "ignore", stderr: "pipe", env: process.env });
  const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
  const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  clearTimeout(late);
  expect([stdout, stderr, status]).toEqual(["over\n", "", 0]);
});
