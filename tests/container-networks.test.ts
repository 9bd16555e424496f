/** Containers in networks, from outside: names, ports, what comes and goes. The machine is a network namespace of the test's. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { hasFirewall } from "../lib/network/firewall.ts";
import { Networks } from "../lib/network/index.ts";
import { State } from "../lib/state/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { noNetworks, notRoot, SLOW } from "./support/machine.ts";
import { deviceNames, runHere, World } from "./support/network-world.ts";

const reason = notRoot ?? noNetworks();
/** Of commands that take a second each on a busy machine, there are up to forty. */
const TIMEOUT_MS = 180_000 * SLOW;

describe.skipIf(reason !== undefined)(
  reason === undefined ? "containers in networks" : `containers in networks (${reason})`,
  () => {
    let world: World;
    let made: CommandLine;
    const said = (...words: string[]) => made.said(...words);
    const refused = (...words: string[]) => {
      const { status, stderr } = made.tsbox(...words);
      expect(status).not.toBe(0);
      return stderr;
    };
    beforeAll(async () => {
      world = new World();
      made = await CommandLine.open();
    });
    afterAll(async () => {
      await made?.[Symbol.asyncDispose]();
      world?.[Symbol.dispose]();
    });

    const SERVE = ["busy", "sh", "-c", "echo hello >/tmp/index.html; exec busybox httpd -f -p 80 -h /tmp"];
    const fetched = (url: string) => runHere("busybox", "wget", "-qO-", url);
    /** Once it listens. */
    async function untilServed(url: string): Promise<string> {
      for (let tries = 0; ; tries++, await Bun.sleep(20)) {
        try {
          return fetched(url);
        } catch (error) {
          if (tries > 200) throw error;
        }
      }
    }
    const addressOf = (name: string) =>
      said("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name);

    test(
      "know each other by name, alias and id, and serve what is published",
      async () => {
        said("network", "create", "--label", "of=test", "web");
        said(
          "run",
          "-d",
          "--name",
          "server",
          "--network",
          "web",
          "--network-alias",
          "www",
          "-p",
          "8080:80",
          "-h",
          "host1",
          ...SERVE,
        );
        said("run", "-d", "--name", "client", "--network", "web", "busy", "sleep", "1000");
        expect(await untilServed("http://127.0.0.1:8080/")).toBe("hello");
        for (const name of ["server", "www", "host1", addressOf("server")])
          expect(said("exec", "client", "busybox", "wget", "-qO-", `http://${name}/`)).toBe("hello");
        expect(said("exec", "server", "busybox", "nslookup", "client")).toContain(addressOf("client"));
        expect(said("exec", "server", "hostname")).toBe("host1");
        expect(said("port", "server")).toBe("80/tcp -> 0.0.0.0:8080");
        expect(said("port", "server", "80/tcp")).toBe("0.0.0.0:8080");
        expect(refused("port", "server", "81")).toContain("No public port '81/tcp' published for server");
        expect(said("ps", "--format", "{{.Names}} {{.Ports}} {{.Networks}}")).toBe(
          "client  web\nserver 0.0.0.0:8080->80/tcp web",
        );
        const within = said("network", "inspect", "-f", "{{range .Containers}}{{.Name}} {{end}}", "web");
        expect(within.split(" ").toSorted()).toEqual(["client", "server"]);
        expect(said("ps", "--filter", "publish=80", "--format", "{{.Names}}")).toBe("server");
        expect(said("ps", "--filter", "publish=8080", "--format", "{{.Names}}")).toBe("");
        // somebody has it
        expect(refused("run", "-d", "--name", "second", "--network", "web", "-p", "8080:80", ...SERVE)).toContain(
          "Bind for 0.0.0.0:8080 failed: port is already allocated",
        );
        expect(said("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "second")).toBe("created 128");
        expect(refused("network", "rm", "web")).toContain("network web has active endpoints (name: ");
        const before = addressOf("client");
        said("stop", "-t", "0", "client");
        expect(made.tsbox("exec", "server", "busybox", "nslookup", "client").status).not.toBe(0);
        said("start", "client");
        // it is not used again at once
        expect(addressOf("client")).not.toBe(before);
        said("rm", "-f", "server", "client", "second");
        said("network", "rm", "web");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "come and go while they run, and the way out with them",
      () => {
        for (const name of ["one", "two"]) said("network", "create", name);
        said("run", "-d", "--name", "moving", "--network", "one", "busy", "sleep", "1000");
        said("network", "connect", "--alias", "m", "two", "moving");
        expect(refused("network", "connect", "two", "moving")).toContain(
          "endpoint with name moving already exists in network two",
        );
        expect(
          said("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", "moving"),
        ).toBe("one two");
        said("run", "-d", "--name", "other", "--network", "two", "busy", "sleep", "1000");
        const id = said("network", "inspect", "-f", "{{.Id}}", "two");
        expect(said("inspect", "-f", "{{.Id}}", "two")).toBe(id);
        for (const [network, expected] of [
          ["one", "moving"],
          ["two", "other\nmoving"],
          ["tw", ""],
          [id.slice(0, 12), "other\nmoving"],
        ] as const)
          expect(said("ps", "--filter", `network=${network}`, "--format", "{{.Names}}")).toBe(expected);
        expect(said("exec", "other", "busybox", "nslookup", "m")).toContain("Name:	m");
        said("network", "disconnect", "one", "moving");
        expect(refused("network", "disconnect", "one", "moving")).toContain("is not connected to network one");
        expect(said("exec", "moving", "busybox", "ip", "route")).toMatch(/^default via 172\.\d+\.0\.1 dev eth1/);
        said("network", "disconnect", "two", "moving");
        expect(said("exec", "moving", "busybox", "ip", "-o", "link")).not.toContain("eth");
        said("network", "connect", "one", "moving");
        said("restart", "-t", "0", "moving");
        expect(
          said("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}", "moving"),
        ).toBe("one");
        said("rm", "-f", "moving", "other");
        expect(said("network", "prune", "-f")).toBe("Deleted Networks:\none\ntwo");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "are asked for in Docker's words, and refused in them",
      () => {
        said("network", "create", "--subnet", "10.77.0.0/24", "fixed");
        said(
          "run",
          "-d",
          "--name",
          "fixed1",
          "--network",
          "fixed",
          "--ip",
          "10.77.0.9",
          "--mac-address",
          "02:00:00:00:00:09",
          "busy",
          "sleep",
          "1000",
        );
        expect(said("exec", "fixed1", "cat", "/sys/class/net/eth0/address")).toBe("02:00:00:00:00:09");
        expect(addressOf("fixed1")).toBe("10.77.0.9");
        expect(refused("run", "-d", "--network", "fixed", "--ip", "10.77.0.9", "busy", "true")).toContain(
          "Address already in use",
        );
        expect(refused("run", "-d", "--network", "fixed", "--ip", "10.78.0.9", "busy", "true")).toContain(
          "no configured subnet contains IP address 10.78.0.9",
        );
        expect(refused("run", "-d", "--network", "nowhere", "busy", "true")).toContain("network nowhere not found");
        expect(refused("run", "-d", "--network", "none", "--ip", "10.77.0.8", "busy", "true")).toContain(
          "conflicting options",
        );
        expect(refused("run", "-d", "--network", "host", "--network", "fixed", "busy", "true")).toContain(
          "conflicting options",
        );
        for (const [ports, why] of [
          ["80:80:80:80", "no container port"],
          ["99999", "invalid container port"],
          ["1-2:1-3", "invalid ranges"],
          ["80/icmp", "invalid proto: icmp"],
          ["1.2.3:80:80", "invalid IP address"],
        ] as const)
          expect(refused("run", "-d", "--network", "fixed", "-p", ports, "busy", "true")).toContain(why);
        expect(refused("run", "-d", "--network", "fixed", "-p", "[2001:db8::1]:80:80", "busy", "true")).toContain(
          "publish port 80 at 2001:db8::1: the network fixed has no addresses of version 6",
        );
        said("network", "create", "--ipv6", "six");
        expect(refused("run", "-d", "--network", "six", "-p", "[::1]:80:80", "busy", "true")).toContain("at ::1: ");
        said("network", "rm", "six");
        const long = "name=fixed,ip=10.77.0.12,alias=long,mac-address=02:00:00:00:00:12";
        said("run", "-d", "--name", "fixed2", "--network", long, "busy", "sleep", "1000");
        expect(addressOf("fixed2")).toBe("10.77.0.12");
        expect(said("exec", "fixed2", "cat", "/sys/class/net/eth0/address")).toBe("02:00:00:00:00:12");
        for (const alias of ["", "two words", "a\n10.0.0.1 other", "a/b"])
          expect(refused("run", "-d", "--network", "fixed", "--network-alias", alias, "busy", "true")).toContain(
            "nobody can ask for it",
          );
        for (const [words, why] of [
          ["name=fixed,speed=1", "invalid field key speed"],
          ["alias=a", "network name/id is not specified"],
          ["name=fixed,ip=fd00::1", "is not an ip address"],
          ["name=fixed,mac-address=02", "is not a valid mac address"],
          ["name=fixed,mac-address=01:00:5e:00:00:01", "is not a valid mac address"],
        ] as const)
          expect(refused("run", "-d", "--network", words, "busy", "true")).toContain(why);
        expect(refused("run", "-d", "--network", "fixed", "--ip6", "10.77.0.13", "busy", "true")).toContain(
          "10.77.0.13 is not an ip address of version 6",
        );
        said("rm", "-f", ...said("ps", "-aq").split("\n"));
        expect(said("network", "ls", "--format", "{{.Name}} {{.Driver}} {{.Scope}}")).toBe("fixed bridge local");
        said("network", "rm", "fixed");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "ports go on in the next network when the first is left, and come back with one",
      async () => {
        for (const name of ["first", "second"]) said("network", "create", name);
        const ports = ["-p", "127.0.0.1:8188:80", "-p", "8189:80"];
        said("run", "-d", "--name", "moving", "--network", "first", "--network", "second", ...ports, ...SERVE);
        const served = async () => {
          for (const url of ["http://127.0.0.1:8188", "http://127.0.0.1:8189"])
            expect(await untilServed(url)).toBe("hello");
          expect(said("port", "moving", "80").split("\n")).toEqual(["127.0.0.1:8188", "0.0.0.0:8189"]);
        };
        await served();
        said("network", "disconnect", "first", "moving");
        await served();
        said("network", "disconnect", "second", "moving");
        expect(said("port", "moving")).toBe("");
        expect(() => fetched("http://127.0.0.1:8188")).toThrow();
        said("network", "connect", "first", "moving");
        await served();
        said("network", "connect", "second", "moving");
        said("restart", "-t", "0", "moving");
        await served();
        said("rm", "-f", "moving");
        said("network", "rm", "first", "second");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "that nobody is in are pruned, alone and with all else, by their age and labels; flags that there are not are explained",
      () => {
        for (const name of ["old", "kept", "other"])
          said("network", "create", "--label", `of=${name === "kept" ? "test" : "none"}`, name);
        const prune = (...words: string[]) =>
          said(...words, "prune", "-f")
            .split("\n")
            .filter((line) => line !== "");
        const names = () => said("network", "ls", "--format", "{{.Name}}").split("\n").toSorted();
        expect(made.said("network", "prune", "-f", "--filter", "until=1h")).toBe("");
        expect(names()).toEqual(["kept", "old", "other"]);
        expect(refused("network", "prune", "-f", "--filter", "until=soon")).toContain('the time "soon"');
        expect(said("network", "prune", "-f", "--filter", "until=0s", "--filter", "label!=of=none")).toContain("kept");
        expect(prune("system").slice(0, 3)).toEqual(["Deleted Networks:", "old", "other"]);
        expect(said("network", "rm", "-f", "old")).toBe("");
        for (const words of [
          ["create", "--attachable", "x"],
          ["create", "--ipv4", "x"],
          ["connect", "--link", "a", "x", "y"],
          ["connect", "--gw-priority", "1", "x", "y"],
          ["inspect", "-v", "x"],
        ])
          expect(refused("network", ...words)).toStartWith(`tsbox: use ${words[1]}: `);
        expect(refused("network", "create", "--bogus", "x")).toContain("unknown option");
        const gateway = said("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "bridge");
        expect(gateway).toMatch(/^172\.\d+\.0\.1$/);
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "the default one is there without being made; a policy starts a container in it again, with its ports",
      async () => {
        said(
          "run",
          "-d",
          "--name",
          "always",
          "--network",
          "bridge",
          "--restart",
          "always",
          "-p",
          "127.0.0.1:8081:80",
          ...SERVE,
        );
        expect(await untilServed("http://127.0.0.1:8081/")).toBe("hello");
        said("exec", "always", "kill", "-9", "2");
        for (
          let tries = 0;
          said("inspect", "-f", "{{.RestartCount}} {{.State.Running}}", "always") !== "1 true" && tries < 200;
          tries++
        )
          await Bun.sleep(50);
        expect(await untilServed("http://127.0.0.1:8081/")).toBe("hello");
        expect(refused("network", "rm", "bridge")).toContain("pre-defined network and cannot be removed");
        expect(refused("network", "create", "host")).toContain("predefined");
        said("rm", "-f", "always");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "publish their ports at the address that their network says, unless they say one",
      async () => {
        const docker = "com.docker.network.bridge";
        const options = [`${docker}.host_binding_ipv4=127.0.0.1`, `${docker}.enable_icc=true`].flatMap((o) => [
          "-o",
          o,
        ]);
        said("network", "create", ...options, "near");
        const ports = ["-p", "8086:80", "-p", "127.0.0.2:8087:80", "-P", "--expose", "81"];
        said("run", "-d", "--name", "local", "--network", "near", ...ports, ...SERVE);
        expect(said("port", "local")).toMatch(
          /^80\/tcp -> 127.0.0.1:8086\n80\/tcp -> 127.0.0.2:8087\n81\/tcp -> 127.0.0.1:\d+$/,
        );
        expect(await untilServed("http://127.0.0.1:8086/")).toBe("hello");
        said("run", "-d", "--name", "open", "--network", "near", "--expose", "80-82", "-p", "82:82", ...SERVE);
        expect(said("ps", "--filter", "name=open", "--format", "{{.Ports}}")).toBe("80-81/tcp, 127.0.0.1:82->82/tcp");
        expect(JSON.parse(said("inspect", "-f", "{{json .NetworkSettings.Ports}}", "open"))).toEqual({
          "80/tcp": null,
          "81/tcp": null,
          "82/tcp": [{ HostIp: "127.0.0.1", HostPort: "82" }],
        });
        said("rm", "-f", "open");
        const gateway = said("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", "near");
        expect(() => fetched(`http://${gateway}:8086/`)).toThrow();
        const refusals = { host_binding_ipv4: "::1", enable_icc: "no", enable_ip_masquerade: "no" };
        for (const [name, value] of Object.entries(refusals))
          expect(refused("network", "create", "-o", `${docker}.${name}=${value}`, "x")).toContain(`=${value}: no`);
        said("rm", "-f", "local");
        said("network", "rm", "near");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "keep their network over a prune while they are being restarted",
      () => {
        said("network", "create", "kept");
        // its policy waits: nobody is in the network meanwhile
        said("run", "-d", "--name", "again", "--network", "kept", "--restart", "always", "busy", "false");
        // longer each time
        const status = () => said("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "again");
        while (!/^restarting [4-9]/.test(status())) Bun.sleepSync(5);
        expect(said("network", "prune", "-f")).toBe("");
        said("stop", "-t", "0", "again");
        expect(said("network", "prune", "-f")).toContain("kept");
        said("rm", "-f", "again");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "are in other networks from their next start on, where they are being restarted",
      () => {
        for (const name of ["near", "far"]) said("network", "create", name);
        const flaky = ["busy", "sh", "-c", "ls /sys/class/net; exit 1"];
        said("run", "-d", "--name", "flaky", "--network", "near", "--restart", "always", ...flaky);
        const status = () => said("inspect", "-f", "{{.State.Status}} {{.RestartCount}}", "flaky");
        // each waits longer, so that the commands come before the next
        while (!/^restarting [4-9]/.test(status())) Bun.sleepSync(5);
        said("network", "connect", "far", "flaky");
        said("network", "disconnect", "near", "flaky");
        said("update", "--restart", "no", "flaky");
        said("stop", "-t", "0", "flaky");
        said("start", "flaky");
        said("wait", "flaky");
        expect(said("inspect", "-f", "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}", "flaky")).toBe(
          "far",
        );
        expect(said("logs", "-n", "2", "flaky")).toBe("eth0\nlo");
        said("rm", "-f", "flaky");
        said("network", "rm", "near", "far");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "are told by the names of their networks, whatever those were called by, with what was asked of each",
      () => {
        said("network", "create", "--subnet", "10.86.0.0/24", "named");
        const id = said("network", "ls", "-q", "-f", "name=named");
        const fixed = ["--network-alias", "web", "--ip", "10.86.0.9"];
        said("create", "--name", "by-id", "--network", id, ...fixed, "busy", "sleep", "1000");
        said("run", "-d", "--name", "usual", "--network", "default", "busy", "sleep", "1000");
        const asked =
          "{{range $name, $end := .NetworkSettings.Networks}}{{$name}} {{with $end.IPAMConfig}}{{.IPv4Address}}{{.IPv6Address}}{{end}} {{$end.Aliases}};{{end}}";
        expect(said("inspect", "-f", asked, "by-id")).toBe("named 10.86.0.9 [web];");
        said("start", "by-id");
        expect(said("inspect", "-f", `${asked} {{.HostConfig.NetworkMode}}`, "by-id")).toBe(
          "named 10.86.0.9 [web]; named",
        );
        expect(said("inspect", "-f", asked, "usual")).toBe("bridge  [];");
        expect(said("ps", "--format", "{{.Networks}}")).toBe("bridge\nnamed");
        for (const value of ["named", id])
          expect(said("ps", "-f", `network=${value}`, "--format", "{{.Names}}")).toBe("by-id");
        said("rm", "-f", "by-id", "usual");
        said("network", "rm", "named");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "what publishes a port is in a network, or refused: no port is left out",
      async () => {
        said("run", "-d", "--name", "plain", "-p", "8083:80", ...SERVE);
        expect(await untilServed("http://127.0.0.1:8083/")).toBe("hello");
        expect(said("ps", "--format", "{{.Ports}} {{.Networks}}")).toBe("0.0.0.0:8083->80/tcp bridge");
        for (const mode of ["none", "host", "container:plain"])
          expect(refused("run", "-d", "--network", mode, "-p", "8084:80", "busy", "true")).toContain(
            "conflicting options: port publishing and the network mode",
          );
        const aliased = "network-scoped alias is supported only for containers in user defined networks";
        expect(refused("create", "--network", "bridge", "--network-alias", "db", "busy", "true")).toContain(aliased);
        said("rm", "-f", "plain");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "a container that is killed with its supervisor gives back what it had, with the next command",
      async () => {
        said("run", "-d", "--name", "killed", "--network", "bridge", "-p", "8082:80", ...SERVE);
        await untilServed("http://127.0.0.1:8082/");
        const pid = Number(said("inspect", "-f", "{{.State.Pid}}", "killed"));
        const supervisor = Number(/^PPid:\s*(\d+)$/m.exec(await Bun.file(`/proc/${pid}/status`).text())?.[1]);
        process.kill(supervisor, "SIGKILL");
        for (let tries = 0; said("ps", "-q") !== "" && tries < 100; tries++) await Bun.sleep(20);
        said("rm", "killed");
        nothingIsLeft();
      },
      TIMEOUT_MS,
    );

    test(
      "of a container that is gone, and whoever removed it was killed meanwhile, nothing is left by the next command",
      async () => {
        said("network", "create", "orphaned");
        using state = new State(made.root);
        const networks = new Networks(() => state);
        const { id } = networks.get("orphaned");
        const container = "e".repeat(64);
        using place = world.place();
        networks.claim(id, { container, name: "gone", inside: "eth0" }, []);
        await networks.raise(id, container);
        await networks.plugIn(id, container, place.namespace, true);
        expect(hasFirewall()).toBe(true);
        said("ps");
        nothingIsLeft();
        said("network", "rm", "orphaned");
      },
      TIMEOUT_MS,
    );

    function nothingIsLeft(): void {
      expect(deviceNames()).toEqual(["lo"]);
      expect(hasFirewall()).toBe(false);
    }
  },
);
