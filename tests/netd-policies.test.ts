/** Ways out of containers that are started while netd makes those again that another one had, which was killed. @module */
import { expect, test } from "bun:test";
import type { GatewayThread } from "../lib/gateway/index.ts";
import { Loop } from "../lib/loop/index.ts";
// not a face: what is in between is one call of it
import { Policies, type WaysOfContainers } from "../lib/netd/policies.ts";

/** How a container gets its way out that is there when netd looks around. @param handedOver by whoever starts it, meanwhile */
async function lookAround(handedOver: boolean): Promise<{ attached: string[]; asked: number }> {
  using loop = new Loop((error) => {
    throw error;
  });
  const attached: string[] = [];
  const gateway = {
    take: (message: { kind: string; sockets?: { 4: { tcp: number } } }) =>
      void attached.push(`${message.kind} ${message.sockets?.[4].tcp}`),
  };
  let asked = 0;
  const ways: WaysOfContainers = {
    find: () => ({ policy: {}, limits: {} }),
    ids: () => ["one"],
    reach: () => Promise.resolve({ socket: () => -++asked, [Symbol.dispose]() {} }),
    denied() {},
  };
  const failures: unknown[] = [];
  const policies = new Policies(
    loop,
    () => gateway as unknown as GatewayThread,
    ways,
    (error) => failures.push(error),
  );
  await policies.attachAgain(() => {
    if (handedOver) policies.attach("one", [1001, 1002, 1003, 1004]);
  });
  expect(failures.length).toBe(handedOver ? 0 : 1);
  return { attached, asked };
}

test("what is handed over while netd looks for its namespace is kept, and nothing made in its place", async () => {
  expect(await lookAround(true)).toEqual({ attached: ["attach 1001"], asked: 0 });
  // the control: else sockets are made there
  expect((await lookAround(false)).asked).toBeGreaterThan(0);
});
