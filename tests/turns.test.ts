/** Many starts at the same moment: everything else in the program goes on. @module */
import { describe, expect } from "bun:test";
import { Sandbox } from "../lib/index.ts";
import { noBusybox, testUnless } from "./support/machine.ts";
import { descendants } from "./support/processes.ts";

const turnsTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 60_000);
const COUNT = 60;
const timer = () => new Promise((resolve) => setTimeout(resolve));

describe("many starts at the same moment", () => {
  turnsTest("runs: a timer has its turn before all have begun", async () => {
    const before = descendants().length;
    const running = Array.from({ length: COUNT }, (_, index) => Sandbox.run(["sleep", "1"], { hostname: `h${index}` }));
    await timer();
    const begun = descendants().length - before;
    await Promise.all(running);
    expect(begun).toBeLessThan(COUNT / 2);
  });

  turnsTest("boxes: so it has", async () => {
    const before = descendants().length;
    const making = Array.from({ length: COUNT }, (_, index) => Sandbox.create({ hostname: `h${index}` }));
    await timer();
    const begun = descendants().length - before;
    for (const box of await Promise.all(making)) await box.stop();
    expect(begun).toBeLessThan(COUNT / 2);
  });

  turnsTest("each is what it was asked for, whatever becomes of the options meanwhile", async () => {
    const command = ["sh", "-c", "echo $NUMBER", ""];
    const env: Record<string, string> = {};
    const running = Array.from({ length: COUNT }, (_, index) => {
      env["NUMBER"] = String(index);
      return Sandbox.run(command, { env });
    });
    command[0] = "false";
    env["NUMBER"] = "none";
    const numbers = (await Promise.all(running)).map(({ stdout }) => Number(stdout));
    expect(numbers).toEqual(Array.from({ length: COUNT }, (_, index) => index));
  });

  turnsTest("one that is aborted before its turn does not begin", async () => {
    const aborting = new AbortController();
    const { signal } = aborting;
    const before = descendants().length;
    const failures = Array.from({ length: COUNT }, () =>
      Sandbox.run(["sleep", "5"], { signal }).catch((error: Error) => error.message),
    );
    aborting.abort(new Error("enough"));
    await timer();
    const begun = descendants().length - before;
    expect<unknown>([...new Set(await Promise.all(failures))]).toEqual(["enough"]);
    expect(begun).toBeLessThan(COUNT / 2);
  });

  turnsTest("a wrong one is told so, and those behind it begin", async () => {
    const wrong = Array.from({ length: COUNT }, (_, index) =>
      Sandbox.run(["true"], index % 2 ? { cwd: "nowhere" } : {}).then(
        ({ exitCode }) => exitCode,
        ({ code }: { code?: string }) => code,
      ),
    );
    const expected = Array.from({ length: COUNT }, (_, index) => (index % 2 ? "invalid_option" : 0));
    expect<unknown>(await Promise.all(wrong)).toEqual(expected);
  });
});
