/** What a stranger writes: types that have names, and words that are wrong, told by the compiler and when it runs. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { image, Sandbox, Tsbox, TsboxError } from "../lib/index.ts";
import type * as tsbox from "../lib/index.ts";
import { JUNK } from "./support/junk.ts";
import { Folder } from "./support/rootfs.ts";

const folder = new Folder();
afterAll(() => folder.remove());
const engine = new Tsbox({ root: join(folder.path, "store") });
afterAll(() => engine[Symbol.dispose]());

/** In each the compiler finds what is wrong as well: `npm run check` tells where it does not. */
const MISTAKES: [words: string, make: () => unknown][] = [
  // @ts-expect-error
  ["limit", () => Sandbox.run(["true"], { limit: { memory: "1g" } })],
  // @ts-expect-error
  ["memroy", () => Sandbox.run(["true"], { limits: { memroy: "1g" } })],
  // @ts-expect-error
  ["seccomp", () => Sandbox.run(["true"], { security: { seccomp: "strict" } })],
  // @ts-expect-error
  ["not an array", () => Sandbox.run(["true"], { security: { capabilities: 7 } })],
  // @ts-expect-error
  ["source", () => Sandbox.run(["true"], { mounts: [{ type: "bind", target: "/x" }] })],
  // @ts-expect-error
  ["source", () => Sandbox.run(["true"], { mounts: [{ type: "tmpfs", source: "/x", target: "/x" }] })],
  // @ts-expect-error
  ["stdout", () => Sandbox.run(["true"], { stdout: "file" })],
  // @ts-expect-error
  ["ref", () => Sandbox.create({ image: { ref: "x" } })],
  // @ts-expect-error
  ["run a command", () => Sandbox.run("true")],
  // @ts-expect-error
  ["rot", () => new Tsbox({ rot: "/elsewhere" })],
  // @ts-expect-error
  ["dangling", () => engine.images.prune({ dangling: true })],
  // @ts-expect-error
  ["tag", () => engine.build({ context: ".", tag: "app" })],
  // @ts-expect-error
  ["detach", () => engine.containers.run({ image: "app", detach: true })],
  // @ts-expect-error
  ["signal", () => engine.containers.run({ image: "app", signal: AbortSignal.abort() })],
  // @ts-expect-error
  ["restart", () => engine.containers.run({ image: "app", restart: "sometimes" })],
  // @ts-expect-error
  ["subnet", () => engine.networks.create({ name: "net", subnet: "10.0.0.0/24" })],
  // @ts-expect-error
  ["nmae", () => engine.volumes.create({ nmae: "data" })],
  // @ts-expect-error
  ["mount", () => image("scratch").run("true", { mount: [] })],
];

test.each(MISTAKES)("a mistake is told: %s", async (word, make) => {
  const failure = await (async () => await make())().catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(TsboxError);
  const { code, message } = failure as TsboxError;
  expect([code, message]).toEqual(["invalid_option", expect.stringContaining(word)]);
});

