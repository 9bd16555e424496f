/** What a sandbox is to the one inside: namespaces, files, identity, and nothing of its owner's. @module */
import { afterAll, describe, expect } from "bun:test";
import { readFileSync, readlinkSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { Sandbox, type RunOptions } from "../lib/index.ts";
import type { SeccompProfile } from "../lib/spec/index.ts";
import { close, numberOf, sealedFile, syscall, trySyscall } from "../syscalls/index.ts";
import { failureOf } from "./support/failure.ts";
import { noBusybox, noSandbox, notRoot, notUser, testUnless } from "./support/machine.ts";
import { buffer, call, cstring, kept, outcomes, probe, ref } from "./support/probe.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";
import { shellIn } from "./support/shell.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));

const sandboxTest = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);

/** Runs a shell line in the small root filesystem; it has to succeed. @returns its stdout, trimmed */
const sh = shellIn(root);
const onHost = (line: string, options: RunOptions = {}) => sh(line, { rootfs: "host", ...options });

describe("namespaces", () => {
  const NAMES = { pid: "pid", mount: "mnt", uts: "uts", ipc: "ipc", user: "user", cgroup: "cgroup", network: "net" };
  const here = () =>
    Object.fromEntries(Object.values(NAMES).map((name) => [name, readlinkSync(`/proc/self/ns/${name}`)]));
  const inside = async (options: RunOptions) => {
    const names = Object.values(NAMES);
    const links = (await sh(names.map((name) => `readlink /proc/self/ns/${name}`).join("; "), options)).split("\n");
    return Object.fromEntries(names.map((name, index) => [name, links[index]]));
  };
  /** The names of those that are not the host's. */
  const own = async (options: RunOptions) => {
    const [theirs, ours] = [await inside(options), here()];
    for (const link of Object.values(theirs)) expect(link).toMatch(/^\w+:\[\d+\]$/);
    return Object.keys(NAMES).filter(
      (type) => theirs[NAMES[type as keyof typeof NAMES]] !== ours[NAMES[type as keyof typeof NAMES]],
    );
  };
  const all = Object.keys(NAMES);

  sandboxTest("all are private, and differ from one sandbox to the next", async () => {
    expect(await own({})).toEqual(all);
    const [one, two] = await Promise.all([inside({}), inside({})]);
    for (const name of Object.values(NAMES)) expect(one[name]).not.toBe(two[name]);
  });

  for (const type of ["pid", "uts", "ipc", "cgroup"] as const) {
    sandboxTest(`${type} can be the host's`, async () => {
      expect(await own({ namespaces: { [type]: "host" } })).toEqual(all.filter((other) => other !== type));
    });
  }
  sandboxTest("network can be the host's", async () => {
    expect(await own({ network: "host" })).toEqual(all.filter((type) => type !== "network"));
  });
  sandboxTest("mount can be the host's: then the host's files are there", async () => {
    const shared: RunOptions = { rootfs: undefined as never, namespaces: { mount: "host" } };
    expect(await own(shared)).toEqual(all.filter((type) => type !== "mount"));
    const file = outside.write("seen", "by all\n");
    expect(await sh(`cat ${file}`, shared)).toBe("by all");
  });
  testUnless(notRoot, "user can be the host's, for root", async () => {
    expect(await own({ namespaces: { user: "host" } })).toEqual(all.filter((type) => type !== "user"));
  });
  testUnless(notUser, "user cannot be the host's for an ordinary user, who is told why", async () => {
    const error = await failureOf(() => sh("true", { namespaces: { user: "host" } }));
    expect(error.code).toBe("permission_denied");
  });

  sandboxTest("the network has a loopback interface that is up, and no other that is", async () => {
    // some kernels make a sit0 or tunl0 in every namespace, which is down
    const up =
      "cd /sys/class/net; for i in *; do [ $(( $(cat $i/flags) & 1 )) = 1 ] && echo $i $(cat $i/flags); done; true";
    expect(await sh(up)).toBe("lo 0x9"); // IFF_UP | IFF_LOOPBACK
    const names = (await sh("ls /sys/class/net; tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' '")).split("\n");
    expect(names.filter((name) => !/^(lo|sit0|tunl0|ip\w*0|gre\w*0|erspan0)$/.test(name))).toEqual([]);
  });

  sandboxTest("the hostname is its own", async () => {
    expect(await sh("hostname")).toBe("tsbox");
    expect(await sh("hostname", { hostname: "a-name.example" })).toBe("a-name.example");
    expect(await sh("hostname", { namespaces: { uts: "host" } })).toBe(hostname());
    expect(hostname()).not.toBe("a-name.example");
  });

  sandboxTest("/proc shows the sandbox's processes: init and the command", async () => {
    expect(await sh("cat /proc/1/comm; cat /proc/2/comm; ls -d /proc/[0-9]*/ | wc -l")).toMatch(
      /^tsbox-init\nsh\n[2-4]$/,
    );
    expect(await sh("ls -d /proc/[0-9]* 2>/dev/null | wc -l", { namespaces: { pid: "host" } })).not.toMatch(/^[1-4]$/);
  });

  sandboxTest("in the cgroup namespace it is at the root", async () => {
    const paths = (await sh("cat /proc/self/cgroup")).split("\n").map((line) => line.split(":")[2]);
    expect(new Set(paths)).toEqual(new Set(["/"]));
  });
});

