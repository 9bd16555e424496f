/** Sandboxes of images: what of an image counts, and what hostile ones come to. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findUser } from "../lib/accounts/index.ts";
import { Sandbox, Tsbox, type RunOptions } from "../lib/index.ts";
// not a face: layers are stacked here without a store
import { StackedRoot } from "../lib/sandbox/stacked-root.ts";
import { hostPlatform, platformWarning, type ContainerConfig } from "../lib/image/index.ts";
import { imageIds } from "../lib/launch/index.ts";
import { homeIn } from "./support/home.ts";
import { failureOf } from "./support/failure.ts";
import { makeImage, type Fill } from "./support/images.ts";
import { asRoot, noBusybox, notRoot, testUnless } from "./support/machine.ts";
import { cgroups, descendants, descriptors, eventually } from "./support/processes.ts";
import { noRegistry, startRegistry } from "./support/registry.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";
import { insertBefore, runChanged } from "./support/unprotected.ts";

const busybox = makeRootfs();
const folder = new Folder();
const store = folder.directory("store");
afterAll(() => {
  // overlayfs makes directories that nobody may enter
  Bun.spawnSync(["chmod", "-R", "u+rwx", folder.path]);
  [busybox, folder].forEach((each) => each.remove());
});

/** Where layers that are stacked without a store lie, all of them. */
const bare = folder.directory("bare");
cpSync(busybox.path, bare, { recursive: true, verbatimSymlinks: true });

const system: Fill = (layer) => cpSync(busybox.path, layer, { recursive: true, verbatimSymlinks: true });
const write =
  (path: string, content = ""): Fill =>
  (layer) => {
    mkdirSync(join(layer, path, ".."), { recursive: true });
    writeFileSync(join(layer, path), content);
  };
const link =
  (path: string, target: string): Fill =>
  (layer) => {
    mkdirSync(join(layer, path, ".."), { recursive: true });
    rmSync(join(layer, path), { recursive: true, force: true });
    symlinkSync(target, join(layer, path));
  };
const sh = (layer: string, script: string) => {
  const { exitCode, stderr } = Bun.spawnSync(["sh", "-ec", script], { cwd: layer, stderr: "pipe" });
  if (exitCode !== 0) throw new Error(stderr.toString());
};

/** An ordinary user without subordinate ids: all of a sandbox is one user's. */
const hasOneId = !asRoot && imageIds() === undefined;

let made = 0;
/** An image of busybox, and what lies over it. @returns its name */
async function image(config: ContainerConfig = {}, ...layers: Fill[]): Promise<string> {
  const name = `test/made-${made++}:latest`;
  await makeImage(store, `docker.io/${name}`, [system, ...layers], config);
  return name;
}
const of = (reference: string, options: RunOptions = {}): RunOptions => ({
  image: { reference, root: store, pull: "never" },
  ...options,
});
const shell = async (reference: string, script: string, options: RunOptions = {}) => {
  const { stdout, stderr } = await Sandbox.run(["sh", "-c", script], of(reference, options));
  return stdout + stderr;
};

