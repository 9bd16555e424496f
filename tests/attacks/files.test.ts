/** Attacks by way of the file system: each is stopped, and each has a control that shows that it would work. @module */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, openSync, closeSync, readFileSync, readdirSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Sandbox, TsboxError, type MountOption, type RunOptions } from "../../lib/index.ts";
import { O_DIRECTORY } from "../../syscalls/index.ts";
import { failureOf } from "../support/failure.ts";
import { noBusybox, notRoot, SLOW, testUnless } from "../support/machine.ts";
import { buffer, call, cstring, kept, outcomes, probe, ref } from "../support/probe.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";
import {
  inTurn,
  insertBefore,
  runChanged,
  sleep,
  withoutCalls,
  withoutStep,
  type Change,
} from "../support/unprotected.ts";

/** What the attacks are after. */
const outside = new Folder();
const secret = outside.write("secret", "of the host\n");
const roots: Folder[] = [];
afterAll(() => [outside, ...roots].forEach((folder) => folder.remove()));

/** A root filesystem that somebody else made. */
function hostile(): Folder {
  const root = makeRootfs();
  roots.push(root);
  return root;
}
const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body);
const attackOfOthers = (name: string, body: () => unknown) =>
  testUnless(noBusybox ?? notRoot, name, body, 30_000 * SLOW);
const sh = (root: Folder, line: string, options: RunOptions = {}) =>
  Sandbox.run(["/bin/sh", "-c", line], { rootfs: root.path, ...options });
const up = "../".repeat(20);
const AT_FDCWD = -100;

describe("a mount point that is a symlink out of the root filesystem", () => {
  const LINKS: [string, (root: Folder) => string][] = [
    ["an absolute path", () => outside.path],
    ["a relative path", () => `${up}${outside.path.slice(1)}`],
    ["a path through itself", () => `../${up}${outside.path.slice(1)}`],
  ];
  for (const [what, target] of LINKS) {
    attack(`${what}: the mount stays inside`, async () => {
      const root = hostile();
      root.link("data", target(root));
      const request: RunOptions = { mounts: [{ type: "tmpfs", target: "/data/t" }] };
      // what it names is not there inside, and is not made: it is not what was asked for
      expect((await failureOf(() => sh(root, "true", request))).code).toBe("mount_failed");
      root.directory(outside.path.slice(1));
      const source = outside.directory("bound");
      const mounts: RunOptions["mounts"] = [
        { type: "tmpfs", target: "/data/t" },
        { type: "bind", source, target: "/data/b" },
      ];
      const before = readdirSync(outside.path);
      const { exitCode, stdout } = await sh(
        root,
        `cat ${secret} /data/secret 2>/dev/null; echo in >/data/t/x && echo in >/data/b/x && ls ${outside.path}`,
        { mounts },
      );
      expect([exitCode, stdout]).toEqual([0, "b\nt\n"]);
      expect(readdirSync(outside.path)).toEqual(before);
      expect(readdirSync(source)).toEqual(["x"]);
      // the control: what follows symlinks gets out
      expect(readFileSync(join(root.path, "data/secret"), "utf8")).toBe("of the host\n");
    });
  }

  for (const [what, target] of [
    ["an open directory of whoever makes the sandbox", "/proc/self/fd/3"],
    ["its working directory", "/proc/self/cwd"],
    ["its root", "/proc/self/root"],
    ["that of process 1", "/proc/1/root"],
    ["and back up", "/proc/self/cwd/.."],
  ] as const) {
    attack(`by a magic link of /proc, to ${what}: refused`, async () => {
      const root = hostile();
      root.link("data", target);
      for (const path of ["/data", "/data/x", "/data/../data/x".replace("/../data", "")]) {
        const error = await failureOf(() => sh(root, "true", { mounts: [{ type: "tmpfs", target: path }] }));
        expect([error.code, error.path]).toEqual(["mount_failed", path]);
        expect(["ELOOP", "ENOENT", "EACCES"]).toContain(error.message.split(": ").at(-1) as string);
      }
    });
  }

  test("the control: a magic link leads anybody else to the directory itself", () => {
    const fd = openSync(outside.path, "r");
    expect(readFileSync(`/proc/self/fd/${fd}/secret`, "utf8")).toBe("of the host\n");
    closeSync(fd);
  });

  attack("a file that is bound on a symlink does not replace what it leads to", async () => {
    const root = hostile();
    root.link("etc/link", secret);
    root.write(secret.slice(1), "inside\n");
    const source = outside.write("new", "new\n");
    const { stdout } = await sh(root, `cat /etc/link ${secret}`, {
      mounts: [{ type: "bind", source, target: "/etc/link" }],
    });
    expect(stdout).toBe("new\nnew\n");
    expect(readFileSync(secret, "utf8")).toBe("of the host\n");
  });
});