describe("/dev, /proc and /sys", () => {
  sandboxTest("/dev has the standard nodes and links, and no more", async () => {
    const listed = await sh(
      "cd /dev; for f in *; do [ -L $f ] && echo $f-link || { [ -c $f ] && echo $f-node || echo $f; }; done",
    );
    expect(listed.split("\n").toSorted()).toEqual(
      "fd-link full-node mqueue null-node ptmx-link pts random-node shm stderr-link stdin-link stdout-link tty-node urandom-node zero-node".split(
        " ",
      ),
    );
  });

  sandboxTest("the devices work", async () => {
    expect(
      await sh("head -c 4 /dev/zero | od -An -tx1; head -c 8 /dev/urandom | wc -c; echo x >/dev/null; cat /dev/null"),
    ).toMatch(/^ ?00 00 00 00\n *8$/);
    expect(await sh("echo x >/dev/full || echo full", {}).catch((error: Error) => error.message)).toContain(
      "No space left",
    );
  });

  sandboxTest("terminals and shared memory are its own", async () => {
    expect(await sh("ls /dev/pts; echo x >/dev/shm/x; ls -ld /dev/shm | cut -c1-10")).toBe("ptmx\ndrwxrwxrwt");
    expect(readdirSync("/dev/shm")).not.toContain("x");
  });

  sandboxTest("/sys is read-only", async () => {
    expect(await sh("grep ' /sys sysfs' /proc/mounts | cut -d' ' -f4")).toMatch(/^ro,nosuid,nodev,noexec/);
    expect(await sh("mkdir /sys/x 2>/dev/null || echo refused")).toBe("refused");
  });

  sandboxTest("masked paths are empty", async () => {
    const masked = (Sandbox.spec(["x"]).linux.maskedPaths ?? []).join(" ");
    const line = `for p in ${masked}; do [ -d $p ] && [ "$(ls -A $p)" != "" ] && echo $p; [ -f $p ] && echo $p; [ -c $p ] && [ "$(head -c 1 $p | wc -c)" != 0 ] && echo $p; done; true`;
    expect(await sh(line)).toBe("");
    expect(await sh("[ -c /proc/keys ] && [ -c /proc/timer_list ] && echo covered")).toBe("covered");
  });

  sandboxTest("read-only paths of /proc cannot be written, the rest of /proc works", async () => {
    expect(
      await sh(
        "for p in sys/kernel/hostname sys/vm/overcommit_memory sysrq-trigger; do (: >>/proc/$p) 2>&1; done; true",
      ),
    ).toMatch(/^(.*(Read-only file system|Permission denied|nonexistent directory)\n?){3}$/);
    expect(
      await sh(
        "grep -c ' /proc/sys proc ro' /proc/mounts; echo 300 >/proc/self/oom_score_adj; cat /proc/self/oom_score_adj",
      ),
    ).toBe("1\n300");
  });
});

