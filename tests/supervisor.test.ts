/** Containers that outlive whoever started them: what their supervisors write down, pass on and leave behind. @module */
import { describe, expect } from "bun:test";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { ContainerCgroup, type CgroupRecord } from "../lib/cgroup/index.ts";
import type { ContainerRecord } from "../lib/containers/record.ts";
import { launchContainer } from "../lib/containers/launch.ts";
import { connectPidfd, connectStdin, isAlive, readExit } from "../lib/containers/supervisor.ts";
import { Store } from "../lib/store/index.ts";
import {
  close,
  lockFile,
  O_RDONLY,
  open,
  readKernelFile,
  sendSignal,
  setTerminalSize,
  terminalSize,
  trySyscall,
  write,
} from "../syscalls/index.ts";
import { TestHome } from "./support/containers.ts";
import { makeImage } from "./support/images.ts";
import { noMounts, smallDisk } from "./support/full-disk.ts";
import { noBusybox, noLimits, noSandbox, notRoot, notUser, testUnless } from "./support/machine.ts";
import { adoptOrphans, descendants, eventually, mounts, reapOrphans } from "./support/processes.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

adoptOrphans();
const [SIGTERM, SIGKILL, SIGINT] = [15, 9, 2];
/** Of /etc, and what it writes. */
const FILES = ["hostname", "hosts", "log", "record.json", "resolv.conf"];

/** Pid of its supervisor: the parent of init. */
const supervisorOf = (pid: number): number =>
  Number(/^PPid:\s+(\d+)$/m.exec(readKernelFile(`/proc/${pid}/status`) ?? "")?.[1]);

/** Reads its output until it has this in it. */
const untilWritten = (home: TestHome, id: string, text: string): Promise<boolean> =>
  eventually(() => home.output(id).includes(text));

