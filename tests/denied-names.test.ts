/** Names of a deny list, and the addresses that they lead to: attacks, each with a control. @module */
import { afterAll, beforeAll, expect } from "bun:test";
import { noGateway } from "./support/gateway.ts";
import { notRoot, SLOW, testUnless } from "./support/machine.ts";
import { OTHER, PACKAGES, PolicyWorld } from "./support/policy-world.ts";

const reason = notRoot ?? noGateway;
const it = (name: string, body: () => Promise<void>) => testUnless(reason, name, body, 60_000 * SLOW);

let world: PolicyWorld;
beforeAll(async () => {
  if (reason !== undefined) return;
  world = await PolicyWorld.make();
  world.names.set("bad.example", [OTHER]);
  world.names.set("mine.example", [OTHER]);
  world.names.set("good.example", [PACKAGES]);
});
afterAll(async () => {
  if (reason === undefined) await world[Symbol.asyncDispose]();
});

/** What servers say at each place, `-` where none is reached; and the rules that denied. */
async function reached(
  policy: { allow?: string[]; deny?: string[] },
  ...places: string[]
): Promise<[string[], string[]]> {
  const shell = places
    .map((place) => `busybox nc -w 3 ${place} 80 </dev/null 2>/dev/null | grep . || echo -`)
    .join("; ");
  const [stdout, rules] = await world.on(
    async ({ Sandbox }, words, network) => {
      const { stdout, denied = [] } = await Sandbox.run(words, { network });
      return [stdout, denied.map(({ protocol, rule }) => `${protocol} ${rule}`)] as const;
    },
    ["sh", "-c", shell],
    policy,
  );
  return [stdout.trim().split("\n"), rules as string[]];
}
const hello = (address: string) => `hello from ${address}`;
const LEADS = 'tcp deny: "bad.example", which leads there';

it("are not reached by their address, the first packet included, nor by another name that leads there", async () => {
  const places = [OTHER, "mine.example", "good.example"];
  const there = [hello(OTHER), hello(OTHER), hello(PACKAGES)];
  // without it, all is reached
  expect(await reached({}, ...places)).toEqual([there, []]);
  expect(await reached({ deny: ["bad.example"] }, ...places)).toEqual([
    ["-", "-", hello(PACKAGES)],
    [LEADS, LEADS],
  ]);
  expect(await reached({ allow: ["198.51.100.0/24"], deny: ["bad.example"] }, OTHER, PACKAGES)).toEqual([
    ["-", hello(PACKAGES)],
    [LEADS],
  ]);
});

it("do not take an address from another name that is allowed itself", async () => {
  const policy = { allow: ["*", "mine.example"], deny: ["bad.example"] };
  expect(await reached(policy, OTHER, "mine.example", "bad.example")).toEqual([
    ["-", hello(OTHER), "-"],
    [LEADS, 'dns deny: "bad.example"'],
  ]);
});

it("are looked up by the policy alone, and not where names are all that is allowed", async () => {
  world.seen();
  await reached({ allow: ["good.example"], deny: ["bad.example"] }, "x.bad.example", OTHER);
  expect(world.seen().filter((what) => what.includes("bad.example"))).toEqual([]);
  await reached({ deny: ["bad.example", "*.evil.example"] }, "x.evil.example");
  const asked = world.seen().filter((what) => /bad|evil/.test(what));
  expect([...new Set(asked)]).toEqual(["dns bad.example"]);
});

it("that nobody answers for keep nobody waiting", async () => {
  expect(await reached({ deny: ["nowhere.example"] }, PACKAGES)).toEqual([[hello(PACKAGES)], []]);
});