describe("root filesystem", () => {
  sandboxTest("a directory is writable inside, and unchanged outside", async () => {
    using directory = makeRootfs();
    directory.write("data/old", "old\n");
    const before = snapshot(directory.path);
    const line =
      "echo new >/data/new; echo changed >/data/old; rm /etc/group; mkdir /more; chmod 700 /tmp; ln -s x /bin/link; cat /data/new /data/old; ls /";
    expect(await sh(line, { rootfs: directory.path })).toBe("new\nchanged\nbin\ndata\ndev\netc\nmore\nproc\nsys\ntmp");
    expect(snapshot(directory.path)).toEqual(before);
    expect(await sh("cat /data/old; ls /", { rootfs: directory.path })).toBe(
      "old\nbin\ndata\ndev\netc\nproc\nsys\ntmp",
    );
  });

  sandboxTest("read-only: nothing can be written, made or removed, but mounts work", async () => {
    const readOnly = { security: { readOnly: true }, mounts: [{ type: "tmpfs" as const, target: "/scratch" }] };
    const line =
      "for c in 'touch /x' 'mkdir /d' 'rm /etc/passwd' 'touch /tmp/x' 'chmod 777 /etc'; do $c 2>/dev/null && echo did $c; done; echo x >/scratch/x && cat /scratch/x";
    expect(await sh(line, readOnly)).toBe("x");
    using complete = makeRootfs();
    for (const name of ["proc", "sys", "dev", "scratch"]) complete.directory(name);
    expect(await sh(line, { ...readOnly, rootfs: complete.path })).toBe("x");
  });

  sandboxTest("its path may be relative, or lead through a symlink", async () => {
    const link = outside.link("root-link", root.path);
    expect(await sh("cat /etc/passwd | head -n 1", { rootfs: link })).toContain("root:x:0:0");
  });

  sandboxTest("nothing of the host's is left below it", async () => {
    const mounts = (await sh("cat /proc/self/mountinfo")).split("\n").map((line) => line.split(" "));
    const points = mounts.map((fields) => fields[4] ?? "");
    expect(points.filter((point) => !/^\/($|proc|dev|sys)/.test(point))).toEqual([]);
    expect(points.filter((point) => point === "/")).toEqual(["/"]);
    for (const options of [{}, { rootfs: "host" }, { security: { readOnly: true } }]) {
      expect(await sh('cd /; cd ../../..; [ "$(ls -A)" = "$(ls -A /..)" ] && pwd', options)).toBe("/");
    }
  });
});

describe('rootfs "host"', () => {
  const hostTest = (name: string, body: () => unknown) => testUnless(noSandbox, name, body);

  hostTest("is the default: the host's programs, read-only", async () => {
    const { stdout, exitCode } = await Sandbox.run([
      "sh",
      "-c",
      "ls /usr/bin/env && touch /usr/x 2>&1; touch /x 2>&1; touch /etc/x 2>&1",
    ]);
    expect(exitCode).not.toBe(0);
    expect(stdout.match(/Read-only file system/g)).toHaveLength(3);
  });

  hostTest("has nothing that is somebody's: no secrets, no sockets, no homes", async () => {
    const line = [
      "ls -A /home /root /run /tmp /var/tmp",
      "cat /etc/shadow /etc/gshadow 2>&1 >/dev/null | wc -l",
      "find / -xdev -type s 2>/dev/null",
      "ls -d /boot /srv /opt /mnt /media /var/lib /var/log /lost+found 2>/dev/null; true",
    ].join("; ");
    expect(await onHost(line)).toBe("/home:\n\n/root:\n\n/run:\n\n/tmp:\n\n/var/tmp:\n2");
  });

  hostTest("knows two accounts", async () => {
    expect(await onHost("cut -d: -f1 /etc/passwd")).toBe("root\nnobody");
  });

  hostTest("private directories can be written and go with the sandbox", async () => {
    const line = "for d in /tmp /home /root /run /var/tmp; do echo x >$d/tsbox-private && cat $d/tsbox-private; done";
    expect(await onHost(line)).toBe("x\nx\nx\nx\nx");
    expect(await onHost("ls -A /tmp /root")).toBe("/root:\n\n/tmp:");
    for (const directory of ["/tmp", "/var/tmp"]) expect(readdirSync(directory)).not.toContain("tsbox-private");
  });

  hostTest("what of /etc is there is readable by everybody, and is the host's", async () => {
    expect(await onHost("cat /etc/os-release")).toBe(readFileSync("/etc/os-release", "utf8").trim());
    const readable = (await onHost("ls -A /etc")).split("\n");
    for (const secret of ["shadow", "ssh", "sudoers", "hosts.allow", "machine-id", "environment", "resolv.conf"])
      expect(readable).not.toContain(secret);
  });
});