describe("a supervised container", () => {
  testUnless(noSandbox, "its output and how it ended are written down", async () => {
    await using home = new TestHome();
    const before = Date.now();
    const id = await home.run(["sh", "-c", "echo out; echo err >&2; exit 3"]);
    const exit = await home.over(id);
    expect(exit).toMatchObject({ exitCode: 3, signal: 0, oomKilled: false });
    expect(exit?.finishedAt).toBeGreaterThanOrEqual(before);
    expect(exit?.finishedAt).toBeLessThanOrEqual(Date.now());
    expect(home.output(id, 1)).toBe("out\n");
    expect(home.output(id, 2)).toBe("err\n");
    expect(home.log(id)[0]?.seconds).toBeGreaterThanOrEqual(Math.floor(before / 1000));
  });

  testUnless(noSandbox, "nothing is left of it", async () => {
    await using home = new TestHome();
    const before = mounts();
    const id = await home.run(["true"]);
    await home.over(id);
    expect(readdirSync(home.home.path(id)).toSorted()).toEqual(["alive", "exit", ...FILES, "spec.json"]);
    expect(mounts()).toEqual(before);
    expect(groups(id)).toEqual([]);
    expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
  });

  testUnless(noSandbox, "the command has three descriptors, and none of the supervisor's", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "ls -l /proc/self/fd /proc/1/fd 2>&1; cat /proc/1/environ"], {
      openStdin: true,
    });
    await home.over(id);
    const lines = home.output(id).split("\n");
    const own = lines.filter((line) => line.includes(" -> ")).map((line) => line.replace(/^.*?(\d+) -> /, "$1 "));
    // the fourth is the directory that ls reads; nobody may look into init
    expect(own.map((line) => line.replace(/\[\d+\]|\d+(?=\/fd)/, ""))).toEqual([
      "0 pipe:",
      "1 pipe:",
      "2 pipe:",
      "3 /proc//fd",
    ]);
  });

  testUnless(notRoot, "the supervisor holds nothing of whoever started it", async () => {
    await using home = new TestHome();
    const id = home.make(["sleep", "100"]);
    const pid = await home.start(id);
    const supervisor = supervisorOf(pid);
    const links = readdirSync(`/proc/${supervisor}/fd`).map((fd) => readlinkSync(`/proc/${supervisor}/fd/${fd}`));
    const directory = home.home.path(id);
    const others = links.filter(
      (link) => !link.startsWith(directory) && !/^(socket|pipe|anon_inode):|memory\.|^\/memfd:ruler/.test(link),
    );
    expect(others).toEqual(["/dev/null", "/dev/null", "/dev/null"]);
    expect(readlinkSync(`/proc/${supervisor}/cwd`)).toBe("/");
    expect(readKernelFile(`/proc/${supervisor}/environ`)).toBe("");
    expect(readKernelFile(`/proc/${supervisor}/stat`)?.split(" ")[5]).toBe(String(supervisor));
  });

  testUnless(noSandbox, "a command that is not there is an error, and nothing is left", async () => {
    await using home = new TestHome();
    const id = home.make(["/nosuch"]);
    const error = await home.start(id).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({ code: "command_not_found", message: 'execute "/nosuch": ENOENT' });
    expect(isAlive(home.home, id)).toBe(false);
    expect(readdirSync(home.home.path(id)).toSorted()).toEqual(["alive", ...FILES, "spec.json"]);
    expect(groups(id)).toEqual([]);
    const directory = home.make(["/usr"]);
    expect(await home.start(directory).catch((thrown: unknown) => thrown)).toMatchObject({
      code: "command_not_executable",
    });
  });

  testUnless(noSandbox, "a step of the owner's that fails is an error as well", async () => {
    await using home = new TestHome();
    const id = home.make(["true"], { network: "ns:/proc/self/nosuch" });
    expect(await home.start(id).catch((thrown: unknown) => thrown)).toMatchObject({
      code: "invalid_option",
      message: 'open the network namespace "/proc/self/nosuch": ENOENT',
    });
    expect(isAlive(home.home, id)).toBe(false);
  });

  testUnless(noSandbox, "it is alive as long as it runs, and gives a pidfd of init", async () => {
    await using home = new TestHome();
    const id = home.make(["sh", "-c", "trap 'exit 7' INT; echo ready; while :; do sleep 0.01; done"]);
    expect(isAlive(home.home, id)).toBe(false);
    expect(connectPidfd(home.home, id)).toBeUndefined();
    const pid = await home.start(id);
    expect(isAlive(home.home, id)).toBe(true);
    expect(await untilWritten(home, id, "ready\n")).toBe(true);
    const pidfd = connectPidfd(home.home, id) as number;
    expect(readKernelFile(`/proc/self/fdinfo/${pidfd}`)).toContain(`Pid:\t${pid}\n`);
    sendSignal(pidfd, SIGINT);
    close(pidfd);
    expect(await home.over(id)).toMatchObject({ exitCode: 7, signal: 0 });
    expect(isAlive(home.home, id)).toBe(false);
    expect(connectPidfd(home.home, id)).toBeUndefined();
  });

  testUnless(noSandbox, "killed init is exit code 137", async () => {
    await using home = new TestHome();
    const id = await home.run(["sleep", "100"]);
    home.kill(id);
    expect(await home.over(id)).toMatchObject({ exitCode: 137, signal: SIGKILL, oomKilled: false });
  });

  testUnless(noSandbox, "a killed supervisor takes its container along, and writes nothing", async () => {
    await using home = new TestHome();
    const id = home.make(["sh", "-c", "echo before; exec sleep 100"]);
    const pid = await home.start(id);
    expect(await untilWritten(home, id, "before\n")).toBe(true);
    const supervisor = supervisorOf(pid);
    process.kill(supervisor, SIGKILL);
    await home.over(id);
    expect(await eventually(() => (reapOrphans(), !existsSync(`/proc/${pid}`)))).toBe(true);
    expect(readExit(home.home, id)).toBeUndefined();
    expect(home.output(id)).toBe("before\n");
    // and what it has left does not keep the next run from starting
    await home.start(id);
    home.kill(id);
    expect(await home.over(id)).toMatchObject({ exitCode: 137 });
    expect(home.output(id)).toStartWith("before\n");
  });

  testUnless(noSandbox, "SIGTERM to the supervisor is passed on, all else is ignored", async () => {
    await using home = new TestHome();
    const id = home.make(["sh", "-c", "trap 'echo asked; exit 5' TERM; echo ready; while :; do sleep 0.01; done"]);
    const supervisor = supervisorOf(await home.start(id));
    expect(await untilWritten(home, id, "ready\n")).toBe(true);
    for (const signal of ["SIGHUP", "SIGINT", "SIGPIPE", "SIGUSR1"] as const) process.kill(supervisor, signal);
    expect(isAlive(home.home, id)).toBe(true);
    process.kill(supervisor, SIGTERM);
    expect(await home.over(id)).toMatchObject({ exitCode: 5 });
    expect(home.output(id)).toBe("ready\nasked\n");
  });

  testUnless(notRoot, "the supervision of one takes less than 100 kB", async () => {
    await using home = new TestHome();
    const id = home.make(["sh", "-c", "head -c 1000000 /dev/zero; echo written >&2; exec sleep 100"]);
    const pid = await home.start(id);
    expect(await eventually(() => home.output(id, 2) === "written\n")).toBe(true);
    const pss = (of: number) =>
      Number(/^Pss:\s+(\d+) kB$/m.exec(readKernelFile(`/proc/${of}/smaps_rollup`) ?? "")?.[1]);
    const supervisor = supervisorOf(pid);
    // what it has read by is given back after a second
    expect(await eventually(() => pss(supervisor) < 60)).toBe(true);
    const both = [pss(supervisor), pss(pid)];
    console.log(`PSS of a supervisor and an init: ${both.join(" + ")} kB`);
    expect((both[0] as number) + (both[1] as number)).toBeLessThan(100);
  });
});

