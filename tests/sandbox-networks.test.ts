/** Sandboxes of programs in networks with names. The machine is a network namespace of the test's. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { Sandbox, Tsbox, type RunOptions } from "../lib/index.ts";
import { hasFirewall } from "../lib/network/firewall.ts";
import { failureOf } from "./support/failure.ts";
import { noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, World } from "./support/network-world.ts";
import { Folder } from "./support/rootfs.ts";

const reason = notRoot ?? noNetworks();

describe.skipIf(reason !== undefined)(
  reason === undefined ? "sandboxes in networks" : `sandboxes in networks (${reason})`,
  () => {
    let world: World;
    let engine: Tsbox;
    let root = "";
    const before = process.env["TSBOX_ROOT"];
    beforeAll(async () => {
      world = new World();
      root = mkdtempSync("/tmp/tsbox-boxes-");
      process.env["TSBOX_ROOT"] = root;
      engine = new Tsbox();
      for (const name of ["web", "other"]) await engine.networks.create({ name });
    });
    afterAll(async () => {
      for (const name of ["web", "other"]) await engine?.networks.remove(name);
      engine?.[Symbol.dispose]();
      if (before === undefined) delete process.env["TSBOX_ROOT"];
      else process.env["TSBOX_ROOT"] = before;
      if (root !== "") rmSync(root, { recursive: true, force: true });
      world?.[Symbol.dispose]();
    });

    const said = async (box: Sandbox, ...command: string[]) => {
      await using process = box.spawn(command, { stderr: "pipe" });
      const [stdout, stderr] = await Promise.all(
        [process.stdout, process.stderr].map((each) => new Response(each).text()),
      );
      return `${stdout}${stderr}`.trim();
    };
    const members = (name: string) => Object.values(engine.networks.get(name).endpoints);
    const SERVE = ["sh", "-c", "echo hello >/tmp/index.html; exec busybox httpd -f -p 8080 -h /tmp"];
    async function fetched(box: Sandbox, address: string): Promise<string> {
      for (let tries = 0; ; tries++, await Bun.sleep(20)) {
        const text = await said(box, "busybox", "timeout", "2", "busybox", "wget", "-qO-", `http://${address}:8080/`);
        if (!/refused/.test(text) || tries > 100) return text;
      }
    }
    function nothingIsLeft(): void {
      expect(deviceNames()).toEqual(["lo"]);
      expect(hasFirewall()).toBe(false);
      expect(readdirSync(`${root}/boxes`)).toEqual([]);
      expect([...members("web"), ...members("other")]).toEqual([]);
    }

    test(
      "reach each other in one network, and nobody in another",
      async () => {
        {
          await using server = await Sandbox.create({ network: "web", hostname: "server" });
          await using client = await Sandbox.create({ network: ["other", "web"] });
          await using stranger = await Sandbox.create({ network: "other" });
          const [address = ""] = server.addresses["web"] ?? [];
          expect(Object.keys(client.addresses)).toEqual(["other", "web"]);
          expect(members("web").map(({ name }) => name)).toContain("server");
          server.spawn(SERVE, { stdout: "ignore", stderr: "ignore" });
          expect(await fetched(client, address)).toBe("hello");
          expect(await fetched(stranger, address)).not.toContain("hello");
          expect(await said(server, "cat", "/etc/hosts")).toContain(`${address}\tserver`);
          expect(await said(client, "busybox", "ip", "route")).toMatch(/^default via 172\.\d+\.0\.1 dev eth0/);
        }
        nothingIsLeft();
      },
      30_000 * SLOW,
    );

    /** @returns the address of a sandbox whose program was killed */
    async function killed(): Promise<string> {
      using folder = new Folder();
      const script = folder.script(
        `const box = await Sandbox.create({ network: "web" });
         console.log(JSON.stringify(box.addresses)); await new Promise(() => setInterval(() => {}, 1000));`,
      );
      const child = Bun.spawn([process.execPath, script], { stdout: "pipe", env: { ...process.env } });
      const { value } = await child.stdout.getReader().read();
      const { web } = JSON.parse(new TextDecoder().decode(value)) as { web: [string] };
      expect(members("web").length).toBe(1);
      child.kill("SIGKILL");
      await child.exited;
      return web[0];
    }

    test(
      "give back what they had where their program is killed",
      async () => {
        const address = await killed();
        {
          await using next = await Sandbox.create({ network: "web" });
          // not at once to another
          expect(next.addresses["web"]).not.toEqual([address]);
          expect(members("web").length).toBe(1);
        }
        nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "give it back when networks are pruned, too, although none is removed",
      async () => {
        await killed();
        expect(await engine.networks.prune({ label: ["nobody"] })).toEqual([]);
        nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test("are refused what there is not, and leave nothing", async () => {
      expect(await failureOf(() => Sandbox.create({ network: "nowhere" }))).toMatchObject({
        code: "network_not_found",
        message: "network nowhere not found",
      });
      expect(await failureOf(() => Sandbox.create({ network: ["web", "nowhere"] }))).toMatchObject({
        code: "network_not_found",
      });
      expect(await failureOf(() => Sandbox.create({ network: "web", rootfs: "/no/such" }))).toMatchObject({
        code: "rootfs_not_found",
      });
      nothingIsLeft();
    });

    test(
      "of one command reach others, and give back what they had however it ends",
      async () => {
        {
          await using server = Sandbox.spawn(SERVE, { network: "web", hostname: "server", stdout: "ignore" });
          while (members("web").length === 0) await Bun.sleep(5);
          const [address = ""] = members("web").flatMap(({ addresses }) => addresses.map((text) => text.split("/")[0]));
          const asked = { network: ["other", "web"], hostname: "client" };
          const fetch = `until wget -qO- http://${address}:8080/; do sleep 0.1; done`;
          const { stdout } = await Sandbox.run(["busybox", "sh", "-c", `${fetch}; cat /etc/hosts; ip route`], asked);
          expect(stdout).toStartWith("hello\n");
          expect(stdout).toMatch(/^172\.\d+\.0\.\d+\tclient$/m);
          expect(stdout).toMatch(/^default via 172\.\d+\.0\.1 dev eth0/m);
          // the same from another network
          const elsewhere = await Sandbox.run(["busybox", "timeout", "2", "sh", "-c", fetch], { network: "other" });
          expect(elsewhere.stdout).toBe("");
          expect(members("web").map(({ name }) => name)).toEqual(["server"]);
          server.kill("SIGKILL");
          await server.exited;
        }
        nothingIsLeft();
        const ended = async (asked: RunOptions, ...command: string[]) =>
          (await Sandbox.run(command, { network: "web", ...asked })).reason;
        expect(await ended({}, "false")).toBe("exit");
        expect(await ended({ limits: { time: "200ms" } }, "sleep", "100")).toBe("timeout");
        expect(await ended({ limits: { output: 1000 } }, "busybox", "yes")).toBe("output");
        const stop = new AbortController();
        const aborted = Sandbox.run(["sleep", "100"], { network: "web", signal: stop.signal }).catch(
          ({ name }: Error) => name,
        );
        setTimeout(() => stop.abort(), 5);
        expect(await aborted).toBe("AbortError");
        expect(await failureOf(() => Sandbox.run(["nothing-like-that"], { network: "web" }))).toMatchObject({
          code: "command_not_found",
        });
        expect(await failureOf(() => Sandbox.run(["true"], { network: ["web", "nowhere"] }))).toMatchObject({
          code: "network_not_found",
          message: "network nowhere not found",
        });
        expect(await failureOf(() => Sandbox.run(["true"], { network: "web", rootfs: "/no/such" }))).toMatchObject({
          code: "rootfs_not_found",
        });
        nothingIsLeft();
      },
      60_000 * SLOW,
    );

    test(
      "of one command wait until they are in their networks",
      async () => {
        // what it sees at once is all of it
        const look = ["busybox", "sh", "-c", "ip -o addr show eth0 && cat /etc/resolv.conf"];
        const runs = Array.from({ length: 8 }, () => Sandbox.run(look, { network: "web" }));
        const seen = (await Promise.all(runs)).map(
          ({ stdout }) => /inet ([\d.]+)\/16 .*\nnameserver 172/s.exec(stdout)?.[1],
        );
        expect(new Set(seen).size).toBe(8);
        expect(seen).not.toContain(undefined);
        nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "of one command give back what they had where their program is killed",
      async () => {
        using folder = new Folder();
        const script = folder.script(
          `const process = Sandbox.spawn(["sh", "-c", "echo up; sleep 100"], { network: "web" });
         console.log((await process.stdout.getReader().read()).value.length);
         await process.exited;`,
        );
        const child = Bun.spawn([process.execPath, script], { stdout: "pipe", env: { ...process.env } });
        await child.stdout.getReader().read();
        expect(members("web").length).toBe(1);
        child.kill("SIGKILL");
        await child.exited;
        expect((await Sandbox.run(["true"], { network: "web" })).exitCode).toBe(0);
        nothingIsLeft();
      },
      30_000 * SLOW,
    );

    test(
      "have published ports there as well",
      async () => {
        await using server = Sandbox.spawn(SERVE, {
          network: "web",
          ports: ["127.0.0.1:18080:8080"],
          stdout: "ignore",
        });
        expect(server.exitCode).toBe(null);
        let text = "";
        for (let tries = 0; text !== "hello\n" && tries < 100; tries++, await Bun.sleep(20)) {
          const wget = Bun.spawn(["busybox", "wget", "-qO-", "http://127.0.0.1:18080/"], { stderr: "ignore" });
          text = await wget.stdout.text();
        }
        expect(text).toBe("hello\n");
      },
      30_000 * SLOW,
    );

    test(
      "are as many as there are at a time, each with an address of its own",
      async () => {
        const boxes = await Promise.all(Array.from({ length: 8 }, () => Sandbox.create({ network: "web" })));
        expect(new Set(boxes.flatMap(({ addresses }) => addresses["web"])).size).toBe(8);
        await Promise.all(boxes.map((box) => box.stop()));
        nothingIsLeft();
      },
      30_000 * SLOW,
    );
  },
);
