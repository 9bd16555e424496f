/**
 * Networks of an ordinary user, from outside: what leaves them, and what comes in. The machine is a network namespace of
 * the test's, in which that user has no rights.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hasFirewall } from "../lib/network/firewall.ts";
import { homeIn } from "./support/home.ts";
import { noGateway } from "./support/gateway.ts";
import { noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, runHere, World, type Place } from "./support/network-world.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const reason = notRoot ?? noNetworks() ?? noGateway;
const MAIN = join(import.meta.dirname, "../lib/cli/main.ts");
const ECHO = join(import.meta.dirname, "support/echo.ts");
/** Nobody has it. */
const USER = 54_321;

describe.skipIf(reason !== undefined)(
  reason === undefined ? "an ordinary user's containers" : `an ordinary user's containers (${reason})`,
  () => {
    let world: World;
    let outside: Place;
    let folder: Folder;
    let rootfs: ReturnType<typeof makeRootfs>;
    const asUser = ["setpriv", "--reuid", String(USER), "--regid", String(USER), "--clear-groups"];
    function tsbox(...words: string[]) {
      const { stdout, stderr, exitCode } = Bun.spawnSync([...asUser, process.execPath, MAIN, ...words], {
        env: { PATH: process.env["PATH"] ?? "", ...homeIn(folder.path), TSBOX_ROOT: `${folder.path}/store` },
        timeout: 30_000 * SLOW,
      });
      return { status: exitCode, stdout: stdout.toString().trim(), stderr: stderr.toString() };
    }
    const said = (...words: string[]) => {
      const { status, stdout, stderr } = tsbox(...words);
      if (status !== 0) throw new Error(`${words.join(" ")}: ${status} ${stderr}`);
      return stdout;
    };
    const run = (name: string, network: string, ...words: string[]) =>
      said("run", "-d", "--name", name, "--network", network, "--rootfs", rootfs.path, ...words);
    const wget = (name: string, url: string) =>
      tsbox("exec", name, "busybox", "timeout", "3", "busybox", "wget", "-qO-", url).stdout;
    const SERVE = ["sh", "-c", "echo hello >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp"];
    async function until(wanted: string, get: () => string): Promise<void> {
      for (let tries = 0; tries < 50; tries++, await Bun.sleep(50)) if (get() === wanted) return;
      expect(get()).toBe(wanted);
    }
    const fetched = (url: string) => {
      const { stdout } = Bun.spawnSync(["busybox", "wget", "-qO-", url], { timeout: 3000 });
      return stdout.toString().trim();
    };
    /** Of the user's. */
    const processes = (name: string) =>
      Bun.spawnSync(["pgrep", "-u", String(USER), name])
        .stdout.toString()
        .split("\n")
        .filter(Boolean);

    beforeAll(async () => {
      world = new World();
      outside = world.neighbour(["203.0.113.1/24", "2001:db8:1::1/64"], ["203.0.113.9/24", "2001:db8:1::9/64"]);
      runHere("ip", "-6", "route", "add", "default", "via", "2001:db8:1::9");
      folder = new Folder();
      rootfs = makeRootfs();
      mkdirSync(`${folder.path}/store`);
      runHere("chown", "-R", `${USER}:${USER}`, folder.path, rootfs.path);
      const child = outside.start(process.execPath, ECHO, "serve", "7000", "outside");
      await child.stdout.getReader().read();
      said("network", "create", "web");
    });
    afterAll(async () => {
      for (const name of tsbox("ps", "-aq").stdout.split("\n").filter(Boolean)) tsbox("rm", "-f", name);
      for (let tries = 0; processes("tsbox").length > 0 && tries < 100; tries++) await Bun.sleep(50);
      expect(processes("tsbox")).toEqual([]);
      expect(deviceNames()).toEqual(["lo", "out1"]);
      expect(hasFirewall()).toBe(false);
      rootfs?.[Symbol.dispose]();
      folder?.[Symbol.dispose]();
      world?.[Symbol.dispose]();
    });

    test(
      "find each other by name, reach the outside, and are reached by published ports",
      async () => {
        run("server", "web", "-p", "8080:80", ...SERVE);
        run("client", "web", "sleep", "1000");
        await until("hello", () => wget("client", "http://server/"));
        await until("hello", () => fetched("http://127.0.0.1:8080/"));
        expect(outside.run("busybox", "wget", "-qO-", "http://203.0.113.1:8080/")).toBe("hello");
        // by way of the machine's own address, and back
        expect(wget("client", "http://203.0.113.1:8080/")).toBe("hello");
        expect(said("exec", "client", "busybox", "nc", "-w", "3", "203.0.113.9", "7000")).toBe(
          "outside saw 203.0.113.1",
        );
        expect(
          tsbox("run", "--rm", "--network", "web", "-p", "8080:80", "--rootfs", rootfs.path, "true").stderr,
        ).toContain("Bind for 0.0.0.0:8080 failed: port is already allocated");
        expect(
          tsbox("run", "--rm", "--network", "web", "-p", "80:80", "--rootfs", rootfs.path, "true").stderr,
        ).toContain("publish 0.0.0.0:80/tcp: permission denied");
      },
      60_000 * SLOW,
    );

    test(
      "go on soon after netd was killed, and nobody has called tsbox",
      async () => {
        const isNetd = (pid: string) => readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("network\0netd");
        const [netd, ...others] = processes("tsbox-netd").filter(isNetd);
        expect(others).toEqual([]);
        process.kill(Number(netd), "SIGKILL");
        expect(fetched("http://127.0.0.1:8080/")).toBe("");
        await until("hello", () => wget("client", "http://server/"));
        await until("hello", () => fetched("http://127.0.0.1:8080/"));
      },
      60_000 * SLOW,
    );

    test(
      "go on with the next start where netd is killed with its guard",
      async () => {
        for (const pid of processes("tsbox-netd")) process.kill(Number(pid), "SIGKILL");
        expect(fetched("http://127.0.0.1:8080/")).toBe("");
        run("third", "web", "sleep", "1000");
        await until("hello", () => wget("client", "http://server/"));
        await until("hello", () => fetched("http://127.0.0.1:8080/"));
        said("rm", "-f", "third");
      },
      60_000 * SLOW,
    );

    test(
      "have their ports in the next network when the first is left, and again when they are back in one",
      async () => {
        said("network", "create", "next");
        said("network", "connect", "next", "server");
        said("network", "disconnect", "web", "server");
        await until("hello", () => fetched("http://127.0.0.1:8080/"));
        said("network", "disconnect", "next", "server");
        await until("", () => fetched("http://127.0.0.1:8080/"));
        said("network", "connect", "web", "server");
        await until("hello", () => fetched("http://127.0.0.1:8080/"));
        said("network", "rm", "next");
      },
      60_000 * SLOW,
    );

    test(
      "have no way out of an internal network, to another network, or to the machine's loopback",
      async () => {
        said("network", "create", "--internal", "closed");
        run("inner", "closed", "sleep", "1000");
        run("other", "bridge", "sleep", "1000");
        const nc = (name: string, address: string, port: string) =>
          tsbox("exec", name, "busybox", "timeout", "2", "busybox", "nc", "-w", "1", address, port).stdout;
        // the same is seen to work from elsewhere
        expect(nc("other", "203.0.113.9", "7000")).toBe("outside saw 203.0.113.1");
        expect(nc("inner", "203.0.113.9", "7000")).toBe("");
        const address = said("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "server");
        expect(wget("client", `http://${address}/`)).toBe("hello");
        expect(wget("other", `http://${address}/`)).toBe("");
        expect(wget("inner", `http://${address}/`)).toBe("");
        const local = Bun.spawn([process.execPath, ECHO, "serve", "7001", "host"], { stdout: "pipe" });
        await local.stdout.getReader().read();
        expect(runHere(process.execPath, ECHO, "ask", "tcp", "127.0.0.1", "7001")).toStartWith("host saw");
        for (const name of ["client", "other"]) expect(nc(name, "127.0.0.1", "7001")).toBe("");
        local.kill();
        said("rm", "-f", "inner", "other");
        said("network", "rm", "closed");
      },
      60_000 * SLOW,
    );

    test(
      "meet sandboxes of programs there, which give back what they had",
      () => {
        const script = folder.script(
          `const box = await Sandbox.create({ network: "web", hostname: "box" });
         const { stdout } = box.spawn(["busybox", "wget", "-qO-", "http://server/"]);
         console.log((await new Response(stdout).text()).trim(), Object.keys(box.addresses));
         if (process.argv[2] === "stop") await box.stop();
         process.exit(0);`,
        );
        const members = () =>
          said("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "web").split(" ");
        for (const how of ["stop", "leave"]) {
          const { stdout, stderr } = Bun.spawnSync([...asUser, process.execPath, script, how], {
            env: { PATH: process.env["PATH"] ?? "", ...homeIn(folder.path), TSBOX_ROOT: `${folder.path}/store` },
            timeout: 20_000,
          });
          expect([stdout.toString().trim(), stderr.toString()]).toEqual(['hello [ "web" ]', ""]);
          if (how === "stop") expect(members()).not.toContain("box");
        }
        // the next one takes out those that are gone
        run("next", "web", "sleep", "1000");
        expect(members().toSorted()).toEqual(["client", "next", "server"]);
        said("rm", "-f", "next");
      },
      60_000 * SLOW,
    );

    test(
      "meet sandboxes of one command there, of programs and of the command line",
      () => {
        const script = folder.script(
          `const asked = { network: "web", hostname: "one" };
         const { stdout } = await Sandbox.run(["busybox", "sh", "-c", "wget -qO- http://server/; ip -o addr show eth0"], asked);
         console.log(stdout);`,
        );
        const { stdout, stderr } = Bun.spawnSync([...asUser, process.execPath, script], {
          env: { PATH: process.env["PATH"] ?? "", ...homeIn(folder.path), TSBOX_ROOT: `${folder.path}/store` },
          timeout: 20_000,
        });
        expect([stdout.toString(), stderr.toString()]).toEqual([expect.stringMatching(/^hello\n.* inet 172\./), ""]);
        const quick = ["run", "--rm", "--network", "web", "--rootfs", rootfs.path];
        expect(said(...quick, "busybox", "wget", "-qO-", "http://server/")).toBe("hello");
        // no container
        expect(tsbox(...quick, "sh", "-c", "exit 3").status).toBe(3);
        expect(
          said("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "web").split(" ").toSorted(),
        ).toEqual(["client", "server"]);
      },
      60_000 * SLOW,
    );

    test(
      "have a way out of version 6, and ports of UDP, of both versions",
      async () => {
        said("network", "create", "--ipv6", "six");
        said("network", "create", "--ipv6", "--internal", "six-closed");
        run("six", "six", "-p", "9999:7/udp", "-p", "9999:7", "sleep", "1000");
        run("six-inner", "six-closed", "sleep", "1000");
        const pidOf = (name: string) => said("inspect", "-f", "{{.State.Pid}}", name);
        const inside = (name: string) => ["nsenter", `--net=/proc/${pidOf(name)}/ns/net`, process.execPath, ECHO];
        const [six, inner] = [inside("six"), inside("six-inner")];
        await using server = Bun.spawn([...six, "serve", "7", "six"], { stdout: "pipe" });
        await server.stdout.getReader().read();
        const six4 = said("inspect", "-f", "{{.NetworkSettings.Networks.six.Gateway}}", "six");
        const six6 = said("inspect", "-f", "{{.NetworkSettings.Networks.six.IPv6Gateway}}", "six");
        for (const protocol of ["udp", "tcp"]) {
          const ask = (address: string) => outside.run(process.execPath, ECHO, "ask", protocol, address, "9999");
          await until(`six saw ${six4}`, () => ask("203.0.113.1"));
          await until(`six saw ${six6}`, () => ask("2001:db8:1::1"));
          const leave = (words: string[], address: string) => runHere(...words, "ask", protocol, address, "7000");
          await until("outside saw 2001:db8:1::1", () => leave(six, "2001:db8:1::9"));
          await until("outside saw 203.0.113.1", () => leave(six, "203.0.113.9"));
          // the same from a closed one
          for (const address of ["2001:db8:1::9", "203.0.113.9"]) expect(leave(inner, address)).not.toContain("saw");
        }
        server.kill();
        said("rm", "-f", "six", "six-inner");
        for (const name of ["six", "six-closed"]) said("network", "rm", name);
      },
      120_000 * SLOW,
    );

    test(
      "make no macvlan, and publish no SCTP",
      () => {
        expect(tsbox("network", "create", "-d", "macvlan", "-o", "parent=out1", "lan").stderr).toContain(
          "only root may",
        );
        expect(
          tsbox("run", "--rm", "--network", "web", "-p", "9000:80/sctp", "--rootfs", rootfs.path, "true").stderr,
        ).toContain("publish 80/sctp: only root may");
      },
      30_000 * SLOW,
    );
  },
);