describe("a hostile command", () => {
  // in a user namespace of root's the pipe belongs to nobody inside
  testUnless(notUser, "that reads its own output holds nobody up", async () => {
    await using home = new TestHome();
    const thieves = "cat /proc/self/fd/1 >/dev/null & cat /proc/self/fd/1 >/dev/null &";
    const id = await home.run(["sh", "-c", `exec 3>&1; ${thieves} while :; do echo x >&3; sleep 0.001; done`]);
    for (let turn = 0; turn < 300; turn++) {
      const pidfd = connectPidfd(home.home, id) as number;
      expect(pidfd).toBeGreaterThan(2);
      close(pidfd);
      await Bun.sleep(1);
    }
  });

  testUnless(noSandbox, "that throws its terminal's output away holds nobody up", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "while :; do echo x; done"], { terminal: true });
    for (let turn = 0; turn < 100; turn++) {
      const fd = connectStdin(home.home, id) as number;
      const TCFLSH = 0x540b;
      trySyscall("ioctl", fd, TCFLSH, 2);
      close(fd);
      const pidfd = connectPidfd(home.home, id) as number;
      expect(pidfd).toBeGreaterThan(2);
      close(pidfd);
    }
  });

  testUnless(notUser, "cannot be helped by others of its user: nobody may look into the supervisor", async () => {
    await using home = new TestHome();
    const id = home.make(["sleep", "100"]);
    const supervisor = supervisorOf(await home.start(id));
    expect(() => readdirSync(`/proc/${supervisor}/fd`)).toThrow("EACCES");
  });
});