describe("mounts", () => {
  sandboxTest("a bound directory is the host's own; files made inside belong to the caller outside", async () => {
    const source = outside.directory("shared", 0o755);
    writeFileSync(join(source, "from-host"), "hello\n");
    const mounts = [{ type: "bind" as const, source, target: "/deep/in/side" }];
    expect(
      await sh("cd /deep/in/side; cat from-host; echo hi >from-box; mkdir dir; stat -c '%u %g' from-host from-box", {
        mounts,
      }),
    ).toBe("hello\n0 0\n0 0");
    expect(readFileSync(join(source, "from-box"), "utf8")).toBe("hi\n");
    for (const name of ["from-box", "dir"]) {
      const { uid, gid } = statSync(join(source, name));
      expect([uid, gid]).toEqual([process.geteuid!(), process.getegid!()]);
    }
  });

  sandboxTest("a read-only one cannot be changed, nor remounted", async () => {
    const source = outside.directory("fixed");
    writeFileSync(join(source, "file"), "as it was\n");
    const mounts = [{ type: "bind" as const, source, target: "/fixed", readOnly: true }];
    const line =
      "cat /fixed/file; for c in 'touch /fixed/x' 'rm /fixed/file' 'mount -o remount,rw /fixed'; do $c 2>/dev/null && echo did $c; done; true";
    expect(await sh(line, { mounts, user: "0:0" })).toBe("as it was");
    expect(readdirSync(source)).toEqual(["file"]);
  });

  sandboxTest("a file can be bound on a file, or where there is none", async () => {
    const source = outside.write("single", "one file\n");
    const mounts = ["/etc/passwd", "/new/place/file"].map((target) => ({ type: "bind" as const, source, target }));
    expect(await sh("cat /etc/passwd /new/place/file", { mounts })).toBe("one file\none file");
  });

  testUnless(notRoot, "what is mounted below a bound directory comes along, and is read-only too", () => {
    const source = outside.directory("with-mount/below");
    const script = outside.script(
      `const mounts = [{ type: "bind", source: ${JSON.stringify(join(source, ".."))}, target: "/in", readOnly: true }];
       const line = "cat /in/below/file; grep ' /in' /proc/mounts | cut -d' ' -f4 | cut -d, -f1";
       console.log((await Sandbox.run(["sh", "-c", line], { rootfs: ${JSON.stringify(root.path)}, mounts })).stdout);`,
    );
    const line = `mount -t tmpfs tmpfs ${source} && echo deep >${source}/file && exec ${process.execPath} ${script}`;
    expect(inMountNamespace("private", line)).toBe("deep\nro\nro");
  });

  testUnless(notRoot, "where mounts are shared with others, as systemd has them, a sandbox's own are not", () => {
    using complete = makeRootfs();
    for (const name of ["proc", "sys", "dev", "m"]) complete.directory(name);
    const script = outside.script(
      `const seen = () => require("node:fs").readFileSync("/proc/self/mountinfo", "utf8");
       const before = seen();
       for (const readOnly of [true, false]) {
         await using box = await Sandbox.create({ rootfs: ${JSON.stringify(complete.path)}, security: { readOnly }, mounts: [{ type: "tmpfs", target: "/m" }] });
         const inside = await new Response(box.spawn(["cat", "/proc/self/mountinfo"]).stdout).text();
         console.log(inside.includes(" /m "), inside.includes("shared:"), seen() === before);
       }`,
    );
    const out = inMountNamespace("private", `mount --make-rshared / && exec ${process.execPath} ${script}`);
    expect(out).toBe("true false true\ntrue false true");
  });

  testUnless(notRoot, "of a file system that cannot map ids is an error that says so", async () => {
    const error = await failureOf(() =>
      sh("true", { mounts: [{ type: "bind", source: "/sys", target: "/host-sys" }] }),
    );
    expect([error.code, error.syscall]).toEqual(["mount_failed", "mount_setattr"]);
    expect(error.hint).toContain("id-mapped mounts");
  });

  sandboxTest("setuid and devices have no effect in any of them", async () => {
    const source = outside.directory("plain");
    const mounts = [
      { type: "bind" as const, source, target: "/plain" },
      { type: "tmpfs" as const, target: "/ram" },
    ];
    expect(await sh("grep -E ' /(plain|ram) ' /proc/mounts | cut -d' ' -f4", { mounts })).toMatch(
      /^rw,nosuid,nodev.*\nrw,nosuid,nodev/,
    );
  });

  sandboxTest("a tmpfs has its size and mode", async () => {
    const mounts = [{ type: "tmpfs" as const, target: "/ram", size: "64k", mode: 0o750 }];
    const line =
      "stat -c %a /ram; dd if=/dev/zero of=/ram/all bs=64k count=1 2>/dev/null && echo fits; dd if=/dev/zero of=/ram/more bs=1 count=1 2>/dev/null || echo full";
    expect(await sh(line, { mounts })).toBe("750\nfits\nfull");
  });

  sandboxTest("one can lie inside another", async () => {
    const source = outside.directory("outer");
    writeFileSync(join(source, "file"), "x");
    const mounts = [
      { type: "tmpfs" as const, target: "/m" },
      { type: "bind" as const, source, target: "/m/inner" },
    ];
    expect(await sh("ls -A /m /m/inner", { mounts })).toBe("/m:\ninner\n\n/m/inner:\nfile");
  });
});

