/** Containers that last and have a network policy, in a small world: what they reach, and what they reach when netd is gone. */
import { afterAll, beforeAll, describe, expect } from "bun:test";
import { join } from "node:path";
// not faces: what netd asks of them
import { Home } from "../lib/containers/home.ts";
import { waysAt } from "../lib/containers/policies.ts";
import type { ContainerRecord } from "../lib/containers/record.ts";
import { readKernelFile } from "../syscalls/index.ts";
import { noGateway } from "./support/gateway.ts";
import { asRoot, noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { METADATA, OTHER, PACKAGES, PolicyWorld, PRIVATE, TUNNEL } from "./support/policy-world.ts";
import { makeRootfs } from "./support/rootfs.ts";

const MAIN = join(import.meta.dirname, "../lib/cli/main.ts");
const reason = noBusybox ?? (asRoot ? undefined : "the world is made by root") ?? noGateway;
/** Nobody has it. */
const USER = 54_322;
const TIMEOUT_MS = 60_000 * SLOW;

for (const [who, user] of [
  ["root's", undefined],
  ["an ordinary user's", USER],
] as const)
  describe(`${who} containers with a policy`, () => {
    let world: PolicyWorld;
    let rootfs: ReturnType<typeof makeRootfs>;
    const it = (name: string, body: () => Promise<void>) => testUnless(reason, name, body, TIMEOUT_MS);

    beforeAll(async () => {
      if (reason !== undefined) return;
      world = await PolicyWorld.make(user === undefined ? {} : { user });
      world.names.set("packages.example", [PACKAGES]);
      world.names.set("other.example", [OTHER]);
      rootfs = makeRootfs();
      if (user !== undefined) await run("chown", "-R", `${user}:${user}`, world.directory, rootfs.path);
    });
    afterAll(async () => {
      if (reason !== undefined) return;
      for (const name of (await tsbox("ps", "-aq")).stdout.split("\n").filter(Boolean)) await tsbox("rm", "-f", name);
      for (let tries = 0; (await netds()).length > 0 && tries < 100; tries++) await Bun.sleep(100);
      expect(await netds()).toEqual([]);
      // who tidies up behind a container writes there as well
      for (let tries = 0; (await ours("-f", "lib/cli/main.ts")).length > 0 && tries < 100; tries++)
        await Bun.sleep(100);
      await world[Symbol.asyncDispose]();
      rootfs.remove();
    });

    const run = (...words: string[]) => world.run(...words);
    const as = user === undefined ? [] : ["setpriv", "--reuid", `${user}`, "--regid", `${user}`, "--clear-groups"];
    const tsbox = (...words: string[]) => run(...as, process.execPath, MAIN, ...words);
    async function said(...words: string[]): Promise<string> {
      const { status, stdout, stderr } = await tsbox(...words);
      if (status !== 0) throw new Error(`${words.join(" ")}: ${status} ${stderr}`);
      return stdout.trim();
    }
    /** Processes of this store. */
    async function ours(...pattern: string[]): Promise<number[]> {
      const { stdout } = await run("pgrep", ...pattern);
      const pids = stdout.split("\n").filter(Boolean).map(Number);
      return pids.filter((pid) => readKernelFile(`/proc/${pid}/environ`)?.includes(`TSBOX_ROOT=${world.directory}`));
    }
    const netds = () => ours("-x", "tsbox-netd");
    const start = (name: string, ...flags: string[]) =>
      said("run", "-d", "--name", name, ...flags, "--rootfs", rootfs.path, "sleep", "1000");
    /** What servers say, each a line; `-` for one that is not reached. */
    async function reached(name: string, ...places: string[]): Promise<string[]> {
      const one = (place: string) =>
        `busybox nc -w 3 ${place.replace(":", " ")} </dev/null 2>/dev/null | grep . || echo -`;
      return (await tsbox("exec", name, "sh", "-c", places.map(one).join("; "))).stdout.trim().split("\n");
    }
    const hello = (...addresses: string[]) => addresses.map((address) => `hello from ${address}`);
    const nothing = (...places: string[]) => places.map(() => "-");
    async function until(wanted: unknown, get: () => Promise<unknown>): Promise<void> {
      for (let tries = 0; tries < 20; tries++, await Bun.sleep(200))
        if (JSON.stringify(await get()) === JSON.stringify(wanted)) return;
      expect(await get()).toEqual(wanted);
    }

    it("reach what they may, by a name that is asked for, and nothing else; what was denied is an event", async () => {
      await start("one", "--allow", "packages.example");
      expect(await reached("one", "packages.example:80", `${PACKAGES}:443`)).toEqual(hello(PACKAGES, PACKAGES));
      expect(await said("stats", "--no-stream", "--format", "{{.NetIO}}", "one")).toMatch(/^[1-9]\d+B \/ [1-9]\d+B$/);
      world.seen();
      const others = ["other.example:80", `${OTHER}:80`, `${PRIVATE}:80`, `${TUNNEL}:80`, `${METADATA}:80`];
      expect(await reached("one", ...others)).toEqual(nothing(...others));
      expect(world.seen()).toEqual([]);
      // the same is seen to work where it is allowed
      const all = [...others.slice(0, -1), `${METADATA}:80`];
      await start("two", "--allow", "*", "--allow", "10.0.0.0/8", "--allow", METADATA);
      expect(await reached("two", ...all)).toEqual(hello(OTHER, OTHER, PRIVATE, TUNNEL, METADATA));
      await said("rm", "-f", "two");
      const events = () => said("events", "--since", "1h", "--until", "0s", "--filter", "event=network deny");
      await until(true, async () => (await events()).includes(`ip=${TUNNEL}, name=one, port=80, protocol=tcp`));
      expect(await events()).toContain("host=other.example, name=one, protocol=dns, rule=allow: nothing of it matches");
      expect(JSON.parse(await said("inspect", "-f", "{{json .HostConfig.NetworkPolicy}}", "one"))).toEqual({
        Allow: ["packages.example"],
        Deny: [],
      });
    });

    it("have another policy from now on, also for what is connected already", async () => {
      const script = `busybox nc ${OTHER} 80 </dev/zero >/tmp/said 2>&1; echo over >>/tmp/said`;
      await said("update", "--allow", OTHER, "one");
      await said("exec", "-d", "one", "sh", "-c", script);
      const told = async () => (await tsbox("exec", "one", "cat", "/tmp/said")).stdout.trim();
      await until(`hello from ${OTHER}`, told);
      expect(await reached("one", `${PACKAGES}:80`)).toEqual(["-"]);
      await said("update", "--allow", "packages.example", "one");
      await until(`hello from ${OTHER}\nover`, async () => (await told()).replace(/\nnc: .*/, ""));
      expect(await reached("one", `${OTHER}:80`, "packages.example:80")).toEqual(["-", ...hello(PACKAGES)]);
      expect((await tsbox("update", "--allow", "a b", "one")).stderr).toContain('use the rule "a b" of allow');
    });

    it("have no way out where netd is killed, until the next start, and the same one then", async () => {
      expect(await reached("one", "packages.example:80")).toEqual(hello(PACKAGES));
      for (const pid of await netds()) process.kill(pid, "SIGKILL");
      world.seen();
      const packets = world.packets();
      expect(await reached("one", `${PACKAGES}:80`, `${OTHER}:80`)).toEqual(["-", "-"]);
      expect([world.seen(), world.packets() - packets]).toEqual([[], 0]);
      await start("three", "--deny", OTHER);
      await until([...hello(PACKAGES), "-"], () => reached("one", "packages.example:80", `${OTHER}:80`));
      expect(await reached("three", "packages.example:80", `${OTHER}:80`)).toEqual([...hello(PACKAGES), "-"]);
      await said("rm", "-f", "three");
    });

    it("have it again soon after netd was killed, and nobody has called tsbox", async () => {
      const before = await ours("-f", "network netd");
      expect(before).toHaveLength(1);
      for (const pid of before) process.kill(pid, "SIGKILL");
      await until(true, async () => {
        const now = await ours("-f", "network netd");
        return now.length === 1 && now[0] !== before[0];
      });
      const places = ["packages.example:80", `${OTHER}:80`];
      await until([...hello(PACKAGES), "-"], () => reached("one", ...places));
    });

    // this process reads no store of others
    const itOfOwn = user === undefined ? it : () => {};
    itOfOwn("are not reached while they are being started: who does that makes their sockets", async () => {
      using home = new Home(join(world.directory, "store"));
      const id = await said("inspect", "-f", "{{.Id}}", "one");
      const isReached = async () => {
        using place = await waysAt(home).reach(id);
        return place !== undefined;
      };
      const become = (status: ContainerRecord["status"]) =>
        void home.state.containers.update<ContainerRecord>(id, (row) => ({ ...row, status }));
      expect(await isReached()).toBe(true);
      become("starting");
      expect(await isReached()).toBe(false);
      become("running");
      expect(await isReached()).toBe(true);
    });

    it("have it again when they are started again, by somebody or by their restart policy", async () => {
      await said("restart", "-t", "0", "one");
      expect(await reached("one", "packages.example:80", `${OTHER}:80`)).toEqual([...hello(PACKAGES), "-"]);
      await said("update", "--restart", "always", "one");
      const pid = () => said("inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "one");
      const before = await pid();
      for (const netd of await netds()) process.kill(netd, "SIGKILL");
      process.kill(Number(before.split(" ")[0]), "SIGKILL");
      await until(true, async () => /^[1-9]\d* running$/.test(await pid()) && (await pid()) !== before);
      expect(await reached("one", "packages.example:80", `${OTHER}:80`)).toEqual([...hello(PACKAGES), "-"]);
    });

    it("have no other way, with all capabilities, or a network more; who joins them has none either", async () => {
      const flags = ["--allow", "packages.example", "--cap-add", "ALL", "--security-opt", "seccomp=unconfined"];
      await start("strong", ...flags);
      const packets = world.packets();
      const ping = `busybox ping -c 1 -W 1 ${OTHER} >/dev/null && echo pinged`;
      const more = `busybox ip link add v0 type veth peer name v1; busybox ip route add default via 198.19.0.2; ${ping}`;
      const { stdout } = await tsbox(
        "exec",
        "strong",
        "sh",
        "-c",
        `${ping}; ${more}; busybox ifconfig lo down; ${ping}`,
      );
      expect([stdout, world.packets() - packets]).toEqual(["", 0]);
      await said("network", "create", "web");
      expect((await tsbox("network", "connect", "web", "one")).stderr).toContain("it would be a way around it");
      await start("joined", "--network", "container:one");
      expect(await reached("joined", "packages.example:80", `${OTHER}:80`)).toEqual([...hello(PACKAGES), "-"]);
      await said("rm", "-f", "joined", "strong");
    });

    it("are as fast as they may be, also when that changes", async () => {
      await start("slow", "--allow", OTHER, "--bandwidth", "up=80kbit,burst=2k");
      const send = `head -c 50000 /dev/zero | busybox nc ${OTHER} 80 >/dev/null`;
      const seconds = async () => {
        const { stderr } = await tsbox("exec", "slow", "busybox", "time", "-p", "sh", "-c", send);
        return Number(/real (\S+)/.exec(stderr)?.[1]);
      };
      // 50 kB, ten a second
      expect(await seconds()).toBeGreaterThan(3.5);
      await said("update", "--bandwidth", "up=unlimited", "slow");
      expect(await seconds()).toBeLessThan(3);
      await said("rm", "-f", "slow");
    });

    it("are killed when all of their traffic is used, also what netd counted before it was killed", async () => {
      await start("counted", "--allow", OTHER, "--traffic", "100k");
      const send = (bytes: number) =>
        tsbox("exec", "counted", "sh", "-c", `head -c ${bytes} /dev/zero | busybox nc ${OTHER} 80`);
      const sent = async () =>
        Number(/\/ ([\d.]+)kB/.exec(await said("stats", "--no-stream", "--format", "{{.NetIO}}", "counted"))?.[1]);
      await send(60_000);
      await until(60, sent);
      for (const pid of await ours("-f", "network netd")) process.kill(pid, "SIGKILL");
      await until(hello(OTHER), () => reached("counted", `${OTHER}:80`));
      expect(await sent()).toBe(60);
      await send(60_000);
      const state = () => said("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}} {{.State.Error}}", "counted");
      const killed = "exited 137 killed: all of its traffic is used (limits.traffic)";
      await until(killed, state);
      // a run has all of it again
      await said("start", "counted");
      await send(60_000);
      await until(60, sent);
      await said("kill", "counted");
      expect(await state()).toBe("exited 137");
      await said("rm", "counted");
      const flags = ["--allow", OTHER, "--traffic", "50k", "--rootfs", rootfs.path];
      const run = await tsbox(
        "run",
        "--name",
        "counted",
        ...flags,
        "sh",
        "-c",
        `while :; do busybox nc ${OTHER} 80 </dev/zero; done`,
      );
      expect([run.status, run.stderr]).toEqual([137, "tsbox: killed: all of its traffic is used (limits.traffic)\n"]);
      await said("rm", "counted");
      expect((await tsbox("create", "--traffic", "1m", "--rootfs", rootfs.path, "true")).stderr).toContain(
        "limit the traffic: the container has no network policy",
      );
    });

    it("cannot be had with a network, published ports, servers of their own, or functions", async () => {
      const refused = async (...flags: string[]) =>
        (await tsbox("create", "--allow", "*", ...flags, "--rootfs", rootfs.path, "true")).stderr;
      expect(await refused("--network", "web")).toContain("which make another one");
      expect(await refused("-p", "80")).toContain("conflicting options: port publishing and the network mode");
      expect(await refused("--dns", "192.0.2.1")).toContain("conflicting options: dns and a network policy");
      expect(await refused("--allow", "127.0.0.1")).toContain("loopback addresses cannot be given");
    });
  });