describe("stdin", () => {
  testUnless(noSandbox, "is nothing where it was not asked for", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "cat; echo end; exec sleep 100"]);
    expect(await untilWritten(home, id, "end\n")).toBe(true);
    expect(connectStdin(home.home, id)).toBeUndefined();
  });

  testUnless(noSandbox, "stays open for whoever comes next", async () => {
    await using home = new TestHome();
    const id = await home.run(["cat"], { openStdin: true });
    for (const text of ["one\n", "two\n"]) {
      const fd = connectStdin(home.home, id) as number;
      write(fd, new TextEncoder().encode(text));
      close(fd);
      expect(await untilWritten(home, id, text)).toBe(true);
    }
    expect(isAlive(home.home, id)).toBe(true);
  });

  testUnless(noSandbox, "ends with the first, where it is only for one", async () => {
    await using home = new TestHome();
    const id = await home.run(["cat"], { openStdin: "once" });
    const fd = connectStdin(home.home, id) as number;
    expect(fd).toBeGreaterThan(2);
    write(fd, new TextEncoder().encode("all\n"));
    expect(connectStdin(home.home, id)).toBeUndefined();
    close(fd);
    expect(await home.over(id)).toMatchObject({ exitCode: 0 });
    expect(home.output(id)).toBe("all\n");
  });

  testUnless(noSandbox, "a client that says nothing holds nobody up", async () => {
    await using home = new TestHome();
    const id = await home.run(["cat"], { openStdin: true });
    const silent = Array.from({ length: 20 }, () => connectStdin(home.home, id) as number);
    expect(connectPidfd(home.home, id)).toBeGreaterThan(2);
    for (const fd of silent) close(fd);
  });
});

describe("a terminal", () => {
  testUnless(noSandbox, "what it shows is written down, what is written to it is read, and it has a size", async () => {
    await using home = new TestHome();
    const script = "stty -echo; tty; stty size; echo ready; read line; stty size; echo got $line; exit 4";
    const id = await home.run(["sh", "-c", script], { terminal: { cols: 90, rows: 30 }, openStdin: true });
    expect(await untilWritten(home, id, "ready\r\n")).toBe(true);
    const fd = connectStdin(home.home, id) as number;
    expect(terminalSize(fd)).toEqual({ cols: 90, rows: 30 });
    setTerminalSize(fd, { cols: 100, rows: 40 });
    write(fd, new TextEncoder().encode("hello\r"));
    close(fd);
    expect(await home.over(id)).toMatchObject({ exitCode: 4 });
    expect(home.output(id)).toBe("/dev/pts/0\r\n30 90\r\nready\r\n40 100\r\ngot hello\r\n");
    expect(home.output(id, 2)).toBe("");
  });

  testUnless(noSandbox, "its command has no descriptor of the other end", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "ls -l /proc/self/fd"], { terminal: true });
    await home.over(id);
    const links = [...home.output(id).matchAll(/(\d+) -> (\S+)/g)].map(([, fd, link]) => `${fd} ${link}`);
    expect(links.map((link) => link.replace(/\d+\/fd/, "fd"))).toEqual([
      "0 /dev/pts/0",
      "1 /dev/pts/0",
      "2 /dev/pts/0",
      "3 /proc/fd",
    ]);
  });

  testUnless(noSandbox, "a command that is not there is an error also with one", async () => {
    await using home = new TestHome();
    const id = home.make(["/nosuch"], { terminal: true });
    expect(await home.start(id).catch((thrown: unknown) => thrown)).toMatchObject({ code: "command_not_found" });
  });
});

