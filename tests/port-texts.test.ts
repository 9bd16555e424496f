/** Ports as Docker's commands show them. Nothing runs. @module */
import { describe, expect, test } from "bun:test";
import * as fc from "fast-check";
import { portColumn } from "../lib/containers/index.ts";
import { exposedPorts, mergedRanges, portsIn } from "../lib/containers/exposed-ports.ts";
import { parseExposed, parsePorts } from "../lib/ip/index.ts";

const BOTH = ["172.17.0.2/16", "fd00::2/64"];
const published = (...texts: string[]) =>
  texts.flatMap(parsePorts).map((port) => ({ ...port, hostPort: port.hostPort ?? 32768 }));
const exposed = (...texts: string[]) => mergedRanges(texts.map(parseExposed));

describe("the column of ps", () => {
  test.each<[string, string[], string[], string[], string]>([
    ["nothing", BOTH, [], [], ""],
    ["one port", ["172.17.0.2/16"], ["8080:80"], [], "0.0.0.0:8080->80/tcp"],
    ["of both versions", BOTH, ["8080:80"], [], "0.0.0.0:8080->80/tcp, [::]:8080->80/tcp"],
    ["an address", BOTH, ["127.0.0.1:53:53/udp", "[::1]:53:53/udp"], [], "127.0.0.1:53->53/udp, [::1]:53->53/udp"],
    ["a range", ["10.0.0.2/8"], ["8000-8100:8000-8100"], [], "0.0.0.0:8000-8100->8000-8100/tcp"],
    ["neighbours", ["10.0.0.2/8"], ["81:81", "80:80", "83:83"], [], "0.0.0.0:80-81->80-81/tcp, 0.0.0.0:83->83/tcp"],
    [
      "what has other numbers, last",
      ["10.0.0.2/8"],
      ["9000:80", "443:443"],
      [],
      "0.0.0.0:443->443/tcp, 0.0.0.0:9000->80/tcp",
    ],
    ["what is exposed alone", ["10.0.0.2/8"], [], ["80", "81", "53/udp"], "80-81/tcp, 53/udp"],
    [
      "no port twice",
      ["10.0.0.2/8"],
      ["8080:80", "82:82"],
      ["79-83", "82/udp"],
      "79/tcp, 81/tcp, 83/tcp, 82/udp, 0.0.0.0:82->82/tcp, 0.0.0.0:8080->80/tcp",
    ],
  ])("%s", (_, addresses, ports, open, expected) => {
    expect(portColumn([{ addresses, ports: published(...ports), exposed: exposed(...open) }])).toBe(expected);
  });
});

test("what a container exposes, each of its networks knows; it is shown once", () => {
  const one = { addresses: ["10.0.0.2/8"], ports: [], exposed: exposed("80") };
  expect(portColumn([one, { ...one, addresses: ["10.1.0.2/16"] }, { addresses: [], ports: [] }])).toBe("80/tcp");
});

describe("what is exposed", () => {
  test("is what the image and the options name, once; what is no port counts for nothing", () => {
    const ExposedPorts = { "80/tcp": {}, http: {}, "0/tcp": {}, "80-82": {}, "7:7": {}, "1/icmp": {}, "": {} };
    expect(exposedPorts({ expose: ["83", "53/udp"] }, { ExposedPorts })).toEqual([
      { protocol: "tcp", first: 80, last: 83 },
      { protocol: "udp", first: 53, last: 53 },
    ]);
  });

  test("takes no time by the ports that a hostile image names, many times over", () => {
    const keys = Array.from({ length: 60_000 }, (_, index) => [`${1 + (index % 9)}-${65_535 - index}/tcp`, {}]);
    const all = exposedPorts({}, { ExposedPorts: Object.fromEntries(keys) });
    expect(all).toEqual([{ protocol: "tcp", first: 1, last: 65_535 }]);
  });

  test("merged ranges hold the same ports, and neither overlap nor touch", () => {
    const range = fc
      .record({ protocol: fc.constantFrom("tcp" as const, "udp" as const), first: fc.nat(60), length: fc.nat(9) })
      .map(({ protocol, first, length }) => ({ protocol, first, last: first + length }));
    const all = (ranges: ReturnType<typeof mergedRanges>) =>
      new Set(ranges.flatMap((each) => portsIn(each).map((port) => `${port}/${each.protocol}`)));
    fc.assert(
      fc.property(fc.array(range), (ranges) => {
        const merged = mergedRanges(ranges);
        expect(all(merged)).toEqual(all(ranges));
        for (const [index, { protocol, first }] of merged.entries()) {
          const before = merged[index - 1];
          if (before?.protocol === protocol) expect(first).toBeGreaterThan(before.last + 1);
        }
      }),
    );
  });
});
