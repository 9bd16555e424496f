/** Hooks in the runtime's namespaces: what they are given, and what becomes of those that fail, hang or talk too much. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { runHooks, tryHooks } from "../lib/oci/index.ts";
import type { Hook, State } from "../lib/spec/index.ts";
import { failureOf } from "./support/failure.ts";
import { adoptOrphans, descendants, eventually } from "./support/processes.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
adoptOrphans();
afterAll(() => folder.remove());

const bundle = folder.directory("bundle");
const state: State = { ociVersion: "1.2.0", id: "c", status: "creating", pid: 17, bundle, annotations: { a: "ü" } };
const path = (name: string) => join(folder.path, name);
const script = (name: string, body: string) => folder.write(name, `#!/bin/sh\n${body}\n`, 0o755);
const content = (name: string) => readFileSync(path(name), "utf8");
const PATH = `PATH=${process.env["PATH"]}`;

const run = (...hooks: Hook[]) => runHooks("createRuntime", hooks, state);
const failure = async (...hooks: Hook[]) => {
  const { code, message } = await failureOf(() => run(...hooks));
  return { code, message };
};

describe("a hook", () => {
  test("reads the state on its stdin", async () => {
    const hook = script("stdin", `cat > ${path("stdin.out")}`);
    await run({ path: hook, env: [PATH] });
    expect(JSON.parse(content("stdin.out"))).toEqual(state);
  });

  test("has the arguments and the environment that the config gives it, and no others", async () => {
    process.env["TSBOX_SECRET"] = "of the runtime";
    const out = path("environment.out");
    await run({
      path: "/bin/sh",
      args: ["a name", "-c", `tr '\\0' '\\n' < /proc/$$/cmdline > ${out}; /usr/bin/env >> ${out}`, "", "*", "$HOME"],
      env: ["ONE=1", "EQUALS=a=b", "EMPTY="],
    });
    delete process.env["TSBOX_SECRET"];
    const lines = content("environment.out").split("\n");
    expect(lines.slice(0, 6)).toEqual(["a name", "-c", expect.stringContaining("cmdline"), "", "*", "$HOME"]);
    // the shell's own besides
    const own = lines.slice(6).filter((line) => line !== "" && !/^(PWD|OLDPWD|SHLVL|_)=/.test(line));
    expect(own.toSorted()).toEqual(["EMPTY=", "EQUALS=a=b", "ONE=1"]);
  });

  test("has the runtime's environment only where the config says nothing of it", async () => {
    process.env["TSBOX_SECRET"] = "of the runtime";
    const told = script("told", `echo "<$TSBOX_SECRET>" >> ${path("told.out")}`);
    await run({ path: told });
    await run({ path: told, env: [] });
    delete process.env["TSBOX_SECRET"];
    expect(content("told.out")).toBe("<of the runtime>\n<>\n");
  });

  test("is called by its path where it has no arguments", async () => {
    const hook = script("bare", `printf '%s %s' "$0" "$#" > ${path("bare.out")}`);
    await run({ path: hook });
    expect(content("bare.out")).toBe(`${hook} 0`);
  });

  test("has none of the runtime's descriptors, and works in the bundle", async () => {
    const hook = script("descriptors", `ls /proc/$$/fd > ${path("fds.out")}; pwd > ${path("pwd.out")}`);
    const file = Bun.file(path("descriptors")).stream(); // something is open
    await run({ path: hook, env: [PATH] });
    await file.cancel();
    expect(content("pwd.out")).toBe(`${bundle}\n`);
    // 10 or 255: a shell's own for its script
    expect(
      content("fds.out")
        .split("\n")
        .filter((fd) => fd !== "" && Number(fd) > 2 && Number(fd) < 10),
    ).toEqual([]);
  });

  test("need not read the state", async () => {
    const large = { ...state, annotations: { large: "x".repeat(1_000_000) } };
    await runHooks("prestart", [{ path: "/bin/true" }], large);
  });

  test("comes after the one before it", async () => {
    const hooks = [1, 2, 3].map((n) => ({ path: script(`order-${n}`, `echo ${n} >> ${path("order.out")}`) }));
    await run(...hooks);
    expect(content("order.out")).toBe("1\n2\n3\n");
  });

  test("may leave a process behind, which is not waited for", async () => {
    const hook = script("daemon", `sleep 60 & echo $! > ${path("daemon.pid")}`);
    const before = performance.now();
    await run({ path: hook, env: [PATH] });
    expect(performance.now() - before).toBeLessThan(10_000);
    process.kill(Number(content("daemon.pid")), "SIGKILL");
  });
});

describe("a hook that fails", () => {
  test("is named by its kind and number, with its exit status and what it printed; the next ones do not run", async () => {
    const bad = script("bad", "echo to stdout; echo to stderr >&2; exit 3");
    const next = script("next", `touch ${path("next.out")}`);
    expect(await failure({ path: "/bin/true" }, { path: bad }, { path: next, env: [PATH] })).toEqual({
      code: "hook_failed",
      message:
        "error running createRuntime hook #1: createRuntime hook failed with exit code 3, stdout: to stdout, stderr: to stderr",
    });
    expect(existsSync(path("next.out"))).toBe(false);
  });

  test("is told by its signal", async () => {
    const { message } = await failure({ path: "/bin/sh", args: ["sh", "-c", "kill -USR1 $$"] });
    expect(message).toBe("error running createRuntime hook #0: createRuntime hook failed with signal SIGUSR1");
  });

  test("has printed without end: it is not held up, and the beginning is shown", async () => {
    const hook = script("loud", "head -c 10000000 /dev/zero | tr '\\0' x >&2; exit 1");
    const { message } = await failure({ path: hook, env: [PATH] });
    expect(message).toStartWith(
      "error running createRuntime hook #0: createRuntime hook failed with exit code 1, stderr: xxxx",
    );
    expect(message.length).toBeLessThan(5000);
  });

  test.each([
    ["is not there", "/no/such/hook", "no such file or directory"],
    ["is a directory", "/tmp", "permission denied"],
    ["is not executable", "/etc/passwd", "permission denied"],
    ["has a relative path", "bin/true", 'its path is not absolute: "bin/true"'],
    ["has no path", "", 'its path is not absolute: ""'],
  ])("%s", async (_, hook, why) => {
    expect(await failure({ path: hook })).toEqual({
      code: "hook_failed",
      message: `error running createRuntime hook #0: ${why}`,
    });
  });

  test("is no program", async () => {
    const { code, message } = await failure({ path: folder.write("text", "no program", 0o755) });
    expect(code).toBe("hook_failed");
    expect(message).toStartWith("error running createRuntime hook #0: ");
  });

  test("hangs: after its timeout it is killed, and all that it has started", async () => {
    const hook = script("hang", `sleep 61 & sleep 62 & wait`);
    const before = performance.now();
    expect(await failure({ path: hook, env: [PATH], timeout: 1 })).toEqual({
      code: "hook_failed",
      message: "error running createRuntime hook #0: killed after 1 s (its timeout)",
    });
    expect(performance.now() - before).toBeWithin(900, 20_000);
    expect(await eventually(() => !descendants().some((each) => each.name === "sleep" && each.state !== "Z"))).toBe(
      true,
    );
  });

  test("is no error where it ends in time", async () => {
    await run({ path: "/bin/sh", args: ["sh", "-c", "sleep 0.1"], env: [PATH], timeout: 20 });
  });

  test("after the container has stopped is a warning, and the others run", async () => {
    const warnings: string[] = [];
    const log = { debug: () => {}, warn: (message: string) => warnings.push(message), error: () => {} };
    const last = script("last", `touch ${path("last.out")}`);
    await tryHooks("poststop", [{ path: "/bin/false" }, { path: last, env: [PATH] }], state, log);
    expect(warnings).toEqual(["error running poststop hook #0: poststop hook failed with exit code 1"]);
    expect(existsSync(path("last.out"))).toBe(true);
  });
});

test("without hooks, nothing happens", async () => {
  await runHooks("prestart", undefined, state);
  await runHooks("prestart", [], state);
});
