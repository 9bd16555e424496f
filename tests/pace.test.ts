/** Token buckets: how fast, and how much. Pure. @module */
import { describe, expect, test } from "bun:test";
import { Bucket, Pace } from "../lib/gateway/pace.ts";
import { burstFor, shapeRequest } from "../lib/netlink/index.ts";

describe("a bucket", () => {
  test("has what may go at once, and then as much as its rate brings", () => {
    const bucket = new Bucket(1_000_000, 50_000, 0);
    expect(bucket.left(0)).toBe(50_000);
    bucket.take(50_000);
    expect(bucket.left(0)).toBe(0);
    // less than a call is worth
    expect(bucket.left(2)).toBe(0);
    expect(bucket.left(10)).toBe(10_000);
    expect(bucket.left(1000)).toBe(50_000);
  });

  test("lets through its rate, however often it is looked at", () => {
    for (const everyMs of [1, 4, 7]) {
      const bucket = new Bucket(1_000_000, 20_000, 0);
      let sum = 0;
      for (let now = 0; now <= 10_000; now += everyMs) {
        const left = bucket.left(now);
        bucket.take(left);
        sum += left;
      }
      expect(sum).toBeGreaterThan(9_950_000);
      expect(sum).toBeLessThanOrEqual(10_020_000);
    }
  });

  test("lets a datagram through as soon as there is room for it", () => {
    const bucket = new Bucket(1_000_000, 20_000, 0);
    bucket.take(20_000);
    expect([bucket.fits(1000, 0), bucket.left(1), bucket.fits(1000, 1)]).toEqual([false, 0, true]);
  });

  test("what was taken too much is paid back", () => {
    const bucket = new Bucket(1_000_000, 20_000, 0);
    bucket.left(0);
    bucket.take(30_000);
    expect(bucket.left(10)).toBe(0);
    expect(bucket.left(20)).toBe(10_000);
  });
});

describe("a pace", () => {
  test("limits each way by itself, and both together by what there is altogether", () => {
    const pace = new Pace({ upBytes: 1000, trafficBytes: 100_000 });
    expect(pace.left("in")).toBe(100_000);
    expect(pace.left("out")).toBeLessThan(40_000);
    pace.take("in", 90_000);
    expect(pace.left("in")).toBe(10_000);
    expect(pace.isSpent).toBe(false);
    pace.take("out", 10_000);
    expect([pace.isSpent, pace.left("in"), pace.left("out")]).toEqual([true, 0, 0]);
  });

  test("without limits, lets all through", () => {
    const pace = new Pace();
    pace.take("in", 1e15);
    expect([pace.left("in"), pace.left("out"), pace.isSpent]).toEqual([Infinity, Infinity, false]);
  });
});

test.each([1000, 1_250_000, 125_000_000, 6_000_000_000])(
  "a queue of %d bytes a second is asked for as tc(8) has it",
  (rateBytes) => {
    const { body } = shapeRequest(7, { rateBytes, burstBytes: burstFor(rateBytes) });
    const view = new DataView(body.buffer);
    expect(view.getInt32(4, true)).toBe(7);
    expect(Buffer.from(body).includes("tbf\0")).toBe(true);
    // a rate that does not fit into a word has an attribute of its own
    const { length } = shapeRequest(7, { rateBytes: 1000, burstBytes: 2048 }).body;
    expect(body.length - length).toBe(rateBytes > 0xffffffff ? 12 : 0);
  },
);
