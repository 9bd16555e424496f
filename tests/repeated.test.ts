/** Requests that are made again come to the same as when they are made for the first time. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { hostRoot } from "../lib/sandbox/host.ts";
import { specFor } from "../lib/sandbox/request.ts";
import { requestedFor } from "../lib/sandbox/repeated.ts";
import type { Request } from "../lib/sandbox/stacked-root.ts";

const rootfs = mkdtempSync(join(tmpdir(), "tsbox-repeated-"));
for (const name of ["proc", "sys", "dev", "tmp"]) mkdirSync(join(rootfs, name));
afterAll(() => rmSync(rootfs, { recursive: true, force: true }));

const readOnly: Request = { rootfs, network: "host", security: { readOnly: true } };
const text = (value: unknown) => JSON.stringify(value, (_, each: unknown) => each ?? String(each));

test("the same request is made once, and another object that says the same is the same", () => {
  const [first, again] = [requestedFor(["true"], readOnly), requestedFor(["true"], structuredClone(readOnly))];
  expect(again).toBe(first);
  expect(text(first)).toBe(text(specFor(["true"], readOnly)));
});

const different: [string, string[], Request][] = [
  ["another argument", ["false"], readOnly],
  ["one more argument", ["true", ""], readOnly],
  ["arguments that begin elsewhere", ["tr", "ue"], readOnly],
  ["no network", ["true"], { rootfs, security: { readOnly: true } }],
  ["what can be written", ["true"], { rootfs, network: "host" }],
  ["privileges", ["true"], { ...readOnly, security: { readOnly: true, noNewPrivileges: false } }],
  ["capabilities", ["true"], { ...readOnly, security: { readOnly: true, capabilities: ["CHOWN"] } }],
  ["no filter", ["true"], { ...readOnly, security: { readOnly: true, seccomp: "none" } }],
  ["a variable", ["true"], { ...readOnly, env: { A: "1" } }],
  ["two variables", ["true"], { ...readOnly, env: { A: "1", B: "2" } }],
  ["a variable that looks like two", ["true"], { ...readOnly, env: { A: "1,1:B=1:2" } }],
  ["a variable less", ["true"], { ...readOnly, env: { PATH: undefined } }],
  ["a host name", ["true"], { ...readOnly, hostname: "other" }],
  ["a working directory", ["true"], { ...readOnly, cwd: "/tmp" }],
  ["a user", ["true"], { ...readOnly, user: "7:7" }],
  ["limits", ["true"], { ...readOnly, limits: { pids: 5 } }],
  ["a mount", ["true"], { ...readOnly, mounts: [{ type: "tmpfs", target: "/tmp" }] }],
  ["a mount of another size", ["true"], { ...readOnly, mounts: [{ type: "tmpfs", target: "/tmp", size: "1m" }] }],
  ["what is inherited", ["true"], Object.create({ ...readOnly, hostname: "above" }) as Request],
  ["what is hidden", ["true"], Object.defineProperty({ ...readOnly }, "hostname", { value: "hidden" })],
];

for (const [what, args, request] of different)
  test(`a request that differs by ${what} is another one, whichever comes first`, () => {
    const usual = text(specFor(["true"], readOnly));
    for (let round = 0; round < 2; round++) {
      expect(text(requestedFor(args, request))).toBe(text(specFor(args, request)));
      expect(text(requestedFor(["true"], readOnly))).toBe(usual);
    }
    expect(text(requestedFor(args, request))).not.toBe(usual);
  });

test("what callers change afterwards is theirs, and not that of the next sandbox", () => {
  const args = ["true"];
  const env: Record<string, string> = { LANG: "C" };
  const request = { ...readOnly, env };
  const first = text(requestedFor(args, request));
  args[0] = "id";
  env["LANG"] = "de";
  expect(text(requestedFor(["true"], { ...readOnly, env: { LANG: "C" } }))).toBe(first);
  expect(Object.isFrozen(args) || Object.isFrozen(env)).toBe(false);
});

test("a mount point that is gone, or there again, is seen", () => {
  const kindNow = () => requestedFor(["true"], readOnly).beside.root.kind;
  expect(kindNow()).toBe("directory");
  rmSync(join(rootfs, "sys"), { recursive: true });
  expect(kindNow()).toBe("overlay");
  mkdirSync(join(rootfs, "sys"));
  expect(kindNow()).toBe("directory");
});

test("a view of the host is not older than the one that others get", async () => {
  const request: Request = { network: "host" };
  const now = () => (requestedFor(["true"], request).beside.root as { entries?: unknown }).entries;
  expect(now()).toBe(hostRoot().entries);
  await Bun.sleep(1100);
  expect(now()).toBe(hostRoot().entries);
});

test("a root filesystem that is gone is an error the second time as well", () => {
  const gone = mkdtempSync(join(tmpdir(), "tsbox-repeated-"));
  const request = { rootfs: gone };
  requestedFor(["true"], request);
  rmSync(gone, { recursive: true });
  expect(() => requestedFor(["true"], request)).toThrow("no such directory");
});

test("wrong options are errors each time", () => {
  for (let round = 0; round < 2; round++)
    expect(() => requestedFor(["true"], { ...readOnly, hostname: "" })).toThrow("hostname");
});
