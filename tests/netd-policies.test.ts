/** Ways out of containers that are started while netd makes those again that another one had, which was killed. @module */
import { expect, test } from "bun:test";
import type { GatewayThread } from "../lib/gateway/index.ts";
import { Loop } from "../lib/loop/index.ts";
// not a face: what is in between is one call of it
import { Policies, type WaysOfContainers } from "../lib/netd/policies.ts";

/** A container that has used much already. @returns whether it was killed, and what the gateway knows of before */
function lookAtUsed(usedBytes: number): unknown[] {
  using loop = new Loop((error) => {
    throw error;
  });
  const done: unknown[] = [];
  const gateway = { take: (message: { before?: unknown }) => void done.push(message.before) };
  const ways: WaysOfContainers = {
    find: () => ({ policy: {}, limits: { trafficBytes: 100 } }),
    ids: () => ["one"],
    reach: () => Promise.resolve(undefined),
    denied() {},
    count: () => ({ read: () => ({ inBytes: usedBytes, outBytes: 1 }), write() {}, [Symbol.dispose]() {} }),
    spent: (id) => void done.push(id),
  };
  const policies = new Policies(
    loop,
    () => gateway as unknown as GatewayThread,
    ways,
    (error) => done.push(error),
  );
  policies.attach("one", [1001, 1002, 1003, 1004]);
  return done;
}

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
    count: () => undefined,
    spent() {},
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

test("what another netd has counted counts; whom it could not kill any more, the next one does", () => {
  expect(lookAtUsed(98)).toEqual([{ inBytes: 98, outBytes: 1, isSpent: false }]);
  expect(lookAtUsed(99)).toEqual([{ inBytes: 99, outBytes: 1, isSpent: true }, "one"]);
});