describe("layers", () => {
  testUnless(noBusybox, "lie on each other: what is above covers, removes and replaces", async () => {
    const name = await image(
      {},
      write("low/kept", "kept"),
      (layer) => sh(layer, "mkdir low below; echo gone > below/gone; echo old > low/changed"),
      (layer) => {
        write("low/changed", "new")(layer);
        mkdirSync(join(layer, "below"));
        // as unpacking makes them: an opaque directory, a whiteout
        sh(layer, "setfattr -n user.overlay.opaque -v y below");
      },
    );
    expect(await shell(name, "cat /low/kept /low/changed; ls /below; id -u")).toBe("keptnew0\n");
  });

  testUnless(notRoot, "a whiteout is a device of no numbers", async () => {
    const name = await image({}, write("file", "x"), (layer) => sh(layer, "mknod file c 0 0"));
    expect(await shell(name, "ls /file")).toContain("No such file");
  });

  testUnless(noBusybox, "what is written goes with the sandbox, and the layers stay as they are", async () => {
    const name = await image({}, write("data/file", "image"));
    expect(await shell(name, "echo more >> /data/file; rm /bin/ls; cat /data/file")).toBe("imagemore\n");
    expect(await shell(name, "cat /data/file; ls /data")).toBe("imagefile\n");
  });

  testUnless(
    noBusybox,
    "can be written to a directory that is kept, or to no more than a limit, or not at all",
    async () => {
      const name = await image();
      const writableLayer = folder.directory(`kept-${made}`);
      expect(await shell(name, "echo kept > /kept", { writableLayer })).toBe("");
      expect(await shell(name, "cat /kept", { writableLayer })).toBe("kept\n");
      const { reason } = await Sandbox.run(
        ["sh", "-c", "exec cat /dev/zero > /file"],
        of(name, { limits: { disk: "1m" } }),
      );
      expect(reason).toBe("disk");
      expect(await shell(name, "echo > /file", { security: { readOnly: true } })).toContain("Read-only file system");
    },
  );

  // the kernel stacks 500
  testUnless(noBusybox, "are as many as an image has", async () => {
    const directories = [bare];
    const many = folder.directory("many");
    for (let index = 0; directories.length < 500; index++) {
      const layer = join(many, `${"0".repeat(56)}${index}`, "fs");
      mkdirSync(layer, { recursive: true });
      writeFileSync(join(layer, `file-${index}`), "");
      writeFileSync(join(layer, "top"), String(index));
      directories.unshift(layer);
    }
    for (const count of [3, 100, 128, 500]) {
      const layers = directories.slice(500 - count);
      const stack = new StackedRoot(layers);
      const script = "cat /top; ls / | grep -c file-";
      const whole = await runChanged(["sh", "-c", script], { stack } as RunOptions, {});
      expect(whole.stdout).toBe(`${count - 2}${count - 1}\n`);
    }
    const stack = new StackedRoot([folder.directory("one-more"), ...directories]);
    const error = await failureOf(() => runChanged(["true"], { stack } as RunOptions, {}));
    expect([error.code, error.hint]).toEqual(["mount_failed", "the kernel stacks at most 500 layers"]);
  });

  testUnless(noBusybox, "are told to kernels before 6.7 in one page", async () => {
    const layers = Array.from({ length: 200 }, (_, index) => folder.directory(`paged/${index}`));
    const stack = new StackedRoot([...layers, bare]);
    // an option that no kernel knows
    const other = { data: new TextEncoder().encode("lowerdir-\0"), text: '"lowerdir-"' };
    const { stdout } = await runChanged(["grep", "-c", "lowerdir=0:1:2", "/proc/mounts"], { stack } as RunOptions, {
      plan: (plan) =>
        plan.map((step) => ({
          ...step,
          ops: step.ops.map((op) =>
            op.args.some((arg) => typeof arg === "object" && "text" in arg && arg.text === '"lowerdir+"')
              ? { ...op, args: op.args.map((arg, at) => (at === 2 ? other : arg)) }
              : op,
          ),
        })),
    });
    expect(stdout).toBe("1\n");
  });

  testUnless(notRoot, "look owned as in the image, with ids of their own as with the host's", async () => {
    const name = await image({}, (layer) => sh(layer, "echo > file; chown 7:8 file; chmod 640 file"));
    const seen = "stat -c '%u:%g %a' /file; echo >> /file; stat -c %u:%g /file";
    for (const user of ["private", "auto", "host"] as const)
      expect([user, await shell(name, seen, { namespaces: { user } })]).toEqual([user, "7:8 640\n7:8\n"]);
  });

  testUnless(noBusybox, "of an image for another platform come with a warning", async () => {
    await makeImage(store, "docker.io/test/foreign:latest", [system], {}, { architecture: "s390x" });
    const { stdout, warnings } = await Sandbox.run(["echo", "hi"], of("test/foreign"));
    expect([stdout, warnings]).toEqual([
      "hi\n",
      [expect.stringContaining("image's platform (linux/s390x) does not match")],
    ]);
    await using box = await Sandbox.create(of("test/foreign"));
    expect(box.warnings).toEqual(warnings);
    const image = { reference: "test/foreign", root: store, platform: "linux/s390x" };
    expect((await Sandbox.run(["echo", "hi"], { image })).warnings).toEqual([]);
    // what the CPU of this machine runs as well
    expect(platformWarning({ ...hostPlatform(), variant: "v9" })).toBeUndefined();
    expect(platformWarning({ os: "linux", architecture: process.arch === "x64" ? "386" : "arm" })).toBeUndefined();
  });

  test("of an image that has none: an empty root filesystem", async () => {
    await makeImage(store, "docker.io/test/scratch:latest", []);
    const error = await failureOf(() => Sandbox.run(["/true"], of("test/scratch")));
    expect(error.code).toBe("command_not_found");
  });
});

