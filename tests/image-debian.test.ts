/**
 * A whole distribution: Debian as debootstrap makes it (`tests/setup.sh`), made an image by umoci and put into a registry
 * by skopeo; then pulled, run, changed and pushed, and read again by others.
 * @module
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Sandbox, Tsbox } from "../lib/index.ts";
import { asRoot, inGuest } from "./support/machine.ts";
import { noRegistry, startRegistry, type TestRegistry } from "./support/registry.ts";
import { Folder } from "./support/rootfs.ts";

const ARCHIVE = join(import.meta.dirname, "../.cache/debian.tar");
const missing = ["umoci", "skopeo", "podman"].find((tool) => !Bun.which(tool));
/** Why there is nothing to do here. */
const reason = inGuest
  ? "the guest has no place for it"
  : !asRoot
    ? "needs root"
    : !existsSync(ARCHIVE)
      ? "tests/setup.sh has not made .cache/debian.tar"
      : (noRegistry ?? (missing && `${missing} is not installed`));

async function tool(...words: string[]): Promise<string> {
  const child = Bun.spawn(words, {
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, HOME: folder.path, XDG_RUNTIME_DIR: folder.path },
  });
  const [out, problem, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${words.join(" ")}: ${problem}`);
  return out.trim();
}
const skopeo = (...words: string[]) => tool("skopeo", "--insecure-policy", ...words);
const podman = (...words: string[]) =>
  tool("podman", "--root", join(folder.path, "podman"), "--runroot", join(folder.path, "podman-run"), ...words);

const folder = new Folder();
afterAll(() => folder.remove());
const root = join(folder.path, "store");
let registry: TestRegistry;
const name = (tag: string) => `${registry.host}/distribution/debian:${tag}`;
const reference = (tag: string) => ({ reference: name(tag), root });
/** Threads that run JavaScript, beside this one. */
const workers = () =>
  readdirSync("/proc/self/task").filter((id) => readFileSync(`/proc/self/task/${id}/comm`, "latin1") === "Worker\n")
    .length;
const inside = async (tag: string, script: string) => {
  const { stdout, stderr, exitCode } = await Sandbox.run(["sh", "-ec", script], { image: reference(tag) });
  expect([stderr, exitCode]).toEqual(["", 0]);
  return stdout.trim();
};

describe.skipIf(reason !== undefined)(reason === undefined ? "Debian" : `Debian (${reason})`, () => {
  beforeAll(async () => {
    registry = await startRegistry();
    const layout = join(folder.path, "layout");
    await tool("umoci", "init", "--layout", layout);
    await tool("umoci", "new", "--image", `${layout}:base`);
    await tool("umoci", "raw", "add-layer", "--image", `${layout}:base`, ARCHIVE);
    await tool("umoci", "config", "--image", `${layout}:base`, "--config.cmd", "/bin/bash");
    await skopeo("copy", "-q", "--dest-tls-verify=false", `oci:${layout}:base`, `docker://${name("base")}`);
  }, 180_000);
  afterAll(async () => {
    await podman("rm", "-fa").catch(() => {});
    await podman("rmi", "-fa").catch(() => {});
    await registry[Symbol.asyncDispose]();
  }, 60_000);

  test("is pulled, by a thread of its own, and every file is as its packages say", async () => {
    using engine = new Tsbox({ root });
    const before = workers();
    const threads: number[] = [];
    const onProgress = () => void threads.push(workers());
    const { digest } = await engine.images.pull(name("base"), { registry: { insecure: true }, onProgress });
    const most = before + (navigator.hardwareConcurrency > 1 ? 1 : 0);
    expect([Math.max(...threads), workers()]).toEqual([most, before]);
    const told = await skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${name("base")}`);
    expect(digest as string).toBe(told);
    // of what it prints, "missing" is what a minimal system leaves out
    expect(await inside("base", "dpkg --verify | grep -v '^missing' || true")).toBe("");
    expect(await inside("base", "dpkg-query -W -f '${db:Status-Abbrev}\\n' | sort -u")).toBe("ii");
    expect(
      await inside("base", "getcap /usr/bin/ping 2>/dev/null; stat -c '%U:%G %a' /usr/bin/passwd /etc/shadow"),
    ).toBe("root:root 4755\nroot:shadow 640");
    expect(await inside("base", "python3 -c 'import zlib; print(zlib.crc32(bytes(1)))'")).toBe("3523407757");
  }, 120_000);

  test("is changed, and what is pushed of it others pull and run", async () => {
    const box = await Sandbox.create({ image: reference("base") });
    const digests: string[] = [];
    try {
      await box.$`python3 -m compileall -q /usr/lib/python3.11 && rm -rf /usr/share/doc /var/log/apt`.quiet();
      await box.$`useradd --create-home --uid 1234 someone && setcap cap_chown+ep /bin/ls`.quiet();
      await box.commit(name("changed"), { changes: ["USER someone", 'CMD ["id", "-un"]'] });
    } finally {
      await box.stop();
    }
    const check =
      "id -un; getcap /bin/ls; ls -d /usr/share/doc 2>&1 || true; ls /usr/lib/python3.11/__pycache__ | wc -l";
    const ours = await inside("changed", check);
    expect(ours).toStartWith("someone\n/bin/ls cap_chown=ep\nls: cannot access '/usr/share/doc'");
    using engine = new Tsbox({ root });
    const pushed = await engine.images.push(name("changed"), { registry: { insecure: true } });
    digests.push(pushed.digest);
    digests.push(
      await skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", `docker://${name("changed")}`),
    );
    await podman("pull", "-q", "--tls-verify=false", name("changed"));
    digests.push(await podman("image", "inspect", "--format", "{{.Digest}}", name("changed")));
    expect(new Set(digests).size).toBe(1);
    const theirs = join(folder.path, "mounted");
    mkdirSync(theirs);
    const mounted = await podman("image", "mount", name("changed"));
    const script = `chroot ${mounted} su someone -s /bin/sh -c "${check}"`;
    expect(await tool("sh", "-c", script)).toBe(ours);
    await podman("image", "umount", "-a");
  }, 180_000);
});
