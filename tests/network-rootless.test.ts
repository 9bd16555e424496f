/**
 * Networks of an ordinary user: bridges in one namespace of his, which nobody has to be root for.
 * @module
 */
import { afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { inNetwork, Links, setting } from "../lib/netlink/index.ts";
import { NetworkNamespace } from "../lib/netns/index.ts";
import { Networks, type Keeper } from "../lib/network/index.ts";
import { State } from "../lib/state/index.ts";
import { close, duplicate, tryOpen } from "../syscalls/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { noGateway } from "./support/gateway.ts";
import { noNetworks, notUser, SLOW, testUnless } from "./support/machine.ts";

const reason = notUser ?? noNetworks();

describe.skipIf(reason !== undefined)(reason === undefined ? "without root" : `without root (${reason})`, () => {
  const undo: (() => void)[] = [];
  afterEach(() =>
    undo
      .splice(0)
      .toReversed()
      .forEach((each) => each()),
  );

  async function namespace(): Promise<NetworkNamespace> {
    const made = await NetworkNamespace.make();
    undo.push(() => made[Symbol.dispose]());
    return made;
  }

  test("a network namespace is reached from outside: sockets, settings, devices of its own", async () => {
    const own = await namespace();
    expect(own.socket(99, 1, 0)).toBe(-97); // EAFNOSUPPORT
    const socket = own.socket(2, 1, 0);
    expect(readlinkSync(`/proc/self/fd/${socket}`)).toStartWith("socket:");
    close(socket);
    expect(own.set("ipv4/nothing", "1")).toBe(-2); // ENOENT
    expect(own.set("ipv4/ip_forward", "1")).toBeGreaterThanOrEqual(0);
    // the same is refused for the machine
    expect(setting("ipv4/ip_forward", "1")).toBeLessThan(0);
    using again = await NetworkNamespace.join(own.descriptor);
    inNetwork(again, () => {
      using links = new Links();
      links.addBridge("mine");
    });
    const names = () => {
      using links = new Links();
      return links.list().map(({ name }) => name);
    };
    expect(inNetwork(own, names)).toContain("mine");
    expect(names()).not.toContain("mine");
  });

  test("a namespace of somebody else's is refused", async () => {
    const fd = tryOpen("/proc/self/ns/net", 0);
    try {
      await NetworkNamespace.join(fd);
      expect.unreachable();
    } catch (error) {
      expect(error).toHaveProperty("code", expect.stringMatching(/^(permission_denied|system)$/));
    } finally {
      close(fd);
    }
  });

  const unlimited = noNetworks("bandwidth");

  test("containers get bridges, addresses and cables, limits of bandwidth where there are any, and leave nothing", async () => {
    const root = mkdtempSync("/tmp/tsbox-rootless-");
    undo.push(() => rmSync(root, { recursive: true }));
    using state = new State(root);
    let kept: number | undefined;
    const keeper: Keeper = {
      find: () => Promise.resolve(kept === undefined ? undefined : duplicate(kept)),
      keep: (made) => Promise.resolve(void (kept = duplicate(made))),
      ready: () => {},
    };
    undo.push(() => kept !== undefined && close(kept));
    const networks = new Networks(() => state, undefined, keeper);
    const { id, device } = await networks.create({ name: "web", ipv6: true });
    const ids = ["a", "b"].map((digit) => digit.repeat(64));
    const places = [await namespace(), await namespace()];
    for (const [index, container] of ids.entries()) {
      const bandwidth = index === 0 && unlimited === undefined ? { downBytes: 1e6, upBytes: 1e6 } : undefined;
      networks.claim(id, { container, name: `c${index}`, inside: "eth0", bandwidth }, []);
      await networks.raise(id, container);
      await networks.plugIn(id, container, places[index] as NetworkNamespace, true);
    }
    expect(
      inNetwork(places[0] as NetworkNamespace, () => {
        using links = new Links();
        return links.addresses(links.indexOf("eth0")).filter(({ permanent }) => permanent).length;
      }),
    ).toBeGreaterThanOrEqual(2);
    using shared = await NetworkNamespace.join(kept ?? -1);
    const ports = () =>
      inNetwork(shared, () => {
        using links = new Links();
        const bridge = links.find(device)?.index;
        return links.list().filter(({ master }) => master !== undefined && master === bridge).length;
      });
    expect(ports()).toBe(2);
    const shapers = () =>
      inNetwork(shared, () => {
        using links = new Links();
        return links.list().filter(({ kind }) => kind === "ifb").length;
      });
    if (unlimited === undefined) {
      expect(shapers()).toBe(1);
      await networks.pace(ids[1] as string, { upBytes: 2e6 });
      expect(shapers()).toBe(2);
    }
    for (const container of ids) await networks.leave(container);
    expect(
      inNetwork(shared, () => {
        using links = new Links();
        return links.list().some(({ kind = "" }) => ["bridge", "veth", "ifb"].includes(kind));
      }),
    ).toBe(false);
    await networks.remove("web");
  });

  testUnless(
    reason ?? (noGateway === undefined ? "something leads out here" : undefined),
    "who makes one is told where nothing leads out of it",
    async () => {
      await using made = await CommandLine.open();
      const run = (name: string, network: string) => {
        made.said("network", "create", network);
        return made.tsbox("run", "-d", "--name", name, "--network", network, "busy", "sleep", "1000");
      };
      // in the guest, netd takes longer to begin than anybody waits for it
      expect(run("first", "web").status).toBe(0);
      const { status, stderr } = run("lonely", "other");
      expect(status).toBe(0);
      expect(stderr).toContain("nothing leads out of this user's networks, and no published port into them: ");
      expect(stderr).toMatch(/CONFIG_NFT_TPROXY|CONFIG_IP_MULTIPLE_TABLES/);
      made.said("rm", "-f", "first", "lonely");
    },
    60_000 * SLOW,
  );
});