describe("what an image says counts where the request does not:", () => {
  const CONFIG: ContainerConfig = {
    Entrypoint: ["echo", "entry"],
    Cmd: ["command"],
    Env: ["PATH=/bin", "A=image", "B=1", "HOME=/elsewhere"],
    User: "app",
    WorkingDir: "/made/for/it",
    Volumes: { "/data": {} },
    Labels: { a: "b" },
    ExposedPorts: { "80/tcp": {} },
    StopSignal: "SIGINT",
    Healthcheck: { Test: ["NONE"] },
  };
  let name = "";
  beforeAll(async () => {
    name = await image(CONFIG, write("data/file", "from the image"));
  });

  const printed = async (command: string[], options?: RunOptions) =>
    (await Sandbox.run(command, of(name, options))).stdout.trimEnd();

  testUnless(noBusybox, "entry point and command", async () => {
    expect(await printed([])).toBe("entry command");
    expect(await printed(["x", "y"])).toBe("entry x y");
    expect(await printed(["x"], { entrypoint: "echo" })).toBe("x");
    // as in Docker, another entry point drops the command
    expect(await printed([], { entrypoint: ["echo", "own"] })).toBe("own");
    expect(await printed(["id", "-un"], { entrypoint: "" })).toBe("app");
    const error = await failureOf(() => Sandbox.run([], of(name, { entrypoint: [] })));
    expect([error.code, error.message]).toEqual(["invalid_option", expect.stringContaining(`the image "${name}" has`)]);
  });

  testUnless(noBusybox, "environment", async () => {
    const env = async (options: RunOptions) =>
      (await shell(name, "echo $A $B $HOME $PATH", { entrypoint: "", ...options })).trim();
    expect(await env({})).toBe("image 1 /elsewhere /bin");
    expect(await env({ env: { A: "mine", B: undefined } })).toBe("mine /elsewhere /bin");
  });

  testUnless(noBusybox, "user and working directory, which is made", async () => {
    const who = "id -un; id -gn; pwd; stat -c %u .";
    expect(await shell(name, who, { entrypoint: "" })).toBe(`app\napp\n/made/for/it\n${hasOneId ? 1000 : 0}\n`);
    expect(await shell(name, who, { entrypoint: "", user: "0:0", cwd: "/tmp" })).toBe("root\nroot\n/tmp\n0\n");
    expect(await shell(name, "pwd", { entrypoint: "", security: { readOnly: true } })).toBe("/made/for/it\n");
  });

  testUnless(notRoot, "the user's groups", async () => {
    expect(await shell(name, "id -G", { entrypoint: "" })).toBe("1001 50 2000\n");
    expect(await shell(name, "id -G", { entrypoint: "", user: "app:app" })).toBe("1001\n");
  });

  testUnless(noBusybox, "volumes: filled, private, and writable where the rest is not", async () => {
    const script = "cat /data/file; echo > /data/new; ls /data; echo > /x";
    const seen = await shell(name, script, { entrypoint: "", user: "0", security: { readOnly: true } });
    expect(seen).toStartWith("from the image");
    expect(seen).toContain("file\nnew\n");
    expect(seen).toContain("/x: Read-only file system");
    expect(await shell(name, "ls /data", { entrypoint: "" })).toBe("file\n");
    const mounts: RunOptions["mounts"] = [{ type: "tmpfs", target: "/data/" }];
    expect(await shell(name, "ls /data", { entrypoint: "", mounts })).toBe("");
  });

  testUnless(noBusybox, "a box of it, whose processes take commands as they are", async () => {
    await using box = await Sandbox.create(of(name));
    expect(await box.$`echo $A; id -un; pwd; cat /data/file`.text()).toBe("image\napp\n/made/for/it\nfrom the image");
    expect(box.image).toMatchObject({
      reference: name,
      id: expect.stringMatching(/^sha256:/),
      config: { config: CONFIG },
    });
    if (!hasOneId) expect(await new Response(box.spawn(["id", "-u"], { user: "0" }).stdout).text()).toBe("0\n");
  });

  testUnless(noBusybox, "what there is, where it says nothing", async () => {
    const plain = await image();
    expect(await shell(plain, "id -u; pwd; echo $HOME $PATH")).toBe(
      "0\n/\n/root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    );
  });
});

describe("users of layers", () => {
  const layers = (...fills: Fill[]) =>
    fills.map((fill, index) => {
      const layer = folder.directory(`users-${made++}/${index}`);
      fill(layer);
      return layer;
    });
  const passwd = (name: string, uid: number) => `${name}:x:${uid}:${uid}::/home/${name}:/bin/sh\n`;
  const home = (...stacked: string[]) => findUser("7", { layers: stacked }).home;

  test("are those of the topmost file", () => {
    expect(home(...layers(write("etc/passwd", passwd("upper", 7)), write("etc/passwd", passwd("lower", 7))))).toBe(
      "/home/upper",
    );
    expect(home(...layers(write("etc/other"), write("etc/passwd", passwd("lower", 7))))).toBe("/home/lower");
  });
  test("are none where it has been removed, or its directory replaced", () => {
    const opaque: Fill = (layer) => sh(layer, "mkdir etc; setfattr -n user.overlay.opaque -v y etc");
    for (const hides of [opaque, write("etc", "a file"), (layer: string) => sh(layer, "mkdir -p etc/passwd")])
      expect(home(...layers(hides, write("etc/passwd", passwd("lower", 7))))).toBe("/");
  });
  testUnless(notRoot, "are none behind a whiteout", () => {
    const whiteout: Fill = (layer) => sh(layer, "mkdir etc; mknod etc/passwd c 0 0");
    expect(home(...layers(whiteout, write("etc/passwd", passwd("lower", 7))))).toBe("/");
  });
  test("are found by symlinks, through all layers", () => {
    const linked = layers(
      link("etc", "usr/../conf/etc"),
      link("conf", "/real"),
      write("real/etc/passwd", passwd("far", 7)),
      write("usr/x"),
    );
    expect(home(...linked)).toBe("/home/far");
  });
  test.each<[string, Fill[]]>([
    ["a symlink to the host's", [link("etc/passwd", "/etc/passwd")]],
    ["many steps up", [link("etc/passwd", `${"../".repeat(50)}etc/passwd`)]],
    ["a directory of the host's", [link("etc", "/etc")]],
    ["a symlink in a circle", [link("etc/passwd", "passwd")]],
    ["a circle of two layers", [link("etc/passwd", "group"), link("etc/group", "passwd")]],
    ["a descriptor", [link("etc/passwd", "/proc/self/fd/0")]],
    ["a directory", [(layer) => void mkdirSync(join(layer, "etc/passwd"), { recursive: true })]],
    ["a pipe", [(layer) => sh(layer, "mkdir etc; mkfifo etc/passwd")]],
    ["a symlink of 4095 bytes", [link("etc/passwd", "x/".repeat(2047))]],
  ])("are none where that is %s", (_, fills) => {
    // an account that the host has, and no layer
    expect(() => findUser("nobody", { layers: layers(...fills) })).toThrow("not known inside the root filesystem");
  });
  test.each<[string, number, number, number[]]>([
    [":5", 0, 5, []],
    [":users", 0, 9, []],
    [":", 0, 3, [9]],
    ["7:", 7, 4, []],
  ])("are root, and all its groups, where %p leaves them out", (user, uid, gid, additionalGids) => {
    const accounts = { passwd: "root:x:0:3::/root:\nuser:x:7:4::/:\n", group: "users:x:9:root\n" };
    expect(findUser(user, accounts)).toMatchObject({ uid, gid, additionalGids });
  });
  test("are those of the first 64 KiB of a file of a gigabyte", () => {
    const [layer = ""] = layers(write("etc/passwd", passwd("first", 7)));
    truncateSync(join(layer, "etc/passwd"), 2 ** 30);
    const before = performance.now();
    expect(home(layer)).toBe("/home/first");
    expect(performance.now() - before).toBeLessThan(500);
  });
});

describe("hostile images", () => {
  const outside = new Folder();
  const HOST = outside.write("host-file", "the host's");
  afterAll(() => outside.remove());

  const refused = (config: object) =>
    failureOf(async () => Sandbox.run(["true"], of(await image(config as ContainerConfig))));

  test.each<[string, object, string, string]>([
    ["a user with a NUL", { User: "a\0b" }, "image_invalid", "NUL"],
    ["a variable with a NUL", { Env: ["A=x\0y"] }, "image_invalid", "NUL"],
    ["an entry point with a NUL", { Entrypoint: ["/bin/sh\0"] }, "image_invalid", "NUL"],
    ["a volume with a NUL", { Volumes: { "/a\0b": {} } }, "image_invalid", "NUL"],
    ["an entry point that is no list", { Entrypoint: "sh -c x" }, "image_invalid", "Entrypoint"],
    ["an entry point of numbers", { Entrypoint: [1] }, "image_invalid", "Entrypoint"],
    ["an environment that is no list", { Env: { A: "1" } }, "image_invalid", "Env"],
    ["volumes that are a text", { Volumes: "/data" }, "image_invalid", "Volumes"],
    ["a volume over everything", { Volumes: { "/": {} } }, "image_invalid", 'its volume "/"'],
    ["a volume that climbs to everything", { Volumes: { "/a/../..": {} } }, "image_invalid", 'its volume "/a/../.."'],
    ["a volume that is relative", { Volumes: { data: {} } }, "image_invalid", 'its volume "data"'],
    ["a stop signal that is none", { StopSignal: "SIGNOTHING" }, "image_invalid", "stop signal"],
    ["a user that nobody knows", { User: "nobody-at-all" }, "user_not_found", "nobody-at-all"],
    ["a user of a negative number", { User: "-1" }, "user_not_found", "-1"],
    ["a user above all ids", { User: "4294967296" }, "invalid_option", "4294967296"],
    ["the user that is nobody at all", { User: "4294967295" }, "invalid_option", "4294967295"],
    ["a group that is a path", { User: "0:../../etc/group" }, "user_not_found", "group"],
    ["a working directory of 5,000 bytes", { WorkingDir: `/${"x".repeat(5000)}` }, "invalid_option", "4095"],
  ])("%s", async (_, config, code, part) => {
    const error = await refused(config);
    expect([error.code, error.message]).toEqual([code as never, expect.stringContaining(part)]);
  });

  testUnless(noBusybox, "variables of several lines are values, and words without a name are none", async () => {
    const name = await image({ Env: ["A=1\nB=2", "NOTHING", "=x", "", "C==", "PATH=/bin"] });
    const { stdout } = await Sandbox.run(["sh", "-c", "cat /proc/$$/environ | tr '\\0' '|'"], of(name));
    const lines = stdout.split("|").filter((line) => /^(A|B|C|NOTHING|)=/.test(line) || !line.includes("="));
    expect(lines).toEqual(["A=1\nB=2", "C==", ""]);
  });

  testUnless(noBusybox, "a user that is half said is root", async () => {
    for (const [user, ids] of [
      [":app", "0 1001"],
      ["app:", "1000 1001"],
      [":", "0 0"],
    ] as const) {
      const name = await image({ User: user });
      if (asRoot || user !== "app:")
        expect([user, (await shell(name, "echo $(id -u) $(id -g)")).trim()]).toEqual([user, ids]);
    }
  });

  /** Places that something is mounted on, or made at, as symlinks that lead to the host's. */
  const TRAPS = ["proc", "sys", "dev", "work", "data", "etc"];
  testUnless(noBusybox, "mount points, volumes and the working directory that lead outside", async () => {
    // whoever the sandbox is on the host
    const victim = outside.directory("victim", 0o777);
    for (const target of [
      victim,
      `${"../".repeat(30)}${victim.slice(1)}`,
      "/proc/self/root",
      "/proc/1/cwd",
      "/proc/self/fd/3",
    ]) {
      const name = await image(
        { WorkingDir: "/work/dir", Volumes: { "/data/volume": {}, "/etc": {} } },
        ...TRAPS.map((trap) => link(trap, target)),
      );
      for (const security of [{}, { readOnly: true }])
        await Sandbox.run(
          ["/bin/sh", "-c", "echo owned > /data/volume/x; echo owned > /etc/x; echo owned > x"],
          of(name, { security }),
        ).catch(() => {});
      expect([target, readdirSync(victim)]).toEqual([target, []]);
    }
    expect(existsSync(HOST)).toBe(true);
  });

  testUnless(noBusybox, "and what that comes to without the protection", async () => {
    const victim = outside.directory("control", 0o777);
    const stack = new StackedRoot([folder.directory(`trap-${made++}`), bare]);
    link("data", victim)(stack.paths[0] as string);
    const path = { data: new TextEncoder().encode(`${victim}/x\0`), text: "x" };
    // by a name that the host's root still answers
    const mkdir = { call: "mkdirat" as const, args: [-100, path, 0o777], onError: "ignore" as const };
    await runChanged(["true"], { stack } as RunOptions, { plan: insertBefore("make it the root", mkdir) });
    expect(readdirSync(victim)).toEqual(["x"]);
  });

  testUnless(noBusybox, "attributes of an overlay in a layer lead to nothing of another", async () => {
    // redirects and metacopies, which are off with userxattr
    const name = await image({}, (layer) =>
      sh(
        layer,
        "mkdir dir; setfattr -n user.overlay.redirect -v /etc dir; echo > meta; setfattr -n user.overlay.metacopy meta; setfattr -n user.overlay.redirect -v /etc/passwd meta",
      ),
    );
    expect(await shell(name, "ls /dir; cat /meta")).not.toContain("root:");
  });

  testUnless(noBusybox, "a volume that has to be made is root's", async () => {
    const name = await image({ Volumes: { "/data": {} } });
    expect(await shell(name, "stat -c %u /data")).toBe("0\n");
  });
});

describe("is refused:", () => {
  test.each<[string, unknown, string]>([
    ["an image that is a number", { image: 7 }, "image"],
    ["an image without a name", { image: {} }, "image"],
    ["an empty name", { image: "" }, ""],
    ["an unknown way to pull", { image: { reference: "x", pull: "sometimes" } }, "pull"],
    ["a platform that is none", { image: { reference: "x", platform: "a b" } }, "platform"],
    ["an unknown option", { image: { reference: "x", tag: "y" } }, '"tag"'],
    ["an image and a root filesystem", { image: "x", rootfs: "host" }, "rootfs"],
    ["an image in the host's mount namespace", { image: "x", namespaces: { mount: "host" } }, "mount namespace"],
    ["an entry point of a root filesystem", { entrypoint: "sh" }, "entrypoint"],
    ["an entry point that is an object", { image: { reference: "x", pull: "never" }, entrypoint: {} }, ""],
    ["layers that nobody stacked", { stack: { directory: "/", layers: ["etc"] } }, "stack"],
  ])("%s", async (_, options, part) => {
    const error = await failureOf(() => Sandbox.run(["true"], options as RunOptions));
    expect(error.code).toBeOneOf(["invalid_option", "reference_invalid", "image_not_found"]);
    expect(error.message).toContain(part);
  });

  test("an image that is not there", async () => {
    for (const root of [store, join(folder.path, "no-store")]) {
      const missing = { image: { reference: "no/such", root, pull: "never" as const } };
      const error = await failureOf(() => Sandbox.run(["true"], missing));
      expect([error.code, error.message]).toEqual([
        "image_not_found",
        'use the image "no/such": it is not in the store',
      ]);
      expect(() => Sandbox.spawn(["true"], missing)).toThrow("it is not in the store");
    }
    expect(existsSync(join(folder.path, "no-store"))).toBe(false);
  });

  test("one for another platform", async () => {
    await image();
    const name = `test/made-${made - 1}:latest`;
    const options = { image: { reference: name, root: store, platform: "linux/s390x", pull: "never" as const } };
    const error = await failureOf(() => Sandbox.run(["true"], options));
    expect([error.code, error.message]).toEqual(["image_not_found", expect.stringContaining("for linux/s390x")]);
  });
});

testUnless(noBusybox, "an image is held as long as its sandbox lives, and nothing is left of that", async () => {
  const name = await image();
  const locks = () => {
    const at = join(store, "layers");
    const held = readdirSync(at).filter((layer) => {
      const file = join(at, layer, "lock");
      return existsSync(file) && Bun.spawnSync(["flock", "-n", "-x", file, "true"]).exitCode !== 0;
    });
    return held.length;
  };
  // plans are kept, and their images are descriptors; the engine makes loops for itself when it first spawns something
  const ignored = /^\/memfd:|^anon_inode:\[event(fd|poll)\]/;
  const opened = () => [...descriptors().values()].filter((path) => !ignored.test(path)).toSorted();
  const before = opened();
  expect(locks()).toBe(0);
  const box = await Sandbox.create(of(name));
  expect(locks()).toBe(1);
  await box.stop();
  expect(locks()).toBe(0);
  {
    await using process = Sandbox.spawn(["sleep", "100"], of(name));
    expect([locks(), process.image?.reference]).toEqual([1, name]);
  }
  expect(locks()).toBe(0);
  await failureOf(() => Sandbox.run(["/no/such"], of(name)));
  await failureOf(() => Sandbox.run(["true"], of(name, { user: "nobody-at-all" })));
  await failureOf(() => Sandbox.create(of(name, { mounts: [{ type: "tmpfs", target: "/bin/busybox" }] })));
  expect(() => Sandbox.plan(["true"], of(name))).not.toThrow();
  expect(locks()).toBe(0);
  // which has spawned something, whose pipes the engine closes in a while
  await eventually(() => Bun.deepEquals(opened(), before));
  expect(opened()).toEqual(before);
  expect([descendants(), cgroups()]).toEqual([[], []]);
});

/** A store of one image that has an archive of busybox as its only layer, as `docker import` makes one. */
async function importedStore(): Promise<{ root: string; engine: Tsbox }> {
  const root = folder.directory(`imported-${made++}`);
  const archive = join(root, "busybox.tar");
  const packed = Bun.spawnSync(["tar", "--owner=0", "--group=0", "-cf", archive, "-C", busybox.path, "."]);
  expect(packed.exitCode).toBe(0);
  const engine = new Tsbox({ root: join(root, "store") });
  await engine.images.import(archive, { reference: "busy", changes: ["ENV PATH=/bin", "VOLUME /data"] });
  return { root: join(root, "store"), engine };
}

describe("what is written in a box", () => {
  const SCRIPT = "echo new > /new; chmod 600 /new; rm /bin/yes; echo x >> /etc/group; mkdir /dir; echo v > /data/v";

  testUnless(noBusybox, "is told, and becomes an image", async () => {
    const { root, engine } = await importedStore();
    using _engine = engine;
    const image = { reference: "busy", root, pull: "never" as const };
    await using box = await Sandbox.create({ image });
    await box.$`sh -c ${SCRIPT}`;
    const told = (await box.diff()).map(({ kind, path }) => `${kind} ${path}`);
    expect(told).toEqual(expect.arrayContaining(["A /new", "D /bin/yes", "C /etc/group", "A /dir", "A /data"]));
    expect(told.join(" ")).not.toContain("/data/v");
    const { id } = await box.commit("made:1", { author: "me", message: "why", changes: ['CMD ["cat", "/new"]'] });
    expect(box.paused).toBe(false);
    const [last] = await engine.images.history("made:1");
    expect(last).toMatchObject({ id, author: "me", comment: "why" });
    const run = (command: string[], options = {}) =>
      Sandbox.run(command, { image: { ...image, reference: "made:1" }, ...options });
    expect((await run([])).stdout).toBe("new\n");
    const seen = "stat -c '%u:%g %a' /new; ls /bin/yes; tail -n 1 /etc/group; stat -c %u /bin; ls /data";
    const { stdout, stderr } = await run(["sh", "-c", seen]);
    expect([stdout, stderr]).toEqual(["0:0 600\nx\n0\n", expect.stringContaining("/bin/yes: No such file")]);
    // the image that it was made over is as it was
    expect((await Sandbox.run(["ls", "/bin/yes"], { image })).exitCode).toBe(0);
  });

  testUnless(noBusybox, "its image is run as the box was: in its environment and directory, as its user", async () => {
    const { root, engine } = await importedStore();
    using _engine = engine;
    const image = { reference: "busy", root, pull: "never" as const };
    const configOf = async (name: string) => (await engine.images.inspect(name)).Config;
    await using box = await Sandbox.create({ image, env: { A: "1=2", B: undefined }, user: "7:8", cwd: "/bin" });
    await box.commit("asked:1");
    expect(await configOf("asked:1")).toMatchObject({ Env: ["PATH=/bin", "A=1=2"], User: "7:8", WorkingDir: "/bin" });
    const seen = await Sandbox.run(["sh", "-c", "id -u; id -g; pwd; echo $A"], {
      image: { ...image, reference: "asked:1" },
    });
    expect(seen.stdout).toBe("7\n8\n/bin\n1=2\n");
    // who says nothing changes nothing, and instructions come last
    await using plain = await Sandbox.create({ image });
    await plain.commit("same:1");
    expect(await configOf("same:1")).toEqual(await configOf("busy"));
    await box.commit("told:1", { changes: ["USER 9", "ENV A=3"] });
    expect(await configOf("told:1")).toMatchObject({ Env: ["PATH=/bin", "A=3"], User: "9" });
  });

  testUnless(noBusybox, "and all below it is an archive", async () => {
    const { root, engine } = await importedStore();
    using _engine = engine;
    await using box = await Sandbox.create({
      image: { reference: "busy", root },
      namespaces: asRoot ? { user: "auto" } : {},
    });
    await box.$`sh -c ${SCRIPT}`;
    const archive = join(root, "../exported.tar");
    await Bun.write(archive, new Response(await box.export()));
    const listed = Bun.spawnSync(["tar", "--numeric-owner", "-tvf", archive]).stdout.toString().split("\n");
    const names = listed.map((line) => line.split(/ +/).at(5));
    expect(names).toEqual(expect.arrayContaining(["new", "dir/", "bin/busybox", "data/"]));
    expect(names).not.toContain("bin/yes");
    expect(names).not.toContain("data/v");
    // the image's own and what was written, with the ids of the box
    expect(listed.filter((line) => line !== "" && !line.includes(" 0/0 "))).toEqual([]);
  });

  testUnless(noBusybox, "is not told of a box that is over, or made of something else", async () => {
    const name = await image();
    const box = await Sandbox.create(of(name));
    await box.stop();
    for (const asked of [() => box.diff(), () => box.commit(), () => box.export()])
      expect((await failureOf(asked)).code).toBe("sandbox_closed");
    await using other = await Sandbox.create({ rootfs: busybox.path });
    for (const asked of [() => other.diff(), () => other.commit("x"), () => other.export()])
      expect(await failureOf(asked)).toMatchObject({ code: "invalid_option", hint: expect.stringContaining("image") });
    await using kept = await Sandbox.create(of(name, { writableLayer: folder.directory(`kept-${made++}`) }));
    expect((await failureOf(() => kept.diff())).message).toContain("writableLayer");
  });

  test.each<[string, unknown[]]>([
    ["a name that is none", ["A B"]],
    ["a name that is a number", [7]],
    ["an unknown option", ["x", { squash: true }]],
    ["changes that are a text", ["x", { changes: "CMD x" }]],
    ["a change that is no instruction", ["x", { changes: ["NOTHING x"] }]],
  ])("is no image with %s", async (_, args) => {
    if (noBusybox) return;
    await using box = await Sandbox.create(of(await image()));
    const error = await failureOf(() => (box.commit as (...all: unknown[]) => Promise<unknown>)(...args));
    expect(error.code).toBeOneOf(["invalid_option", "reference_invalid"]);
  });
});

describe("an image that is not there", () => {
  testUnless(noBusybox ?? noRegistry, "is pulled by run and create, and not by spawn", async () => {
    await using registry = await startRegistry();
    const { engine } = await importedStore();
    using _engine = engine;
    const reference = `${registry.host}/busy:1`;
    await engine.images.tag("busy", reference);
    await engine.images.push(reference);
    const root = folder.directory(`pulled-${made++}`);
    const image = { reference, root };
    expect(() => Sandbox.spawn(["true"], { image })).toThrow("it is not in the store");
    expect((await failureOf(() => Sandbox.run(["true"], { image: { ...image, pull: "never" } }))).code).toBe(
      "image_not_found",
    );
    expect((await Sandbox.run(["echo", "pulled"], { image })).stdout).toBe("pulled\n");
    const asked = registry.log().length;
    await using box = await Sandbox.create({ image });
    expect(await box.$`echo box`.text()).toBe("box\n");
    // one that is there is not asked for
    expect(registry.log().length).toBe(asked);
    expect((await Sandbox.run(["echo", "again"], { image: { ...image, pull: "always" } })).stdout).toBe("again\n");
    expect(registry.log().length).toBeGreaterThan(asked);
    const missing = { image: { reference: `${registry.host}/no/such`, root } };
    for (const make of [() => Sandbox.run(["true"], missing), () => Sandbox.create(missing)])
      expect((await failureOf(make)).code).toBeOneOf(["image_not_found", "registry_denied"]);
  });

  testUnless(
    noBusybox ?? (Bun.which("skopeo") ? undefined : "skopeo is not installed"),
    "is unpacked where another tool brought it",
    async () => {
      const { root, engine } = await importedStore();
      using _engine = engine;
      const other = folder.directory(`brought-${made++}`);
      using target = new Tsbox({ root: other });
      expect(await target.images.list()).toEqual([]);
      const copied = Bun.spawnSync(
        [
          "skopeo",
          "--insecure-policy",
          "copy",
          `oci:${root}/oci:docker.io/library/busy:latest`,
          `oci:${other}/oci:brought`,
        ],
        { stderr: "pipe" },
      );
      expect([copied.exitCode, copied.stderr.toString()]).toEqual([0, ""]);
      const image = { reference: "brought", root: other, pull: "never" as const };
      expect((await Sandbox.run(["echo", "ran"], { image })).stdout).toBe("ran\n");
    },
  );
});

describe("tsbox run IMAGE", () => {
  const main = join(import.meta.dir, "../lib/cli/main.ts");
  const tsbox = (words: string[], env: Record<string, string> = {}) => {
    const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, main, ...words], {
      env: { PATH: process.env["PATH"], ...homeIn(folder.path), TSBOX_ROOT: store, ...env },
      stderr: "pipe",
    });
    return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
  };
  const run = (...words: string[]) => tsbox(["run", "--rm", "--pull", "never", ...words]);

  testUnless(noBusybox, "the image's command, or another, under flags", async () => {
    const name = await image({
      Entrypoint: ["echo", "entry"],
      Cmd: ["cmd"],
      Env: ["PATH=/bin", "A=1"],
      User: "app",
      WorkingDir: "/tmp",
    });
    expect(run(name)).toEqual({ status: 0, stdout: "entry cmd\n", stderr: "" });
    expect(run(name, "own", "-x", "--")).toEqual({ status: 0, stdout: "entry own -x --\n", stderr: "" });
    const script = ["-c", "id -un; pwd; echo $A"];
    expect(run("--entrypoint", "sh", name, ...script).stdout).toBe("app\n/tmp\n1\n");
    expect(run("--entrypoint", "", "-u", "0", "-w", "/", "-e", "A", name, "sh", ...script).stdout).toBe("root\n/\n\n");
    const elsewhere = { TSBOX_ROOT: join(folder.path, "no-store") };
    expect(tsbox(["--root", store, "run", "--rm", "--pull", "never", name], elsewhere).stdout).toBe("entry cmd\n");
    expect(tsbox(["plan", "run", "--pull", "never", name]).stdout).toContain("make a overlay for the root filesystem");
    expect(JSON.parse(tsbox(["plan", "run", "--spec", "--pull", "never", name]).stdout)).toMatchObject({
      process: { args: ["echo", "entry", "cmd"] },
    });
  });

  testUnless(noBusybox ?? noRegistry, "an image that is not there is pulled, and told of on stderr", async () => {
    await using registry = await startRegistry();
    const { engine } = await importedStore();
    using _engine = engine;
    const reference = `${registry.host}/busy:1`;
    await engine.images.tag("busy", reference);
    await engine.images.push(reference);
    const env = { TSBOX_ROOT: folder.directory(`cli-${made++}`) };
    const pulled = tsbox(["run", "--rm", reference, "echo", "pulled"], env);
    expect(pulled).toMatchObject({ status: 0, stdout: "pulled\n" });
    expect(pulled.stderr).toStartWith(`Pulling ${reference}\n`);
    expect(tsbox(["run", "--rm", reference, "echo", "there"], env)).toEqual({
      status: 0,
      stdout: "there\n",
      stderr: "",
    });
    expect(tsbox(["run", "--rm", "-q", "--pull", "always", reference, "echo", "quiet"], env)).toEqual({
      status: 0,
      stdout: "quiet\n",
      stderr: "",
    });
    const missing = tsbox(["run", "--rm", `${registry.host}/no/such`, "true"], env);
    expect([missing.status, missing.stdout]).toEqual([125, ""]);
  });

  testUnless(noBusybox, "a SIGTERM is what the image says", async () => {
    const name = await image({ StopSignal: "SIGUSR1" });
    const script = "trap 'echo told; exit 5' USR1; echo ready; while :; do sleep 0.02; done";
    const child = Bun.spawn([process.execPath, main, "run", "--rm", "--pull", "never", name, "sh", "-c", script], {
      env: { PATH: process.env["PATH"], TSBOX_ROOT: store },
      stdout: "pipe",
    });
    const reader = child.stdout.getReader();
    let text = new TextDecoder().decode((await reader.read()).value);
    child.kill("SIGTERM");
    for (let part; !(part = await reader.read()).done;) text += new TextDecoder().decode(part.value);
    expect([text, await child.exited]).toEqual(["ready\ntold\n", 5]);
  });

  test("a command in the place of an image gets a hint", () => {
    const { status, stderr } = run("true");
    expect(status).toBe(125);
    expect(stderr).toContain("No such image: true");
    expect(stderr).toContain('hint: for a command of the host: "tsbox run --rootfs host true …"');
    expect(run("/bin/sh", "-c", "true").stderr).toContain("--rootfs host /bin/sh");
    expect(run("no/such-image").stderr).not.toContain("--rootfs");
  });

  test.each([
    ["--entrypoint", "sh"],
    ["--pull", "always"],
    ["--platform", "linux/arm64"],
  ])("%s means nothing with --rootfs", (flag, value) => {
    const { status, stderr } = tsbox(["run", "--rootfs", "host", flag, value, "true"]);
    expect([status, stderr]).toEqual([
      125,
      expect.stringContaining(`use ${flag} "${value}": there is no image with --rootfs`),
    ]);
  });

  test("an unknown way to pull is a mistake", () => {
    expect(tsbox(["run", "--rm", "--pull", "sometimes", "x"]).stderr).toContain(
      'use --pull "sometimes": not understood',
    );
  });
});
