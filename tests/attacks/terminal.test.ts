/** Attacks by way of terminals: the owner's, and the sandbox's own. @module */
import { afterAll, describe, expect } from "bun:test";
import { join } from "node:path";
import { Sandbox } from "../../lib/index.ts";
import { failureOf } from "../support/failure.ts";
import { noBusybox, notRoot, SLOW, testUnless } from "../support/machine.ts";
import { buffer, call, outcomes, probe } from "../support/probe.ts";
import { eventually } from "../support/processes.ts";
import { Folder, makeRootfs } from "../support/rootfs.ts";

const root = makeRootfs();
const outside = new Folder();
afterAll(() => [root, outside].forEach((folder) => folder.remove()));
const rootfs = root.path;

const attack = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 30_000 * SLOW);
const [TIOCSTI, TIOCLINUX, TIOCSCTTY] = [0x5412, 0x541c, 0x540e];

/** Types a line into a terminal, as if somebody who sits there did. */
const TYPED = "echo PW''NED\r";
const push = (fd: number) =>
  probe(...[...TYPED].map((key) => call("ioctl", fd, TIOCSTI, { data: new TextEncoder().encode(key), text: key })));

describe("TIOCSTI: typing into the terminal that tsbox was started at", () => {
  const TSBOX = [process.execPath, join(import.meta.dir, "../../lib/cli/main.ts")].map((word) => `'${word}'`).join(" ");

  /** What somebody sees who has a shell, and runs this line in it. */
  async function seen(line: string): Promise<string> {
    let text = "";
    const shell = Bun.spawn(["bash", "--norc", "--noediting", "-i"], {
      env: { ...process.env, PS1: "$ " },
      terminal: { data: (_, chunk) => void (text += new TextDecoder().decode(chunk)) },
    });
    await eventually(() => text.includes("$ "));
    shell.terminal?.write(`${line} >/dev/null; echo ov''er\r`);
    expect([await eventually(() => /^over/m.test(text), 15_000 * SLOW), line]).toEqual([true, line]);
    // what has been typed by somebody else is executed after that
    await Bun.sleep(100 * SLOW);
    shell.terminal?.write("exit\r");
    await shell.exited;
    return text;
  }
  root.write("bin/push", push(0), 0o755);
  const run = (flags: string) => `${TSBOX} run --rootfs ${rootfs} ${flags} /bin/push`;

  attack("does nothing, with the terminal as stdin or one of its own, with a filter or without", async () => {
    for (const flags of ["-i", "-it", "-t"])
      for (const more of ["", "--security-opt seccomp=unconfined", "--cap-add ALL --security-opt seccomp=unconfined"])
        expect([flags, more, (await seen(run(`${flags} ${more}`))).includes("PWNED")]).toEqual([flags, more, false]);
  });

  const refused = Bun.file("/proc/sys/dev/tty/legacy_tiocsti");
  attack("the control: in the session of the shell, it is executed there", async () => {
    // since Linux 6.2 the whole machine may refuse it
    if ((await refused.exists()) && (await refused.text()).trim() === "0" && process.geteuid?.() !== 0) return;
    expect(await seen(outside.write("push", push(0), 0o755))).toContain("PWNED");
  });
});