describe("identity and privileges", () => {
  const status = async (field: string, options: RunOptions = {}) =>
    (await sh(`grep '^${field}:' /proc/self/status`, options)).split("\t").slice(1).join(" ");
  const DEFAULT = 0x800405fb;
  const hex = (mask: number) => mask.toString(16).padStart(16, "0");

  sandboxTest("root inside has the default capabilities and no others; not even to inherit", async () => {
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) expect([set, await status(set)]).toEqual([set, hex(DEFAULT)]);
    for (const set of ["CapInh", "CapAmb"]) expect([set, await status(set)]).toEqual([set, hex(0)]);
  });

  sandboxTest("exactly the capabilities that are asked for", async () => {
    const some = { security: { capabilities: ["CHOWN", "CAP_NET_RAW"] } };
    for (const set of ["CapPrm", "CapEff", "CapBnd"])
      expect([set, await status(set, some)]).toEqual([set, hex(1 + 2 ** 13)]);
    for (const set of ["CapPrm", "CapEff", "CapBnd"])
      expect([set, await status(set, { security: { capabilities: [] } })]).toEqual([set, hex(0)]);
  });

  testUnless(notRoot, "another user has none, and could only gain the default ones", async () => {
    const app = { user: "1000:1000" };
    for (const set of ["CapPrm", "CapEff", "CapInh", "CapAmb"])
      expect([set, await status(set, app)]).toEqual([set, hex(0)]);
    expect(await status("CapBnd", app)).toBe(hex(DEFAULT));
  });

  sandboxTest("no_new_privs and a seccomp filter, unless told otherwise", async () => {
    expect([await status("NoNewPrivs"), await status("Seccomp"), await status("Seccomp_filters")]).toEqual([
      "1",
      "2",
      "1",
    ]);
    const off: RunOptions = { security: { noNewPrivileges: false, seccomp: "none" } };
    expect([await status("NoNewPrivs", off), await status("Seccomp", off)]).toEqual(["0", "0"]);
  });

  sandboxTest("resource limits", async () => {
    const ulimits = { nofile: [64, 128] as [number, number], core: 0, fsize: Infinity };
    expect(await sh("ulimit -Sn; ulimit -Hn; ulimit -c", { ulimits })).toBe("64\n128\n0");
  });

  testUnless(notRoot, "users and groups by number and by name", async () => {
    const id = async (user: string) =>
      sh("id -u; id -g; cat /proc/self/status | grep Groups", { user }).then((out) => out.replace(/\s+/g, " "));
    expect(await id("0:0")).toBe("0 0 Groups: 0");
    expect(await id("app")).toBe("1000 1001 Groups: 50 1001 2000");
    expect(await id("1000:50")).toBe("1000 50 Groups: 50");
    expect(await id("app:data")).toBe("1000 2000 Groups: 2000");
    expect(await id("4242:4343")).toBe("4242 4343 Groups: 4343");
    const error = await failureOf(() => id("70000"));
    expect([error.code, error.hint]).toEqual([
      "invalid_option",
      "the user or a group is not in the id map of the sandbox",
    ]);
  });

  testUnless(notUser, "an ordinary user is whoever they ask to be, alone", async () => {
    expect(
      await sh("id -u; id -g; cat /proc/self/uid_map", { user: "1000:1000" }).then((out) => out.replace(/\s+/g, " ")),
    ).toBe(`1000 1000 1000 ${process.geteuid!()} 1`);
    expect(await sh("id -u; id -g")).toBe("0\n0");
  });

  testUnless(notRoot, "root inside is nobody that the host knows", async () => {
    const [, first] = (await sh("cat /proc/self/uid_map")).trim().split(/\s+/);
    expect(Number(first)).toBeGreaterThan(65536);
    const readable = outside.write("secret", "for root only\n", 0o600);
    expect(
      await sh(`cat ${readable} 2>/dev/null || echo refused`, {
        rootfs: undefined as never,
        namespaces: { mount: "host" },
      }),
    ).toBe("refused");
  });

  sandboxTest("the working directory is made, and is the user's to be in", async () => {
    expect(await sh("pwd; stat -c %a .", { cwd: "/made/for/this" })).toBe("/made/for/this\n755");
    expect(await sh("pwd")).toBe("/");
    expect(await sh("pwd", { cwd: "/tmp" })).toBe("/tmp");
    const error = await failureOf(() => sh("pwd", { cwd: "/etc/passwd" }));
    expect([error.code, error.path]).toEqual(["invalid_option", "/etc/passwd"]);
    expect(error.step).toContain('working directory "/etc/passwd"');
  });

  sandboxTest("the environment is clean", async () => {
    process.env["TSBOX_TEST_SECRET"] = "s3cr3t";
    const out = await sh("env | sort; cat 2>/dev/null </proc/1/environ; true", { env: { A: "b c\nd" } });
    delete process.env["TSBOX_TEST_SECRET"];
    expect(out).toBe(
      "A=b c\nHOME=/root\nHOSTNAME=tsbox\nPATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nPWD=/\nSHLVL=1\nd",
    );
  });
});

