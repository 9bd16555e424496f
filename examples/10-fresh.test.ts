/**
 * Tests that cannot disturb each other: the body of each runs in a fresh box, by a Bun of its own. It may fill /tmp,
 * take a port or loop forever; the next one does not notice.
 *
 *     bun test ./examples/10-fresh.test.ts
 */
import { expect, test } from "bun:test";
import { Sandbox, type RunOptions } from "../lib/index.ts";

/** A function that needs nothing of what is around it: only its text goes into the box. */
type Body = () => void | Promise<void>;
const inBox = (body: Body, options?: RunOptions) => Sandbox.run(["bun", "-e", `await (${body})();`], options);

function testInBox(name: string, body: Body): void {
  test(name, async () => {
    const { exitCode, reason, stderr } = await inBox(body, { limits: { time: "10s" } });
    expect({ exitCode, reason, stderr }).toEqual({ exitCode: 0, reason: "exit", stderr: "" });
  });
}

for (const turn of [1, 2]) {
  testInBox(`turn ${turn}: nobody was here before`, async () => {
    if (await Bun.file("/tmp/visited").exists()) throw new Error("somebody was here");
    await Bun.write("/tmp/visited", "yes");
  });
  testInBox(`turn ${turn}: the port is free, although the other turn's server was not stopped`, async () => {
    Bun.serve({ port: 8080, fetch: () => new Response("hello") });
    if ((await (await fetch("http://127.0.0.1:8080")).text()) !== "hello") throw new Error("no answer");
    process.exit(0);
  });
}

test("a body that never ends is told by its reason", async () => {
  expect(
    await inBox(
      () => {
        for (;;);
      },
      { limits: { time: "300ms" } },
    ),
  ).toMatchObject({ reason: "timeout" });
});