describe("the sandbox's own terminal", () => {
  attack("TIOCSTI and TIOCLINUX are refused by the filter; without one, they reach nothing but it", async () => {
    root.write(
      "bin/asks",
      probe(call("ioctl", 2, TIOCLINUX, buffer("subcode", 8)), call("ioctl", 2, TIOCSTI, buffer("x", 8))),
      0o755,
    );
    const asked = async (seccomp: "default" | "none") => {
      // its results are bytes, which the terminal must not change
      const { stdoutBytes } = await Sandbox.run(["/bin/sh", "-c", "stty raw -echo; /bin/asks"], {
        rootfs,
        terminal: true,
        security: { seccomp },
      });
      return outcomes(stdoutBytes.slice(0, 16));
    };
    expect(await asked("default")).toEqual(["EIO", "EIO"]);
    expect((await asked("none"))[0]).toBe("ENOTTY");
  });

  attack("cannot be taken from another session by one that joins", async () => {
    await using box = await Sandbox.create({ rootfs });
    await using first = box.spawn(["/bin/sh", "-c", "echo up; read x"], { terminal: true });
    await first.terminal?.readable.getReader().read();
    root.write("bin/steal", probe(call("ioctl", 0, TIOCSCTTY, 1)), 0o755);
    const stolen = box.spawn(["/bin/sh", "-c", "setsid /bin/steal </dev/pts/0"]);
    expect(outcomes(await new Response(stolen.stdout).bytes())).toEqual(["EPERM"]);
  });

  attack("closing the owner's end ends what ignores the hang-up with the sandbox", async () => {
    const box = await Sandbox.create({ rootfs });
    const process = box.spawn(["/bin/sh", "-c", "trap '' HUP TERM INT; echo up; while :; do sleep 1; done"], {
      terminal: true,
    });
    await process.terminal?.readable.getReader().read();
    process.terminal?.close();
    await box.stop();
    expect(await process.result()).toMatchObject({ signalCode: "SIGKILL", reason: "killed" });
  });
});

describe("CVE-2025-52565: /dev/console and /dev/pts that are something else", () => {
  attack("names of the root filesystem are not followed: what is there is covered, or refused", async () => {
    const before = outside.write("victim", "of the host\n");
    using hostile = makeRootfs();
    hostile.directory("dev");
    hostile.link("dev/console", before);
    hostile.link("dev/ptmx", before);
    hostile.link("dev/pts", outside.path);
    const options = { rootfs: hostile.path, terminal: true };
    const { stdout } = await Sandbox.run(
      ["/bin/sh", "-c", "tty; stat -c %t /dev/console; echo x >/dev/console"],
      options,
    );
    expect(stdout).toBe("/dev/pts/0\r\n88\r\nx\r\n");
    expect(await Bun.file(before).text()).toBe("of the host\n");
  });

  testUnless(notRoot, "one that joins is not given what somebody inside has put over /dev/pts", async () => {
    const options = {
      rootfs,
      security: { seccomp: "none" as const, capabilities: ["SYS_ADMIN", "DAC_OVERRIDE", "MKNOD"] },
    };
    for (const fake of [
      "mkdir /tmp/fake && echo fake >/tmp/fake/ptmx && mount -o bind /tmp/fake /dev/pts",
      "mount -t tmpfs none /dev/pts && ln -s /proc/1/fd/3 /dev/pts/ptmx",
      "mount -t tmpfs none /dev/pts && mknod /dev/pts/ptmx p",
    ]) {
      await using box = await Sandbox.create(options);
      expect([fake, await box.spawn(["/bin/sh", "-c", fake], { stderr: "inherit" }).exited]).toEqual([fake, 0]);
      await using process = box.spawn(["/bin/sh", "-c", "tty"], { terminal: true });
      const error = await failureOf(() => process.result());
      expect([error.code, error.path, error.hint]).toEqual([
        "mount_failed",
        "/dev/pts",
        "something else is mounted on /dev/pts",
      ]);
    }
    // the control: whoever opens the name gets the fake
    await using box = await Sandbox.create(options);
    const fake =
      "mkdir /tmp/fake && echo fake >/tmp/fake/ptmx && mount -o bind /tmp/fake /dev/pts && cat /dev/pts/ptmx";
    expect(await new Response(box.spawn(["/bin/sh", "-c", fake]).stdout).text()).toBe("fake\n");
  });

  testUnless(notRoot, "a symlink in the place of /dev/pts is not followed either", async () => {
    await using box = await Sandbox.create({
      rootfs,
      security: { seccomp: "none", capabilities: ["SYS_ADMIN", "DAC_OVERRIDE"] },
    });
    const script = "umount /dev/pts && rmdir /dev/pts && ln -s /proc/1/root/dev/pts /dev/pts";
    expect(await box.spawn(["/bin/sh", "-c", script], { stderr: "inherit" }).exited).toBe(0);
    await using process = box.spawn(["/bin/sh", "-c", "tty"], { terminal: true });
    const error = await failureOf(() => process.result());
    expect([error.code, error.message]).toEqual(["mount_failed", "make a terminal: ELOOP"]);
  });
});