describe("what the command inherits", () => {
  sandboxTest("no descriptor but stdin, stdout and stderr, however many its owner has", async () => {
    const [F_SETFD, F_DUPFD] = [2, 0];
    const file = sealedFile("leak", new Uint8Array(1));
    const leaks = [3, 50, 100, 200, 400].map((above) => syscall("leak", "fcntl", file, F_DUPFD, above));
    for (const fd of leaks) trySyscall("fcntl", fd, F_SETFD, 0);
    // ls has one of its own, on the directory
    const listed = await sh("ls /proc/self/fd");
    await using box = await Sandbox.create({ rootfs: root.path });
    const joined = await new Response(box.spawn(["ls", "/proc/self/fd"]).stdout).text();
    for (const fd of [file, ...leaks]) close(fd);
    expect(listed).toBe("0\n1\n2\n3");
    expect(joined.trim()).toBe("0\n1\n2\n3");
  });

  sandboxTest("no signal is blocked, ignored or handled", async () => {
    const command = ["grep", "-E", "^Sig(Blk|Ign|Cgt|Pnd)", "/proc/self/status"];
    const { stdout: first } = await Sandbox.run(command, { rootfs: root.path });
    expect(first.match(/\t0000000000000000\n/g)).toHaveLength(4);
    await using box = await Sandbox.create({ rootfs: root.path });
    const { stdout } = box.spawn(command);
    expect((await new Response(stdout).text()).match(/\t0000000000000000\n/g)).toHaveLength(4);
  });

  sandboxTest("a signal that the owner ignores is not ignored inside", async () => {
    const script = outside.script(
      `const { stdout } = await Sandbox.run(["grep", "SigIgn", "/proc/self/status"], { rootfs: ${JSON.stringify(root.path)} });
       console.log(stdout.trim());`,
    );
    const { stdout } = Bun.spawnSync([
      "sh",
      "-c",
      `trap '' HUP INT QUIT PIPE TERM; exec "$0" "$1"`,
      process.execPath,
      script,
    ]);
    expect(stdout.toString().trim()).toBe("SigIgn:\t0000000000000000");
  });

  sandboxTest("no controlling terminal, and a session of its own", async () => {
    // pid, name, state, parent, group, session, terminal
    const stat = (await sh("exec cat /proc/self/stat")).split(" ");
    expect(stat.slice(3, 7)).toEqual(["1", "2", "2", "0"]);
    expect(await sh("(: </dev/tty) 2>&1 | grep -o 'No such device.*'; true")).toBe("No such device or address");
  });

  sandboxTest("umask 022, no nice value and no core of the owner's choice", async () => {
    expect(await sh("umask; cut -d' ' -f19 /proc/self/stat")).toBe("0022\n0");
  });
});