describe("the log", () => {
  const MANY = 200_000_000;

  testUnless(noSandbox, "loses nothing of a command that writes fast", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", `yes 0123456789abcdef | head -c ${MANY}`]);
    const started = performance.now();
    expect(await home.over(id)).toMatchObject({ exitCode: 0 });
    console.log(`200 MB of log in ${Math.round(performance.now() - started)} ms`);
    const line = "0123456789abcdef\n";
    let rest = "";
    let bytes = 0;
    for (const { text } of home.log(id)) {
      bytes += text.length;
      const whole = (rest + text).replaceAll(line, "");
      expect(line).toStartWith(whole);
      rest = whole;
    }
    expect(bytes).toBe(MANY);
  });

  testUnless(noSandbox, "is begun anew at its size, and the oldest goes", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "for i in $(seq 1 40); do printf '%04d\\n' $i; sleep 0.01; done"], {
      log: { maxSize: 300, maxFiles: 3 },
    });
    await home.over(id);
    const files = readdirSync(home.home.path(id)).filter((name) => name.startsWith("log"));
    expect(files.toSorted()).toEqual(["log", "log.1", "log.2"]);
    const numbers = ["log.2", "log.1", "log"].flatMap((file) =>
      home.output(id, 1, file).trim().split("\n").filter(Boolean).map(Number),
    );
    expect(numbers).toEqual(Array.from({ length: numbers.length }, (_, index) => 41 - numbers.length + index));
    expect(numbers.length).toBeGreaterThan(15);
    expect(statSync(`${home.home.path(id)}/log.1`).size).toBeLessThan(300 + 64);
  });

  testUnless(noSandbox, "with one file, only the newest is kept", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "head -c 3000000 /dev/zero; sleep 0.1; echo end"], {
      log: { driver: "none" },
    });
    await home.over(id);
    expect(home.output(id)).toEndWith("end\n");
    expect(statSync(`${home.home.path(id)}/log`).size).toBeLessThan(1_200_000);
  });

  testUnless(noSandbox, "goes on behind what was written before, without what was cut short", async () => {
    await using home = new TestHome();
    const id = await home.run(["echo", "first"]);
    await home.over(id);
    const path = `${home.home.path(id)}/log`;
    appendFileSync(path, new Uint8Array(10).fill(7));
    chmodSync(path, 0o700);
    await home.start(id);
    await home.over(id);
    expect(home.output(id)).toBe("first\nfirst\n");
  });

  testUnless(noMounts, "waits for room on a full disk, and loses nothing", async () => {
    using folder = new Folder();
    using disk = smallDisk(folder, 8192);
    await using home = new TestHome();
    symlinkSync(disk.path, `${home.root}/containers`);
    const id = home.make(["sh", "-c", "seq 1 400000; echo written >&2"]);
    writeFileSync(`${disk.path}/filler`, new Uint8Array(7_000_000));
    await home.start(id);
    const size = () => statSync(`${home.home.path(id)}/log`).size;
    // it stands still
    expect(await eventually(() => size() > 100_000)).toBe(true);
    let before = -1;
    expect(await eventually(() => before === (before = size()))).toBe(true);
    expect(isAlive(home.home, id)).toBe(true);
    const pidfd = connectPidfd(home.home, id) as number;
    expect(pidfd).toBeGreaterThan(2);
    close(pidfd);
    rmSync(`${disk.path}/filler`);
    expect(await home.over(id)).toMatchObject({ exitCode: 0 });
    expect(home.output(id)).toBe(Array.from({ length: 400_000 }, (_, index) => `${index + 1}\n`).join(""));
    expect(home.output(id, 2)).toBe("written\n");
  });
});

/** Of a container. */
function groups(id: string): string[] {
  const found = readFileSync("/proc/self/mounts", "utf8")
    .split("\n")
    .flatMap((line) => {
      const [, path = "", type = ""] = line.split(" ");
      return type.startsWith("cgroup") ? [path] : [];
    });
  // an ordinary user's are where its own group is
  const isOurs = (name: string) => name === `tsbox-${id}` || name.endsWith(`/tsbox-${id}`);
  return found.flatMap((path) => readdirSync(path, { recursive: true, encoding: "utf8" }).filter(isOurs));
}

