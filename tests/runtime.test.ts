/** The JavaScript runtime that a program runs on, as the interpreter of scripts that it does not trust. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import { wantsRuntime } from "../lib/sandbox/runtime.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, noSandbox, SLOW, testUnless } from "./support/machine.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const folder = new Folder();
const rootfs = makeRootfs();
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));

const TIMEOUT_MS = 20_000 * SLOW;
const TARGET = "/opt/bun/bin/bun";
const deno = join(import.meta.dir, "../node_modules/.bin/deno");

describe("a request comes with it", () => {
  const has = (command: string[], options: RunOptions = {}) => {
    const { mounts, process: child } = Sandbox.spec(command, options);
    const mount = mounts.find(({ destination }) => destination === TARGET);
    expect(child.env.some((line) => line.startsWith("PATH=") && line.endsWith(":/opt/bun/bin"))).toBe(
      mount !== undefined,
    );
    return mount !== undefined;
  };

  test.each<[string, string[], RunOptions, boolean]>([
    ["the command is its name", ["bun", "x.ts"], {}, true],
    ["the command is its name, in a view of the host", ["bun"], { rootfs: "host" }, true],
    ["not where it is refused", ["bun"], { runtime: false }, false],
    ["not for another command", ["sh", "bun"], {}, false],
    ["not for another runtime", ["deno"], {}, false],
    ["not for a path", ["/usr/bin/bun"], {}, false],
    ["not in a directory, which may have its own", ["bun"], { rootfs: rootfs.path }, false],
    ["not in the host's mount namespace", ["bun"], { namespaces: { mount: "host" } }, false],
    ["it is asked for", ["sh"], { runtime: true }, true],
    ["it is asked for in a directory", ["sh"], { runtime: true, rootfs: rootfs.path }, true],
  ])("%s", (_, command, options, expected) => expect(has(command, options)).toBe(expected));

  test("not where the host has one that sandboxes see", () => {
    folder.link("bin/bun", "/usr/bin/env");
    expect(wantsRuntime("bun", {}, `/no/such:${folder.path}/bin`)).toBe(false);
    folder.link("elsewhere/bun", process.execPath);
    expect(wantsRuntime("bun", {}, `${folder.path}/elsewhere`)).toBe(!process.execPath.startsWith("/usr/"));
  });

  test("read-only, and as nobody's file: no ids are mapped", () => {
    const mount = Sandbox.spec(["bun"]).mounts.find(({ destination }) => destination === TARGET);
    expect(mount).toEqual({
      destination: TARGET,
      type: "bind",
      source: process.execPath,
      options: ["rbind", "rro", "rnosuid", "rnodev"],
    });
  });

  test.each<[unknown, string]>([
    [{ runtime: "bun" }, 'use the runtime "bun": not understood'],
    [{ runtime: true, namespaces: { mount: "host" } }, 'use "runtime" in the host\'s mount namespace'],
  ])("%j is refused", async (options, message) => {
    const error = await failureOf(() => Sandbox.spec(["true"], options as RunOptions));
    expect(error.code).toBe("invalid_option");
    expect(error.message).toContain(message);
  });
});

testUnless(
  noSandbox ?? noBusybox,
  "where it was not asked for and is missed, the error says how to ask",
  async () => {
    await using box = await Sandbox.create({ rootfs: rootfs.path });
    const hint = expect.stringContaining('"runtime: true"');
    for (const attempt of [
      () => box.spawn(["bun", "-v"]).result(),
      () => Sandbox.run(["bun", "-v"], { rootfs: rootfs.path }),
    ])
      expect(await failureOf(attempt)).toMatchObject({ code: "command_not_found", hint });
    const { hint: other } = await failureOf(() => box.spawn(["bum"]).result());
    expect(other).not.toContain("runtime");
  },
  TIMEOUT_MS,
);

describe("a script", () => {
  testUnless(
    noSandbox,
    "that is bound runs, TypeScript included, and sees nothing of the owner's",
    async () => {
      const source = folder.directory("app");
      folder.write("app/script.ts", "const who: string = process.env.WHO!; console.log(who, process.argv.slice(2));");
      folder.write("app/secret.ts", "console.log(JSON.stringify([process.env, require('fs').readdirSync('/opt')]));");
      const options: RunOptions = {
        mounts: [{ type: "bind", source, target: "/app", readOnly: true }],
        cwd: "/app",
        env: { WHO: "me" },
      };
      const { stdout, stderr, exitCode } = await Sandbox.run(["bun", "script.ts", "a b"], options);
      expect({ stdout, stderr, exitCode }).toEqual({ stdout: 'me [ "a b" ]\n', stderr: "", exitCode: 0 });
      const [env, opt] = JSON.parse((await Sandbox.run(["bun", "secret.ts"], options)).stdout) as [object, string[]];
      expect(Object.keys(env).toSorted()).toEqual(["HOME", "HOSTNAME", "PATH", "WHO"]);
      expect(opt).toEqual(["bun"]);
    },
    TIMEOUT_MS,
  );

  testUnless(
    noSandbox,
    "comes on stdin, and is stopped by limits as any program is",
    async () => {
      const sum = await Sandbox.run(["bun", "run", "-"], { stdin: "console.log(40 + 2)" });
      expect(sum.stdout).toBe("42\n");
      const endless = await Sandbox.run(["bun", "-e", "for (;;);"], { limits: { time: 500 * SLOW } });
      expect(endless.reason).toBe("timeout");
    },
    TIMEOUT_MS,
  );

  testUnless(
    noSandbox,
    "runs in a box that was made with the runtime, also by another program there",
    async () => {
      await using box = await Sandbox.create({ runtime: true });
      const text = (command: string[]) => new Response(box.spawn(command).stdout).text();
      expect(await text(["bun", "-e", "console.log('box')"])).toBe("box\n");
      expect(await text(["sh", "-c", "bun -e 'console.log(process.execPath)'"])).toBe(`${TARGET}\n`);
    },
    TIMEOUT_MS,
  );

  testUnless(
    noSandbox,
    "in Deno, it is deno",
    () => {
      const program = folder.script(`
        const { stdout, stderr } = await Sandbox.run(["deno", "eval", "console.log(Deno.execPath())"]);
        console.log(stdout + stderr);`);
      const { stdout } = Bun.spawnSync([deno, "run", "--quiet", "--no-lock", "--allow-all", program], {
        env: { ...process.env, DENO_NO_UPDATE_CHECK: "1" },
      });
      expect(stdout.toString().trim()).toBe("/opt/deno/bin/deno");
    },
    60_000 * Math.min(SLOW, 6),
  );
});

/** Tries to change a file that is mounted, in all the ways that a script has. */
const CHANGE = `
  const fs = require("fs");
  const path = process.argv[1] ?? process.execPath;
  const attempt = (act) => { try { act(); return "done"; } catch (error) { return error.code; } };
  console.log([
    attempt(() => fs.closeSync(fs.openSync(path, "r+"))),
    attempt(() => fs.closeSync(fs.openSync("/proc/self/exe", "r+"))),
    attempt(() => fs.chmodSync(path, 0o777)),
    attempt(() => fs.truncateSync(path, 0)),
    attempt(() => fs.unlinkSync(path)),
    attempt(() => fs.renameSync(path, path + ".old")),
  ].join(" "));`;

testUnless(
  noBusybox,
  "its file, which is the owner's own program, cannot be changed from inside (CVE-2019-5736)",
  async () => {
    const before = Bun.hash(await Bun.file(process.execPath).bytes());
    const { stdout } = await Sandbox.run(["bun", "-e", CHANGE]);
    expect(stdout.trim().split(" ")).toHaveLength(6);
    expect(stdout).not.toContain("done");
    expect(Bun.hash(await Bun.file(process.execPath).bytes())).toBe(before);

    // a copy that is bound for writing can be
    const copy = join(folder.directory("copy"), "program");
    copyFileSync("/bin/busybox", copy);
    chmodSync(copy, 0o755);
    const mounts: RunOptions["mounts"] = [{ type: "bind", source: copy, target: "/copy" }];
    const control = await Sandbox.run(["bun", "-e", CHANGE, "/copy"], { mounts });
    const [opened, , mode, truncated] = control.stdout.trim().split(" ");
    expect([opened, mode, truncated]).toEqual(["done", "done", "done"]);
    expect(Bun.file(copy).size).toBe(0);
  },
  TIMEOUT_MS,
);