type Junk = never;
const bytes = () => new Blob([new Uint8Array(1024)]).stream();
const next = async (events: AsyncGenerator) => void (await Promise.race([events.next(), Promise.resolve()]));
/** Each gets all of `JUNK`. What is there is a container that never ran: none of it changes anything. */
const CALLS: Record<string, (junk: Junk, container: tsbox.Container) => unknown> = {
  get: (junk) => engine.containers.get(junk),
  list: (junk) => engine.containers.list(junk),
  "list, filters": (junk) => engine.containers.list({ filters: junk }),
  "events, since": (junk) => next(engine.containers.events({ since: junk })),
  "events, signal": (junk) => next(engine.containers.events({ signal: junk })),
  connect: (junk) => engine.containers.connect(junk, "kept"),
  ...Object.fromEntries(
    (["since", "until", "tail", "stdout", "signal", "onDamage"] as const).map((option) => [
      `logs, ${option}`,
      (junk: Junk, container: tsbox.Container) => container.logs({ [option]: junk }).next(),
    ]),
  ),
  inspect: (junk, container) => container.inspect(junk),
  kill: (junk, container) => container.kill(junk),
  "wait, signal": (junk, container) => container.wait({ signal: junk }),
  "stop, timeout": (junk, container) => container.stop({ timeout: junk }),
  "update, restart": (junk, container) => container.update({ restart: junk }),
  "attach, signal": async (junk, container) => (await container.attach({ signal: junk })).close(),
  top: (junk, container) => container.top(junk),
  "stats, interval": (junk, container) => container.stats({ interval: junk }).next(),
  stat: (junk, container) => container.stat(junk),
  copyOut: async (junk, container) => (await container.copyOut(junk)).cancel(),
  copyIn: (junk, container) => container.copyIn(junk, bytes()),
  ...Object.fromEntries(
    (["name", "driver", "options", "labels", "anonymous"] as const).map((option) => [
      `volumes.create, ${option}`,
      (junk: Junk) => engine.volumes.create({ name: "kept", [option]: junk }),
    ]),
  ),
  "volumes.get": (junk) => engine.volumes.get(junk),
  "volumes.path": (junk) => engine.volumes.path(junk),
  "volumes.list": (junk) => engine.volumes.list(junk),
  "volumes.prune, all": (junk) => engine.volumes.prune({ all: junk, filters: { label: ["nobody"] } }),
  ...Object.fromEntries(
    (["driver", "subnets", "ipv6", "internal", "labels", "options"] as const).map((option) => [
      `networks.create, ${option}`,
      // no name that there could be: nothing is made
      (junk: Junk) => engine.networks.create({ name: "a b", [option]: junk }),
    ]),
  ),
  "networks.get": (junk) => engine.networks.get(junk),
  "networks.list": (junk) => engine.networks.list(junk),
  "pruneBuildCache, keep": (junk) => engine.pruneBuildCache({ keep: junk }),
  "pruneBuildCache, olderThan": (junk) => engine.pruneBuildCache({ olderThan: junk }),
  build: (junk) => engine.build(junk),
};

describe("what nobody should pass is an error of the library's own, or nothing", () => {
  let container: tsbox.Container;
  beforeAll(async () => {
    container = await engine.containers.create({ rootfs: "host", command: ["true"], name: "kept" });
  });

  test.each(Object.entries(CALLS))("%s", async (_, call) => {
    const wrong: string[] = [];
    for (const [name, junk] of JUNK) {
      const failure = await (async () => void (await call(junk as Junk, container)))().catch((error: unknown) => error);
      if (failure !== undefined && !(failure instanceof TsboxError)) wrong.push(`${name}: ${String(failure)}`);
    }
    expect(wrong).toEqual([]);
    expect((await container.record()).status).toBe("created");
    // and what is kept can be read
    expect(engine.volumes.list({ label: ["nobody"] })).toEqual([]);
  });
});

/** What methods take and give has names, which programs write down. */
type Named = {
  containers: [tsbox.Containers, tsbox.Container, tsbox.ContainerOptions, tsbox.ContainerRecord, tsbox.LogEntry];
  networks: [tsbox.Networks, tsbox.NetworkOptions, tsbox.NetworkRecord];
  volumes: [tsbox.Volumes, tsbox.VolumeOptions, tsbox.VolumeRecord];
  images: [tsbox.PullOptions, tsbox.ImageSummary, tsbox.RegistryOptions];
  builds: [tsbox.BuildOptions, tsbox.BuildResult, tsbox.Finding, tsbox.PrunedCache];
};

test("what the engine gives is of types that have names", async () => {
  const containers: Named["containers"][0] = engine.containers;
  const networks: Named["networks"][0] = engine.networks;
  const volumes: Named["volumes"][0] = engine.volumes;
  const pruned: Named["builds"][3] = await engine.pruneBuildCache();
  const summaries: Named["images"][1][] = await engine.images.list();
  expect([await containers.list(), volumes.list({ label: ["nobody"] }), summaries, pruned.removed]).toEqual([
    [],
    [],
    [],
    [],
  ]);
  expect(networks.list().map(({ name }) => name)).toEqual([]);
});

test("an error has the fields that were said, and no others", () => {
  const error = new TsboxError("do it", { code: "system", hint: "try again" });
  expect(Object.entries(error)).toEqual([
    ["name", "TsboxError"],
    ["code", "system"],
    ["hint", "try again"],
  ]);
});