describe("a network that somebody else makes ready", () => {
  testUnless(noSandbox, "is there before the command", async () => {
    await using home = new TestHome();
    const id = home.make(["cat", "/proc/net/route"]);
    const seen: { pid: number; command: string; namespace: string }[] = [];
    const networked = async (reached: Promise<number | undefined>) => {
      const pid = (await reached) ?? 0;
      await Bun.sleep(20);
      // nobody takes it for running: without whoever makes its network, it ends as if it had never begun
      expect(connectPidfd(home.home, id)).toBeUndefined();
      const command = readKernelFile(`/proc/${pid}/task/${pid}/children`) ?? "";
      const name = (readKernelFile(`/proc/${command.trim()}/comm`) ?? "").trim();
      seen.push({ pid, command: name, namespace: readlinkSync(`/proc/${pid}/ns/net`) });
    };
    const { pid } = await launchContainer(home.home, home.record(id), { networked });
    expect(seen).toEqual([{ pid, command: expect.not.stringMatching(/^cat$/), namespace: expect.any(String) }]);
    expect(seen[0]?.namespace).not.toBe(readlinkSync("/proc/self/ns/net"));
    expect(await home.over(id)).toMatchObject({ exitCode: 0 });
  });

  testUnless(noSandbox, "or is not: then nothing is left, and the error is that", async () => {
    await using home = new TestHome();
    const id = home.make(["true"]);
    const networked = async () => {
      await Bun.sleep(1);
      throw new Error("no address is free");
    };
    const failed = launchContainer(home.home, home.record(id), { networked });
    expect(await failed.catch((error: Error) => error.message)).toBe("no address is free");
    expect(isAlive(home.home, id)).toBe(false);
    expect(groups(id)).toEqual([]);
    expect(await eventually(() => (reapOrphans(), descendants().length === 0))).toBe(true);
  });
});

describe("with limits that the supervisor keeps", () => {
  const spins = ["sh", "-c", "trap '' TERM INT; echo begun; while :; do sleep 0.01; done"];

  testUnless(noSandbox, "it is killed when its time is over, whatever it does about that, and not before", async () => {
    await using home = new TestHome();
    const id = home.make(spins, { limits: { time: "400ms" } });
    const begun = performance.now();
    await home.start(id);
    const exit = await home.over(id);
    expect(performance.now() - begun).toBeGreaterThan(390);
    expect(exit).toMatchObject({ exitCode: 137, signal: SIGKILL, reason: "timeout", oomKilled: false });
    expect(home.output(id)).toBe("begun\n");
  });

  testUnless(
    noSandbox,
    "it is killed when it has written more than it may, on whatever stream, and not at that",
    async () => {
      await using home = new TestHome();
      const write = (bytes: number) => [
        "sh",
        "-c",
        `head -c 1000 /dev/zero >&2; head -c ${bytes} /dev/zero; sleep 0.2; exit 4`,
      ];
      const at = await home.run(write(9000), { limits: { output: 10_000 } });
      expect(await home.over(at)).toMatchObject({ exitCode: 4, signal: 0 });
      expect(home.output(at).length).toBe(9000);
      const over = await home.run([...write(9001).slice(0, 2), `${write(9001)[2]?.replace("0.2", "1000")}`], {
        limits: { output: 10_000 },
      });
      expect(await home.over(over)).toMatchObject({ exitCode: 137, reason: "output" });
      const endless = await home.run(["sh", "-c", "cat /dev/zero"], { limits: { output: "1mb" }, terminal: true });
      expect(await home.over(endless)).toMatchObject({ exitCode: 137, reason: "output" });
    },
  );

  testUnless(noSandbox, "one that ends by itself was not killed", async () => {
    await using home = new TestHome();
    const id = await home.run(["sh", "-c", "exit 3"], { limits: { time: "1h", output: "1g" } });
    const exit = await home.over(id);
    expect([exit?.exitCode, exit?.reason, exit?.error]).toEqual([3, undefined, undefined]);
  });
});