describe("while the host's root still lies on the new one", () => {
  const slow = insertBefore("drop the host's root", sleep(500));
  const ask = (root: Folder, options: RunOptions, plan: Change["plan"]) =>
    runChanged(
      ["/bin/sh", "-c", `/bin/cat ./secret /data/secret 2>/dev/null; true`],
      { rootfs: root.path, ...options },
      { plan },
    );
  const rootOf = (readOnly: boolean) => {
    const root = hostile();
    ["proc", "sys", "dev", "data"].forEach((name) => root.directory(name));
    root.link("way", `${up}${outside.path.slice(1)}`);
    return { root, security: { readOnly } };
  };

  attack("no symlink leads to it as working directory, however long that takes", async () => {
    for (const readOnly of [true, false]) {
      const { root, security } = rootOf(readOnly);
      const error = await failureOf(() => ask(root, { cwd: "/way", security }, slow));
      expect([error.code, error.path]).toEqual(["invalid_option", "/way"]);
    }
  });

  attack("nor does a mount go there", async () => {
    const { root, security } = rootOf(true);
    const before = readdirSync(outside.path);
    const mounts: RunOptions["mounts"] = [{ type: "tmpfs", target: "/way/made" }];
    expect((await failureOf(() => ask(root, { mounts, security }, slow))).code).toBe("mount_failed");
    expect(readdirSync(outside.path)).toEqual(before);
  });

  attack("the control: whoever does not wait is led out", async () => {
    const { root, security } = rootOf(true);
    const impatient = withoutCalls(
      'chdir to the working directory "/way", and open it first',
      "futex",
      "exit_group",
      "jump",
    );
    const { stdout } = await ask(root, { cwd: "/way", security }, inTurn(slow, impatient));
    expect(stdout).toBe("of the host\n");
  });
});

describe("a root filesystem whose /proc, /dev or /sys is a symlink", () => {
  for (const name of ["proc", "dev", "sys"]) {
    for (const target of [outside.path, `${up}${outside.path.slice(1)}`, "etc", "/proc/self/cwd", "/nowhere/at/all"]) {
      attack(
        `/${name} → ${target === outside.path ? "the host" : target}: it is refused, or stays inside`,
        async () => {
          const root = hostile();
          root.link(name, target);
          const before = [readdirSync(outside.path), readdirSync(root.path), readdirSync(join(root.path, "etc"))];
          try {
            const { stdout } = await sh(root, `cat ${secret} 2>/dev/null; cat /proc/self/comm >/dev/null 2>&1; true`);
            expect(stdout).toBe("");
          } catch (error) {
            expect(error).toBeInstanceOf(TsboxError);
            expect((error as TsboxError).code).toBe("mount_failed");
          }
          expect([readdirSync(outside.path), readdirSync(root.path), readdirSync(join(root.path, "etc"))]).toEqual(
            before,
          );
        },
      );
    }
  }

  attack("a masked path cannot be moved elsewhere by one", async () => {
    const root = hostile();
    root.link("proc", "etc");
    const error = await failureOf(() => sh(root, "cat /etc/keys"));
    expect(error.code).toBe("mount_failed");
    expect(error.message).toContain("ELOOP");
  });

  attack("an /etc/passwd that leads to the host's is not read", async () => {
    const root = hostile();
    outside.write("passwd", "evil:x:7:7::/:/bin/sh\n");
    await Bun.$`rm ${join(root.path, "etc/passwd")}`;
    root.link("etc/passwd", join(outside.path, "passwd"));
    expect((await failureOf(() => sh(root, "true", { user: "evil" }))).code).toBe("user_not_found");
    expect(readFileSync(join(root.path, "etc/passwd"), "utf8")).toContain("evil"); // the control
  });
});