describe("init", () => {
  sandboxTest("reaps orphans: nothing stays a zombie", async () => {
    const line =
      "for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'true & exec true' &) ; done; sleep 0.3; grep -l '^State:.Z' /proc/[0-9]*/status; grep -h '^PPid' /proc/[0-9]*/status | wc -l";
    expect(await sh(line)).toMatch(/^[3-6]$/);
  });

  sandboxTest("an orphan's parent is init, and it ends with the command", async () => {
    const started = performance.now();
    expect(await sh("(sh -c 'grep PPid /proc/self/status; exec sleep 1000 >/dev/null 2>&1' &) ; sleep 0.2")).toMatch(
      /^PPid:\t\d+$/,
    );
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  sandboxTest("forwards a signal that it gets to the command", async () => {
    const box = Sandbox.spawn(
      ["sh", "-c", "trap 'echo got it; exit 7' USR1; echo ready; while :; do sleep 0.05; done"],
      { rootfs: root.path },
    );
    const reader = box.stdout!.getReader();
    await reader.read();
    process.kill(box.pid, "SIGUSR1");
    const { value } = await reader.read();
    expect(new TextDecoder().decode(value)).toBe("got it\n");
    expect(await box.exited).toBe(7);
  });

  sandboxTest("can neither be killed nor stopped from inside", async () => {
    expect(await sh("kill -9 1; kill -STOP 1; sleep 0.1; grep State /proc/1/status; exit 0")).toMatch(/^State:\tS/);
  });
});

describe("what the kernel lacks or refuses", () => {
  testUnless(noBusybox, "is told with the step, the errno and a hint", async () => {
    const error = await failureOf(() => sh("true", { mounts: [{ type: "tmpfs", target: "/etc/passwd/x" }] }));
    expect([error.code, error.path, error.step]).toEqual(["mount_failed", "/etc/passwd/x", 'mount on "/etc/passwd/x"']);
    expect(error.message).toStartWith('mount on "/etc/passwd/x": E');
    expect(error.errno).toBeGreaterThan(0);
  });

  testUnless(noBusybox, "a directory cannot be bound on a file", async () => {
    const mounts = [{ type: "bind" as const, source: outside.directory("d"), target: "/etc/passwd" }];
    const error = await failureOf(() => sh("true", { mounts }));
    expect([error.code, error.hint]).toEqual(["mount_failed", "the source is a directory, the mount point is not"]);
  });
});

testUnless(noBusybox, "the probe of these tests tells results and errors", async () => {
  const path = root.write(
    "bin/probe",
    probe(
      call("getpid"),
      kept("fd", call("openat", -100, cstring("/etc"), 0, 0)),
      call("fchdir", ref("fd")),
      call("read", -1, buffer("x", 8), 8),
    ),
    0o755,
  );
  expect(path).toEndWith("probe");
  const { stdoutBytes } = await Sandbox.run(["/bin/probe"], { rootfs: root.path });
  expect(outcomes(stdoutBytes)).toEqual([2, 3, 0, "EBADF"]);
  expect(numberOf("getpid")).toBeGreaterThan(0);
});

/** Runs a shell line where no mount of it can stay. @returns its stdout */
function inMountNamespace(propagation: string, line: string): string {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["unshare", "-m", "--propagation", propagation, "sh", "-c", line]);
  expect([stderr.toString(), exitCode]).toEqual(["", 0]);
  return stdout.toString().trim();
}

/** Names, modes, owners and contents of everything below a directory. */
function snapshot(directory: string): string[] {
  return readdirSync(directory, { recursive: true })
    .map(String)
    .toSorted()
    .map((name) => {
      const path = join(directory, name);
      const stat = statSync(path);
      return [name, stat.mode, stat.uid, stat.gid, stat.size, stat.isFile() ? Bun.hash(readFileSync(path)) : ""].join(
        " ",
      );
    });
}

const profiles: [string, SeccompProfile][] = [
  ["a profile", { defaultAction: "SCMP_ACT_ALLOW", syscalls: [] }],
  ["a profile that is frozen on the outside only", Object.freeze({ defaultAction: "SCMP_ACT_ALLOW", syscalls: [] })],
];
for (const [what, seccomp] of profiles)
  sandboxTest(`${what} that is changed between two runs counts as it then is`, async () => {
    const makes = async () =>
      (await Sandbox.run(["mkdir", "/made"], { rootfs: root.path, security: { seccomp } })).exitCode;
    expect(await makes()).toBe(0);
    seccomp.syscalls?.push({ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO" });
    expect(await makes()).toBe(1);
  });