describe("with limits", () => {
  testUnless(noLimits, "a group is made, its limits hold, and memory that was out is told", async () => {
    await using home = new TestHome();
    const hog = "x=x; while :; do x=$x$x$x$x; done";
    const id = home.make(["sh", "-c", hog], { limits: { memory: "16m" } });
    await home.start(id);
    expect(home.record(id).cgroup).toMatchObject({ made: true });
    const exit = await home.over(id);
    expect(exit).toMatchObject({ exitCode: 137, signal: SIGKILL, oomKilled: true });
    expect(groups(id)).toEqual([]);
  });

  testUnless(noLimits, "the group is there as long as it runs, and holds nothing of the supervisor's", async () => {
    await using home = new TestHome();
    const id = home.make(["sleep", "100"], { limits: { pids: 20 } });
    const pid = await home.start(id);
    expect(groups(id).length).toBeGreaterThan(0);
    expect(readKernelFile(`/proc/${pid}/cgroup`)).toContain(`/tsbox-${id}\n`);
    expect(readKernelFile(`/proc/${supervisorOf(pid)}/cgroup`)).not.toContain(`tsbox-${id}`);
    home.kill(id);
    await home.over(id);
    expect(groups(id)).toEqual([]);
  });

  testUnless(noLimits, "what is frozen as its supervisor is killed does not keep it from starting", async () => {
    await using home = new TestHome();
    const id = home.make(["sleep", "100"], { limits: { pids: 20 } });
    const pid = await home.start(id);
    await new ContainerCgroup(home.record(id).cgroup as CgroupRecord).freeze();
    process.kill(supervisorOf(pid), SIGKILL);
    await home.over(id);
    expect(existsSync(`/proc/${pid}`)).toBe(true);
    const next = await home.start(id);
    expect(await eventually(() => (reapOrphans(), !existsSync(`/proc/${pid}`)))).toBe(true);
    expect(existsSync(`/proc/${next}`)).toBe(true);
  });

  testUnless(noSandbox, "an OOM score of its own is not the supervisor's", async () => {
    await using home = new TestHome();
    const id = home.make(["sh", "-c", "cat /proc/self/oom_score_adj; exec sleep 100"], { oomScoreAdj: 900 });
    const pid = await home.start(id);
    expect(await untilWritten(home, id, "900\n")).toBe(true);
    const supervisor = supervisorOf(pid);
    expect(readKernelFile(`/proc/${supervisor}/comm`)).toBe("tsbox-super\n");
    expect(readKernelFile(`/proc/${supervisor}/oom_score_adj`)).toBe(readKernelFile("/proc/self/oom_score_adj"));
    process.kill(supervisor, SIGKILL);
    await home.over(id);
    expect(await eventually(() => (reapOrphans(), !existsSync(`/proc/${pid}`)))).toBe(true);
  });
});

describe("a root filesystem", () => {
  testUnless(noBusybox, "what is written in it is there the next time", async () => {
    await using home = new TestHome();
    using rootfs = makeRootfs();
    const id = home.make(["sh", "-c", "cat /kept; echo more >> /kept"], { rootfs: rootfs.path });
    for (const turns of [1, 2, 3]) {
      await home.start(id);
      await home.over(id);
      expect(home.output(id)).toBe(["", "more\n", "more\nmore\nmore\n"].slice(0, turns).at(-1) as string);
    }
    expect(existsSync(`${rootfs.path}/kept`)).toBe(false);
  });

  testUnless(noBusybox, "two supervisors do not have one layer", async () => {
    await using home = new TestHome();
    using rootfs = makeRootfs();
    const id = await home.run(["sleep", "100"], { rootfs: rootfs.path });
    expect(await home.start(id).catch((error: unknown) => error)).toMatchObject({ code: "container_state" });
    expect(isAlive(home.home, id)).toBe(true);
  });
});

describe("an image", () => {
  testUnless(noBusybox, "is what it runs in, and is held by the supervisor", async () => {
    await using home = new TestHome();
    using rootfs = makeRootfs();
    const fill = (directory: string) => cpSync(rootfs.path, directory, { recursive: true, verbatimSymlinks: true });
    const { id: image, digest } = await makeImage(home.root, "box", [fill], {
      Env: ["PATH=/bin", "A=b"],
      WorkingDir: "/tmp",
    });
    const id = home.make(["sh", "-c", "pwd; echo $A; echo kept > /kept; read line"], {
      image: "box",
      openStdin: "once",
    });
    home.home.state.containers.update<ContainerRecord>(id, (record) => ({
      ...record,
      image: { reference: "box", id: image, digest },
    }));
    await home.start(id);
    expect(await untilWritten(home, id, "/tmp\nb\n")).toBe(true);
    expect(lockedLayers(home.root)).toBe(1);
    close(connectStdin(home.home, id) as number);
    await home.over(id);
    expect(await eventually(() => lockedLayers(home.root) === 0)).toBe(true);
    expect(readFileSync(`${home.home.path(id)}/layer/upper/kept`, "utf8")).toBe("kept\n");
  });
});