describe("CVE-2024-21626: a working directory that is an open descriptor of the host's", () => {
  attack("no number of descriptor leads anywhere", async () => {
    const root = hostile();
    const fd = openSync("/", "r");
    const numbers = Array.from({ length: 24 }, (_, index) => index);
    await Promise.all(
      [...numbers, fd].map(async (number) => {
        const error = await failureOf(() => sh(root, "pwd; ls", { cwd: `/proc/self/fd/${number}` }));
        expect([error.code, error.path]).toEqual(["invalid_option", `/proc/self/fd/${number}`]);
      }),
    );
    closeSync(fd);
  });

  attack("nor does a symlink to one, or the owner's own working directory and root", async () => {
    const root = hostile();
    root.link("leak", "/proc/self/fd/7");
    root.link("cwd", "/proc/self/cwd");
    for (const cwd of [
      "/leak",
      "/leak/x",
      "/cwd",
      "/proc/self/cwd",
      "/proc/self/root",
      "/proc/1/cwd",
      "/proc/self/task/2/cwd",
    ]) {
      expect((await failureOf(() => sh(root, "pwd", { cwd }))).code).toBe("invalid_option");
    }
  });

  attack("also not for a process that joins", async () => {
    const root = hostile();
    root.link("leak", "/proc/self/fd/7");
    await using box = await Sandbox.create({ rootfs: root.path });
    for (const cwd of [
      "/leak",
      "/proc/self/cwd",
      "/proc/self/root",
      "/proc/self/exe",
      ...[3, 4, 5, 6, 7, 8].map((fd) => `/proc/self/fd/${fd}`),
    ]) {
      expect([cwd, (await failureOf(() => box.spawn(["pwd"], { cwd }).result())).code]).toEqual([
        cwd,
        "invalid_option",
      ]);
    }
  });

  test("the control: a process that is not a sandbox's goes there", () => {
    const fd = openSync(outside.path, "r");
    const { stdout } = Bun.spawnSync(["sh", "-c", `cd /proc/${process.pid}/fd/${fd} && cat secret`]);
    closeSync(fd);
    expect(stdout.toString()).toBe("of the host\n");
  });
});

describe("a pipe of the caller's, which others write to as well", () => {
  const TSBOX = [process.execPath, join(import.meta.dir, "../../lib/cli/main.ts")].map((word) => `'${word}'`).join(" ");
  const READ = "'exec 3</proc/self/fd/1; head -c 6 <&3 >&2'";
  /** What somebody has written to a pipe that is stdout, and nobody has read, read by who is to write only. */
  function taken(shell: string): string {
    const { stderr } = Bun.spawnSync(["sh", "-c", `{ printf secret; ${shell} -c ${READ}; } | sleep ${2 * SLOW}`], {
      stderr: "pipe",
    });
    return stderr.toString();
  }

  attackOfOthers("is opened again to write, and not to read", () => {
    const root = hostile();
    const run = `${TSBOX} run --rootfs ${root.path} sh`;
    expect(taken(run)).toContain("Permission denied");
    const { stdout, stderr } = Bun.spawnSync(["sh", "-c", `${run} -c 'echo written >/dev/stdout' | cat`], {
      stderr: "pipe",
    });
    expect([stdout.toString(), stderr.toString()]).toEqual(["written\n", ""]);
  });

  attack("the control: whose it is takes it back", () => {
    expect(taken("sh")).toBe("secret");
  });
});