describe("an image whose name is another's by now", () => {
  testUnless(noBusybox, "is still what it was", async () => {
    await using home = new TestHome();
    using rootfs = makeRootfs();
    const image = (text: string) =>
      makeImage(home.root, "box", [
        (directory) => {
          cpSync(rootfs.path, directory, { recursive: true, verbatimSymlinks: true });
          writeFileSync(`${directory}/which`, text);
        },
      ]);
    const first = await image("first");
    // it has another name as well, or it would be nobody's
    {
      using store = Store.open({ root: home.root });
      const found = store.findImage("box");
      if (found) store.setName("old", found.descriptor);
    }
    const id = home.make(["cat", "/which"], { image: "box" });
    home.home.state.containers.update<ContainerRecord>(id, (record) => ({
      ...record,
      image: { reference: "box", ...first },
    }));
    await image("second");
    await home.start(id);
    await home.over(id);
    expect(home.output(id)).toBe("first");
  });
});

describe("ids of its own", () => {
  testUnless(notRoot, "are the same the next time, and not those of another", async () => {
    await using home = new TestHome();
    using rootfs = makeRootfs();
    const options = { namespaces: { user: "auto" as const }, rootfs: rootfs.path };
    const [first, second] = ["cat /proc/self/uid_map; touch /made", "cat /proc/self/uid_map"].map((line) =>
      home.make(["sh", "-c", line], options),
    ) as [string, string];
    const map = (id: string) => `         0 ${String(home.record(id).hostID).padStart(10)}      65536\n`;
    await home.start(first);
    await home.over(first);
    expect(home.output(first)).toBe(map(first));
    await home.start(second);
    await home.over(second);
    expect(home.record(second).hostID).not.toBe(home.record(first).hostID);
    await home.start(first);
    await home.over(first);
    expect(home.output(first)).toBe(map(first).repeat(2));
    // on the disk they are those of inside
    expect(statSync(`${home.home.path(first)}/layer/upper/made`).uid).toBe(0);
  });
});

describe("namespaces of others", () => {
  testUnless(notRoot, "the network of another container, which it is alive with or without", async () => {
    await using home = new TestHome();
    const first = home.make(["sleep", "100"]);
    const pid = await home.start(first);
    const id = home.make(["sh", "-c", "readlink /proc/self/ns/net; exec sleep 100"], {
      network: `ns:/proc/${pid}/ns/net`,
    });
    const joined = await home.start(id);
    const network = readlinkSync(`/proc/${pid}/ns/net`);
    expect(await untilWritten(home, id, network)).toBe(true);
    expect(supervisorOf(joined)).not.toBe(supervisorOf(pid));
    process.kill(supervisorOf(joined), SIGKILL);
    await home.over(id);
    expect(isAlive(home.home, first)).toBe(true);
  });

  testUnless(notRoot, "in the host's pid namespace it ends with its supervisor, too", async () => {
    await using home = new TestHome();
    const id = home.make(["sh", "-c", "sleep 1000 & echo $!; wait"], { namespaces: { pid: "host" } });
    const pid = await home.start(id);
    expect(await eventually(() => home.output(id).includes("\n"))).toBe(true);
    const child = Number(home.output(id));
    expect(existsSync(`/proc/${child}`)).toBe(true);
    process.kill(supervisorOf(pid), SIGKILL);
    await home.over(id);
    expect(await eventually(() => (reapOrphans(), !existsSync(`/proc/${child}`)))).toBe(true);
  });
});

/** Layers of a store that somebody has a lock of. */
function lockedLayers(root: string): number {
  const layers = readdirSync(`${root}/layers`);
  expect(layers.length).toBe(1);
  return layers.filter((name) => {
    const fd = open(`${root}/layers/${name}/lock`, O_RDONLY);
    const isFree = lockFile(fd);
    close(fd);
    return !isFree;
  }).length;
}