describe("CVE-2019-5736: a command that is the program of its maker", () => {
  const readsExe = probe(
    call("readlinkat", AT_FDCWD, cstring("/proc/self/exe"), buffer("path", 256), 256),
    call("openat", AT_FDCWD, cstring("/proc/self/exe"), 2, 0),
  );

  attack("a symlink to /proc/self/exe is not executed", async () => {
    const root = hostile();
    for (const target of ["/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe", "/proc/self/fd/3"]) {
      const name = `evil-${Bun.hash(target).toString(36)}`;
      root.link(`bin/${name}`, target);
      for (const command of [`/bin/${name}`, name, target]) {
        const error = await failureOf(() => Sandbox.run([command], { rootfs: root.path }));
        expect(["command_not_executable", "command_not_found"]).toContain(error.code);
        await using box = await Sandbox.create({ rootfs: root.path });
        const joined = await failureOf(() => box.spawn([command]).result());
        expect(["command_not_executable", "command_not_found"]).toContain(joined.code);
      }
    }
  });

  /** Root filesystems in which executing `/bin/evil` leads back to /proc/self/exe, with a loader that tells. */
  const INTERPRETERS: [string, (root: Folder) => void][] = [
    ["of a script", () => {}],
    ["of a script, by a symlink", (root) => root.link("bin/evil", "../interpreter")],
    [
      "of the interpreter of a script",
      (root) => {
        root.write("bin/evil", "#!/bin/nested\n", 0o755);
        root.write("bin/nested", "#!/proc/thread-self/exe\n", 0o755);
      },
    ],
  ];
  const withInterpreter = (make: (root: Folder) => void) => {
    const root = hostile();
    // the loader that the owner's program names is the attacker's too
    for (const loader of ["lib64/ld-linux-x86-64.so.2", "lib/ld-linux-aarch64.so.1", "lib/ld-musl-x86_64.so.1"])
      root.write(loader, readsExe, 0o755);
    root.write("interpreter", "#!/proc/self/exe\n", 0o755);
    make(root);
    if (!existsSync(join(root.path, "bin/evil"))) root.write("bin/evil", "#!/proc/self/exe\n", 0o755);
    return root;
  };
  for (const [what, make] of INTERPRETERS) {
    attack(`as the interpreter ${what}, it is not the owner's program`, async () => {
      const root = withInterpreter(make);
      for (const command of ["/bin/evil", "evil"]) {
        const { exitCode, stdoutBytes } = await Sandbox.run([command], { rootfs: root.path });
        // an image of ours, which finds none of its descriptors
        expect([exitCode, stdoutBytes.length]).toEqual([127, 0]);
        await using box = await Sandbox.create({ rootfs: root.path });
        const joined = box.spawn([command], { stderr: "ignore" });
        expect([await new Response(joined.stdout).text(), await joined.exited]).toEqual(["", 127]);
      }
    });

    attack(`the control: executed out of the owner's memory, it is (${what})`, async () => {
      const root = withInterpreter(make);
      const inPlace = withoutStep(/^(leave the owner's memory|keep the socket)/);
      const { stdoutBytes } = await runChanged(["/bin/evil"], { rootfs: root.path }, { plan: inPlace });
      // the loader has run with the owner's program as its own: the link can be read
      expect(outcomes(stdoutBytes)[0]).toBe(realpathSync(process.execPath).length);
    });
  }

  attack("the running program's file is the sandbox's own", async () => {
    const root = hostile();
    root.write("bin/reads", readsExe, 0o755);
    const { stdoutBytes } = await Sandbox.run(["/bin/reads"], { rootfs: root.path });
    expect(outcomes(stdoutBytes)).toEqual(["/bin/reads".length, "ETXTBSY"]);
    const init = await sh(root, "readlink /proc/1/exe; cat /proc/1/exe >/dev/null 2>&1 || echo refused");
    expect(init.stdout).toBe("refused\n");
  });

  test("the control: outside, /proc/self/exe executes the program that asks", () => {
    const { stdout } = Bun.spawnSync([
      process.execPath,
      "-e",
      'console.log(require("child_process").execFileSync("/proc/self/exe", ["--version"], {encoding: "utf8"}).trim())',
    ]);
    expect(stdout.toString().trim()).toBe(Bun.version);
  });
});

describe("leaving the root filesystem", () => {
  attack("by .. from anywhere", async () => {
    const root = hostile();
    for (const options of [{}, { rootfs: "host" }, { security: { readOnly: true } }]) {
      const { stdout } = await sh(
        root,
        `cd /tmp; cat ${up}${secret.slice(1)} /..${secret} /proc/self/root/..${secret} /proc/1/root${secret} 2>/dev/null; ls -di / /.. | sed 's/ .*//' | sort -u | wc -l`,
        options,
      );
      expect(stdout.trim()).toBe("1");
    }
    await using box = await Sandbox.create({ rootfs: root.path });
    const joined = await new Response(
      box.spawn(["sh", "-c", `cat ${up}${secret.slice(1)} /..${secret} 2>/dev/null; ls -A /..`]).stdout,
    ).text();
    expect(joined).toBe((await sh(root, "ls -A /")).stdout);
  });

  attack("the control: where the host's root is not dropped, .. leads there", async () => {
    const root = hostile();
    ["proc", "sys", "dev"].forEach((name) => root.directory(name));
    const options: RunOptions = { rootfs: root.path, security: { readOnly: true } };
    const plan = withoutCalls("drop the host's root", "umount2");
    const { stdout } = await runChanged(["/bin/cat", `/..${secret}`], options, { plan });
    expect(stdout).toBe("of the host\n");
  });

  /** The classic: a root below the working directory, which is then outside of it. */
  const doubleChroot = probe(
    kept("old", call("openat", AT_FDCWD, cstring("."), O_DIRECTORY, 0)),
    call("mkdirat", AT_FDCWD, cstring("jail"), 0o755),
    call("chroot", cstring("jail")),
    call("fchdir", ref("old")),
    ...Array.from({ length: 30 }, () => call("chdir", cstring(".."))),
    call("chroot", cstring(".")),
    kept("file", call("openat", AT_FDCWD, cstring(secret), 0, 0)),
  );

  attack("by chroot twice, with CAP_SYS_CHROOT", async () => {
    const root = hostile();
    root.write("bin/escape", doubleChroot, 0o755);
    const { stdoutBytes } = await Sandbox.run(["/bin/escape"], {
      rootfs: root.path,
      cwd: "/tmp",
      security: { seccomp: "none" },
    });
    const results = outcomes(stdoutBytes);
    expect([results[2], results.at(-2), results.at(-1)]).toEqual([0, 0, "ENOENT"]);
  });

  testUnless(notRoot, "the control: it leads out of a plain chroot", () => {
    const root = hostile();
    root.write("bin/escape", doubleChroot, 0o755);
    const { stdout } = Bun.spawnSync(["chroot", root.path, "/bin/escape"]);
    expect(outcomes(stdout).at(-1)).toBeNumber();
  });

  attack("by the host's mounts: none is left to be uncovered", async () => {
    const root = hostile();
    const all: RunOptions = {
      security: { capabilities: ["SYS_ADMIN", "SYS_CHROOT", "DAC_OVERRIDE", "DAC_READ_SEARCH"], seccomp: "none" },
    };
    const { stdout } = await sh(
      root,
      `for i in 1 2 3 4 5; do umount -l / 2>/dev/null; umount -l /.. 2>/dev/null; done; cat /..${secret} ${secret} 2>/dev/null; echo done`,
      all,
    );
    expect(["done\n", ""]).toContain(stdout);
  });

  attack("by a file handle, which needs no path (shocker)", async () => {
    const root = hostile();
    const handle = buffer("file_handle", 136);
    new DataView(handle.data.buffer).setUint32(0, 128, true);
    root.write(
      "bin/shocker",
      probe(
        call("name_to_handle_at", AT_FDCWD, cstring("/etc/passwd"), handle, buffer("mount", 8), 0),
        kept("root", call("openat", AT_FDCWD, cstring("/"), O_DIRECTORY, 0)),
        call("open_by_handle_at", ref("root"), handle, 0),
      ),
      0o755,
    );
    for (const security of [
      {},
      { seccomp: "none" as const },
      { seccomp: "none" as const, capabilities: ["DAC_READ_SEARCH"] },
    ]) {
      const { stdoutBytes } = await Sandbox.run(["/bin/shocker"], { rootfs: root.path, security });
      expect(["EPERM", "EOPNOTSUPP", "ESTALE"]).toContain(outcomes(stdoutBytes)[2] as string);
    }
  });
});

describe("devices", () => {
  const MKNOD = ["MKNOD"];

  attack("none can be made", async () => {
    for (const security of [{}, { capabilities: MKNOD, seccomp: "none" as const }]) {
      const { stdout } = await sh(
        hostile(),
        "mknod /tmp/mem c 1 1 2>/dev/null || echo refused; mknod /dev/shm/disk b 254 0 2>/dev/null || echo refused",
        { security },
      );
      expect(stdout).toBe("refused\nrefused\n");
    }
  });

  testUnless(notRoot, "the control: in the host's user namespace one can, but it cannot be opened", async () => {
    const options: RunOptions = { security: { capabilities: MKNOD, seccomp: "none" }, namespaces: { user: "host" } };
    const { stdout } = await sh(
      hostile(),
      "mknod /tmp/zero c 1 5 && echo made; head -c 1 /tmp/zero >/dev/null 2>&1 || echo refused",
      options,
    );
    expect(stdout).toBe("made\nrefused\n");
  });

  testUnless(notRoot, "one that the root filesystem brings along cannot be opened", async () => {
    const root = hostile();
    expect(Bun.spawnSync(["mknod", join(root.path, "zero"), "c", "1", "5"]).exitCode).toBe(0);
    for (const options of [{}, { namespaces: { user: "host" } }, { security: { readOnly: true } }] as RunOptions[]) {
      expect((await sh(root, "head -c 1 /zero >/dev/null 2>&1 || echo refused", options)).stdout).toBe("refused\n");
    }
    expect(Bun.spawnSync(["head", "-c", "1", join(root.path, "zero")]).stdout.length).toBe(1); // the control
  });
});

describe("setuid programs", () => {
  const ids = probe(call("geteuid"), call("getuid"));
  const asUser = async (security: RunOptions["security"], extra: RunOptions = {}) => {
    const root = hostile();
    root.write("bin/suid", ids, 0o4755);
    const { stdoutBytes } = await Sandbox.run(["/bin/suid"], {
      rootfs: root.path,
      user: "1000:1000",
      ...(security ? { security } : {}),
      ...extra,
    });
    return outcomes(stdoutBytes);
  };

  testUnless(notRoot, "give nothing to a process with no_new_privs", async () => {
    expect(await asUser(undefined)).toEqual([1000, 1000]);
    expect(await asUser({ seccomp: "none" })).toEqual([1000, 1000]);
  });

  testUnless(notRoot, "the control: without it they do", async () => {
    expect(await asUser({ seccomp: "none", noNewPrivileges: false })).toEqual([0, 1000]);
  });

  testUnless(notRoot, "in a bound directory they never do", async () => {
    const source = outside.directory("suid");
    outside.write("suid/suid", ids, 0o4755);
    const { stdoutBytes } = await Sandbox.run(["/suid/suid"], {
      rootfs: hostile().path,
      user: "1000:1000",
      mounts: [{ type: "bind", source, target: "/suid" }],
      security: { seccomp: "none", noNewPrivileges: false },
    });
    expect(outcomes(stdoutBytes)).toEqual([1000, 1000]);
  });

  attack("one that is made inside is nobody's outside", async () => {
    const source = outside.directory("made");
    const { exitCode } = await sh(hostile(), "cp /bin/busybox /made/shell && chmod 4755 /made/shell", {
      mounts: [{ type: "bind", source, target: "/made" }],
    });
    expect(exitCode).toBe(0);
    // of root's sandboxes, files that they bind are root's: whoever binds a directory trusts what is in it
    const owner = Bun.spawnSync(["stat", "-c", "%u", join(source, "shell")])
      .stdout.toString()
      .trim();
    expect(owner).toBe(String(process.geteuid!()));
  });
});

describe("kernel settings", () => {
  const writes = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/power/state",
  ];

  attack("cannot be written, whatever the capabilities", async () => {
    const line = writes.map((path) => `(: >>${path}) 2>/dev/null && echo ${path}`).join("; ");
    for (const security of [
      {},
      { capabilities: ["SYS_ADMIN", "DAC_OVERRIDE", "SYS_RESOURCE"], seccomp: "none" as const },
    ]) {
      for (const rootfs of ["host", hostile().path]) {
        expect((await sh(hostile(), `${line}; true`, { rootfs, security })).stdout).toBe("");
      }
    }
  });

  testUnless(notRoot, "the control: root outside can open them", () => {
    const { stdout } = Bun.spawnSync(["sh", "-c", "(: >>/proc/sys/vm/panic_on_oom) && echo opened"]);
    expect(stdout.toString()).toBe("opened\n");
  });

  attack("the control: without its cover, a masked file is the kernel's", async () => {
    const options = { rootfs: hostile().path };
    const command = ["/bin/cat", "/proc/interrupts"];
    expect((await Sandbox.run(command, options)).stdout).toBe("");
    const shown = await runChanged(command, options, { plan: withoutStep('mask "/proc/interrupts"') });
    expect(shown.stdout).not.toBe("");
  });

  testUnless(notRoot, "nothing runs where one cannot be covered, also where init takes nobody along", async () => {
    const mounts: MountOption[] = [{ type: "bind", source: outside.directory("marked"), target: "/m" }];
    const options: RunOptions = { rootfs: hostile().path, mounts, namespaces: { user: "host", pid: "host" } };
    const marker = join(outside.path, "marked", "ran");
    const run = (plan?: Change["plan"]) => runChanged(["/bin/sh", "-c", "echo >/m/ran"], options, { plan });
    const fails = insertBefore('make "/proc/sys" read-only', { call: "fail", args: [1] });
    expect((await failureOf(() => run(fails))).message).toBe('make "/proc/sys" read-only: EPERM');
    await Bun.sleep(100 * SLOW);
    expect(existsSync(marker)).toBe(false);
    await run();
    expect(existsSync(marker)).toBe(true);
  });

  testUnless(notRoot, "cannot be written from a working directory that was open before its cover", async () => {
    const namespaces: RunOptions["namespaces"] = { user: "host" };
    for (const cwd of ["/proc/sys/vm", "//./proc/sys/vm", "/work", "/way/sys/vm"]) {
      const root = hostile();
      root.link("work", "/proc/sys/vm");
      root.link("way", "proc");
      // or what is made for mounts waits
      for (const name of ["dev", "proc", "sys"]) root.directory(name);
      const options: RunOptions = { rootfs: root.path, cwd, namespaces };
      const run = (plan: Change["plan"]) =>
        runChanged(["/bin/sh", "-c", "(: >>panic_on_oom) 2>/dev/null && echo opened; ls"], options, { plan });
      const late = await run(insertBefore('make "/proc/sys" read-only', sleep(200)));
      expect(late.stdout).toStartWith("admin_reserve_kbytes\n");
      const control = await run(withoutStep('make "/proc/sys" read-only'));
      expect(control.stdout).toStartWith("opened\n");
    }
  });

  attack("cannot be uncovered by mounting proc again, without the capability or with", async () => {
    const line =
      "mkdir /tmp/p; mount -t proc proc /tmp/p 2>/dev/null && (: >>/tmp/p/sys/vm/panic_on_oom) 2>/dev/null && echo opened; mount -o remount,rw /proc/sys 2>/dev/null && (: >>/proc/sys/vm/panic_on_oom) 2>/dev/null && echo opened; umount /proc/sys 2>/dev/null && (: >>/proc/sys/vm/panic_on_oom) 2>/dev/null && echo opened; true";
    for (const security of [{}, { capabilities: ["SYS_ADMIN", "DAC_OVERRIDE"], seccomp: "none" as const }]) {
      expect((await sh(hostile(), line, { security })).stdout).toBe("");
    }
  });
});

describe("the overlay", () => {
  attack("keeps what is written from the directory, also through a file that was open before", async () => {
    const root = hostile();
    const file = root.write("etc/config", "original\n", 0o666);
    expect(
      (await sh(root, "exec 3</etc/config; echo evil >/etc/config; echo evil >>/proc/self/fd/3; cat /etc/config"))
        .stdout,
    ).toContain("evil");
    expect(readFileSync(file, "utf8")).toBe("original\n");
    writeFileSync(file, "control\n");
    expect(readFileSync(file, "utf8")).toBe("control\n");
  });

  attack("shows nothing of its layers", async () => {
    const root = hostile();
    const { stdout } = await sh(
      root,
      "ls -d /upper /lower /work /merged /../upper 2>/dev/null; grep -c . /proc/self/mountinfo >/dev/null; grep -o 'upperdir=[^,]*' /proc/self/mountinfo",
    );
    expect(stdout).toBe("upperdir=upper\n");
    expect(existsSync(join(dirname(root.path), "upper"))).toBe(false);
  });
});
