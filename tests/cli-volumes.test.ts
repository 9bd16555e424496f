/** Volumes from outside: `tsbox volume …`, and what `-v` and `--mount` come to in containers. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { imageIds } from "../lib/launch/index.ts";
import { CommandLine } from "./support/command-line.ts";
import { makeImage } from "./support/images.ts";
import { asRoot, noBusybox, notRoot, SLOW, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";
import { makeRootfs } from "./support/rootfs.ts";

const TIMEOUT_MS = 60_000 * SLOW;

let made: CommandLine;
beforeAll(async () => {
  made = await CommandLine.open();
  using busybox = makeRootfs();
  const fill = (layer: string) => {
    cpSync(busybox.path, layer, { recursive: true, verbatimSymlinks: true });
    mkdirSync(join(layer, "srv/data/sub"), { recursive: true });
    writeFileSync(join(layer, "srv/data/file"), "of the image\n");
    // where it leads to on the host nobody is led
    symlinkSync(made.folder.path, join(layer, "srv/out"));
  };
  await makeImage(made.root, "docker.io/library/full:latest", [fill], {
    Cmd: ["sh"],
    Env: ["PATH=/bin"],
    Volumes: { "/srv/data": {} },
  });
});
afterAll(() => made?.[Symbol.asyncDispose](), TIMEOUT_MS);

const tsbox = (...words: string[]) => made.tsbox(...words);
const said = (...words: string[]) => made.said(...words);
const cliTest = (name: string, body: () => void | Promise<void>) => test(name, body, TIMEOUT_MS);
const boxTest = (name: string, body: () => void | Promise<void>) => testUnless(noBusybox, name, body, TIMEOUT_MS);
const refused = (message: string, status = 1) => ({ status, stdout: "", stderr: `tsbox: ${message}\n` });
const pathOf = (name: string, ...more: string[]) => join(made.root, "volumes", name, "_data", ...more);

/** An ordinary user without subordinate ids: all of a container is one user's. */
const hasOneId = !asRoot && imageIds() === undefined;

/** Two layers, of which the upper one hides something of the lower. */
async function layered(): Promise<void> {
  const write = (layer: string, path: string, text: string) => {
    mkdirSync(join(layer, path, ".."), { recursive: true });
    writeFileSync(join(layer, path), `${text}\n`);
  };
  await makeImage(made.root, "docker.io/library/layered:latest", [
    (layer) => {
      write(layer, "a/file", "below");
      write(layer, "b/file", "below");
      write(layer, "closed/old", "below");
    },
    (layer) => {
      write(layer, "a/file", "top");
      write(layer, "closed/new", "top");
      Bun.spawnSync(["setfattr", "-n", "user.overlay.opaque", "-v", "y", join(layer, "closed")]);
    },
  ]);
}

let count = 0;
const newName = () => `v${count++}-x`;
/** Runs a script to its end in a container that stays. @returns its id */
function ended(image: string, script: string, ...flags: string[]): string {
  const id = said("create", ...flags, image, "sh", "-c", script);
  said("start", id);
  expect([script, said("wait", id)]).toEqual([script, "0"]);
  return id;
}
/** What a container wrote to where the host sees it: in a volume. */
const told = (name: string) => readFileSync(pathOf(name, "told"), "utf8");

describe("volume create", () => {
  cliTest("prints the name, and makes one up", () => {
    expect(said("volume", "create", "first")).toBe("first");
    expect(statSync(pathOf("first")).isDirectory()).toBe(true);
    expect(said("volume", "create")).toMatch(/^[0-9a-f]{64}$/);
  });

  cliTest("gives the same one again, unless its options are others", () => {
    said("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "again");
    expect(said("volume", "create", "again")).toBe("again");
    expect(said("volume", "create", "-o", "device=tmpfs", "-o", "type=tmpfs", "again")).toBe("again");
    expect(tsbox("volume", "create", "-o", "type=tmpfs", "-o", "device=other", "again")).toEqual(
      refused("create again: conflict: volume name must be unique: there is one with other options"),
    );
  });

  test.each([
    [["x"], "create x: volume name is too short, names should be at least two alphanumeric characters"],
    [
      ["../up"],
      'create ../up: "../up" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path',
    ],
    [["-o", "color=red", "painted"], 'create painted: invalid option: "color"'],
    [["-o", "type=nfs", "remote"], 'create remote: missing required option: "device"'],
    [["-o", "o=ro", "remote"], 'create remote: missing required option: "device"'],
    [["-o", "size=big", "sized"], 'create sized: invalid size: "big"'],
  ])("%j is refused", (words, message) => {
    const { status, stderr } = tsbox("volume", "create", ...words);
    expect([status, stderr]).toEqual([1, `tsbox: ${message}\n`]);
  });

  cliTest("limits the size where the file system can, or says that it cannot", () => {
    const { status, stdout, stderr } = tsbox("volume", "create", "-o", "size=1m", "limited");
    if (status === 0) {
      expect(stdout).toBe("limited\n");
      expect(() => writeFileSync(pathOf("limited", "big"), new Uint8Array(2_000_000))).toThrow("EDQUOT");
      said("volume", "rm", "limited");
    } else {
      expect(stderr).toStartWith("tsbox: create limited: quota size requested but no quota support\n  hint: ");
      expect(said("volume", "ls", "-qf", "name=limited")).toBe("");
    }
  });

  cliTest("knows one driver", () => {
    const { status, stderr } = tsbox("volume", "create", "-d", "flocker", "driven");
    expect([status, stderr]).toEqual([
      1,
      expect.stringContaining('create driven: error looking up volume plugin flocker: plugin "flocker" not found\n'),
    ]);
  });
});

describe("volume ls and inspect", () => {
  cliTest("show what there is", async () => {
    await using own = await CommandLine.open();
    expect(own.said("volume", "ls")).toBe("DRIVER    VOLUME NAME");
    own.said("volume", "create", "--label", "tier=web", "--label", "old", "blue");
    own.said("volume", "create", "red");
    expect(own.said("volume", "ls").split("\n")).toEqual(["DRIVER    VOLUME NAME", "local     blue", "local     red"]);
    expect(own.said("volume", "ls", "-q")).toBe("blue\nred");
    expect(own.said("volume", "ls", "--format", "{{.Name}} {{.Labels}} {{.Scope}}")).toBe(
      "blue old=,tier=web local\nred  local",
    );
    for (const [filter, names] of [
      ["label=tier", "blue"],
      ["label=tier=web", "blue"],
      ["label=tier=db", ""],
      ["name=re", "red"],
      ["driver=local", "blue\nred"],
      ["dangling=true", "blue\nred"],
      ["dangling=false", ""],
    ] as const)
      expect([filter, own.said("volume", "ls", "-qf", filter)]).toEqual([filter, names]);
    expect(own.tsbox("volume", "ls", "-f", "size=1").stderr).toContain("invalid filter 'size'");
    const [found] = JSON.parse(own.said("volume", "inspect", "blue")) as [Record<string, unknown>];
    expect(found).toEqual({
      CreatedAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      Driver: "local",
      Labels: { old: "", tier: "web" },
      Mountpoint: join(own.root, "volumes/blue/_data"),
      Name: "blue",
      Options: null,
      Scope: "local",
    });
    expect(own.said("inspect", "--type", "volume", "-f", "{{.Name}}", "red")).toBe("red");
    expect(own.said("volume", "inspect", "-f", "{{.Labels}} {{.Options}}", "blue")).toBe("map[old: tier:web] map[]");
    expect(own.tsbox("volume", "inspect", "green")).toEqual({
      status: 1,
      stdout: "[]\n",
      stderr: "tsbox: get green: no such volume\n",
    });
  });
});

describe("volume rm and prune", () => {
  boxTest("one that a container has stays", () => {
    const [name, container] = [newName(), newName()];
    said("create", "--name", container, "-v", `${name}:/data`, "busy");
    const id = said("inspect", "-f", "{{.Id}}", container);
    expect(tsbox("volume", "rm", name)).toEqual(refused(`remove ${name}: volume is in use - [${id}]`));
    expect(said("volume", "ls", "-qf", "dangling=false")).toContain(name);
    said("rm", container);
    expect(said("volume", "rm", name)).toBe(name);
    expect(existsSync(join(made.root, "volumes", name))).toBe(false);
    expect(tsbox("volume", "rm", name)).toEqual(refused(`get ${name}: no such volume`));
    expect(tsbox("volume", "rm", "-f", name).status).toBe(0);
  });

  boxTest("prune takes those without a name, and all of them with -a", async () => {
    await using own = await CommandLine.open();
    own.said("volume", "create", "--label", "keep", "kept");
    own.said("volume", "create", "named");
    const anonymous = own.said("volume", "create");
    own.said("create", "--name", "user", "-v", "used:/data", "-v", "/own", "busy");
    const pruned = own.said("volume", "prune", "-f");
    expect(pruned).toBe(`Deleted Volumes:\n${anonymous}\n\nTotal reclaimed space: 0B`);
    expect(own.said("volume", "prune", "-af", "--filter", "label!=keep")).toContain("Deleted Volumes:\nnamed\n");
    expect(own.said("volume", "ls", "-q").split("\n")).toEqual([
      expect.stringMatching(/^[0-9a-f]{64}$/),
      "kept",
      "used",
    ]);
    expect(own.tsbox("volume", "prune").stdout).toBe(
      "WARNING! This will remove all anonymous local volumes not used by at least one container.\nAre you sure you want to continue? [y/N] ",
    );
  });
});

describe("containers", () => {
  boxTest("keep in a volume what others then find there", () => {
    const name = newName();
    const own = hasOneId ? "0:0" : "7:8";
    ended("busy", `echo one >/data/file; chown ${own} /data/file`, "-v", `${name}:/data`);
    ended("busy", "{ cat /data/file; stat -c %u:%g /data/file; } >/data/told", "-v", `${name}:/data`, "-u", "0");
    expect(told(name)).toStartWith("one\n");
    expect(told(name)).toBe(`one\n${own}\n`);
  });

  boxTest("fill a new volume with what the image has there, once", () => {
    const name = newName();
    ended("full", "cat /srv/data/file >/srv/data/told; rm /srv/data/file", "-v", `${name}:/srv/data`);
    expect(told(name)).toBe("of the image\n");
    ended("full", "test ! -e /srv/data/file", "-v", `${name}:/srv/data`);
    const empty = newName();
    ended("full", "test ! -e /srv/data/file", "-v", `${empty}:/srv/data:nocopy`);
  });

  boxTest("do not follow a symlink of the image out of it", () => {
    made.folder.write("secret", "of the host");
    const name = newName();
    said("create", "-v", `${name}:/srv/out`, "full");
    expect(readdirSync(pathOf(name))).toEqual([]);
  });

  boxTest("have a volume for each of the image's, which goes with --rm and rm -v alone", async () => {
    const id = ended("full", "echo mine >/srv/data/file");
    const name = said("inspect", "-f", "{{(index .Mounts 0).Name}}", id);
    expect(name).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(pathOf(name, "file"), "utf8")).toBe("mine\n");
    said("rm", id);
    expect(existsSync(pathOf(name))).toBe(true);
    said("volume", "rm", name);
    const other = ended("full", "true");
    const gone = said("inspect", "-f", "{{(index .Mounts 0).Name}}", other);
    said("rm", "-v", other);
    expect(existsSync(join(made.root, "volumes", gone))).toBe(false);
  });

  boxTest("have those of another one, which go with whoever is the last to have them", () => {
    const first = newName();
    said("create", "--name", first, "-v", "/own", "busy");
    const anonymous = said("inspect", "-f", "{{(index .Mounts 0).Name}}", first);
    const last = said("create", "--volumes-from", first, "busy");
    const named = said("create", "-v", `${anonymous}:/named`, "busy");
    said("rm", "-v", first);
    said("rm", "-v", named);
    expect(existsSync(pathOf(anonymous))).toBe(true);
    said("rm", "-v", last);
    expect(existsSync(join(made.root, "volumes", anonymous))).toBe(false);
  });

  boxTest("have those of another one, as they are or read-only", () => {
    const [name, first] = [newName(), newName()];
    said("create", "--name", first, "-v", `${name}:/data`, "-v", `${made.folder.directory("shared")}:/shared`, "busy");
    ended("busy", "echo two >/data/told; touch /shared/seen", "--volumes-from", first);
    expect(told(name)).toBe("two\n");
    expect(existsSync(join(made.folder.path, "shared/seen"))).toBe(true);
    ended("busy", "! touch /data/x && ! touch /shared/x", "--volumes-from", `${first}:ro`);
    expect(tsbox("create", "--volumes-from", `${first}:rx`, "busy").stderr).toContain("invalid mode: rx");
    expect(tsbox("create", "--volumes-from", "nobody", "busy").stderr).toContain("No such container: nobody");
  });

  boxTest("have a directory in a volume, out of which no symlink leads", () => {
    const name = newName();
    const outside = made.folder.directory("outside");
    ended(
      "busy",
      `mkdir /data/in; echo in >/data/in/file; ln -s ${outside} /data/out; ln -s in /data/link`,
      "-v",
      `${name}:/data`,
    );
    const mount = (subpath: string) => ["--mount", `type=volume,src=${name},dst=/sub,volume-subpath=${subpath}`];
    ended("busy", "test $(cat /sub/file) = in", ...mount("link"));
    const id = said("create", ...mount("out"), "busy", "true");
    expect(tsbox("start", id).stderr).toContain(`open "out" in`);
    expect(tsbox("create", ...mount("../up"), "busy").stderr).toContain("subpath");
  });

  boxTest("give all files to their user with :U, and leave labels alone where there are none", () => {
    const [name, source] = [newName(), made.folder.directory("given")];
    made.folder.write("given/deep/file");
    made.folder.write("not-given");
    symlinkSync("../not-given", join(source, "link"));
    const script = "stat -c %u:%g /given /given/deep /given/deep/file >/data/told";
    ended("busy", script, "-v", `${source}:/given:U,z`, "-v", `${name}:/data`, "-u", "0");
    expect(told(name)).toBe("0:0\n0:0\n0:0\n");
    if (hasOneId) return;
    using _ = { [Symbol.dispose]: () => void ended("busy", "true", "-v", `${source}:/given:U`, "-u", "0") };
    ended(
      "busy",
      "stat -c %u:%g /given /given/deep /given/deep/file >/data/told",
      "-v",
      `${source}:/given:U`,
      "-v",
      `${name}:/data:U`,
      "-u",
      "app",
    );
    expect(told(name)).toBe("1000:1001\n1000:1001\n1000:1001\n");
    expect(statSync(join(made.folder.path, "not-given")).uid).toBe(process.geteuid?.() ?? 0);
    const file = made.folder.write("one-file");
    ended("busy", "true", "-v", `${file}:/file:U`, "-u", "app");
    expect(statSync(file).uid).toBe(statSync(join(source, "deep/file")).uid);
    const system = said("create", "-v", "/usr:/usr-too:U", "busy", "true");
    expect(tsbox("start", system).stderr).toContain('change the owner of "/usr": it is of the system');
  });

  boxTest("make a source with -v, and not with --mount", () => {
    const source = join(made.folder.path, newName());
    expect(tsbox("create", "--mount", `type=bind,src=${source},dst=/data`, "busy").stderr).toContain(
      `invalid mount config for type "bind": bind source path does not exist: ${source}`,
    );
    ended("busy", "test -d /data", "-v", `${source}:/data`);
    expect(existsSync(source)).toBe(true);
  });

  boxTest("refuse two mounts on one place", () => {
    expect(tsbox("create", "-v", "one:/data", "--tmpfs", "/data", "busy").stderr).toContain(
      "Duplicate mount point: /data",
    );
  });

  boxTest("have names of hosts, and of who knows others", () => {
    const name = newName();
    const files = "cat /etc/hosts /etc/hostname /etc/resolv.conf >/data/told";
    const flags = [
      "--add-host",
      "db:10.0.0.2",
      "--dns",
      "10.0.0.3",
      "--dns-search",
      "a.test",
      "--dns-option",
      "ndots:2",
    ];
    ended("busy", files, "-v", `${name}:/data`, "-h", "box", ...flags);
    expect(told(name)).toContain("10.0.0.2\tdb\n");
    expect(told(name)).toContain("127.0.0.1\tlocalhost\n");
    expect(told(name)).toEndWith("box\nnameserver 10.0.0.3\nsearch a.test\noptions ndots:2\n");
    const view = said("run", "-h", "box", ...flags, "--rootfs", "host", "cat", "/etc/hosts", "/etc/resolv.conf");
    expect(view).toContain("10.0.0.2\tdb\n");
    expect(view).toEndWith("nameserver 10.0.0.3\nsearch a.test\noptions ndots:2");
    const own = made.folder.write("hosts", "mine\n");
    ended("busy", "test $(cat /etc/hosts) = mine", "-v", `${own}:/etc/hosts`);
    expect(tsbox("create", "--add-host", "db", "busy").stderr).toContain('bad format for add-host: "db"');
    expect(tsbox("create", "--add-host", "db:1.2.3", "busy").stderr).toContain(
      'invalid IP address in add-host: "1.2.3"',
    );
    expect(tsbox("create", "--add-host", "up:host-gateway", "busy").stderr).toContain("does not lead to the host");
  });

  boxTest("share the network of another one", () => {
    const [first, name] = [newName(), newName()];
    const address = "ifconfig lo 127.0.0.9 2>/dev/null; readlink /proc/self/ns/net >/data/first; sleep 1000";
    said("run", "-d", "--name", first, "-v", `${name}:/data`, "busy", "sh", "-c", address);
    ended("busy", "readlink /proc/self/ns/net >/data/told", "-v", `${name}:/data`, "--network", `container:${first}`);
    expect(told(name)).toBe(readFileSync(pathOf(name, "first"), "utf8"));
    said("rm", "-f", first);
    const late = said("create", "--name", newName(), "--network", `container:${first}`, "busy", "true");
    expect(tsbox("start", late).stderr).toContain(`No such container: ${first}`);
  });
});

describe("images that are mounted", () => {
  boxTest("are what they are, read-only, all of it or a directory", async () => {
    const name = newName();
    await layered();
    const script = "{ cat /i/a/file /i/b/file /s/file; ls /i /i/closed; } >/data/told; ! touch /i/x 2>/dev/null";
    const mounts = [
      "--mount",
      "type=image,src=layered,dst=/i",
      "--mount",
      "type=image,src=layered,dst=/s,image-subpath=a",
    ];
    ended("busy", script, "-v", `${name}:/data`, ...mounts);
    expect(told(name)).toBe("top\nbelow\ntop\n/i:\na\nb\nclosed\n\n/i/closed:\nnew\n");
    const one = newName();
    ended("busy", "cat /i/srv/data/file >/data/told", "-v", `${one}:/data`, "--mount", "type=image,src=full,dst=/i");
    expect(told(one)).toBe("of the image\n");
    const missing = tsbox("create", "--mount", "type=image,src=nowhere,dst=/i", "busy");
    expect(missing.stderr).toContain("No such image: nowhere");
    const up = said("create", "--mount", "type=image,src=full,dst=/i,image-subpath=srv/out", "busy", "true");
    expect(tsbox("start", up).stderr).toContain('open "srv/out" of the image');
  });

  boxTest("are not removed as long as there is a container that has them, and stay what they were", async () => {
    const name = newName();
    const image = await made.image();
    said("create", "--name", name, "--mount", `type=image,src=${image},dst=/i`, "busy", "sleep", "1000");
    expect(tsbox("rmi", image).stderr).toContain("is using its referenced image");
    said("start", name);
    await layered();
    // its name goes to another one, which has no programs
    said("tag", "layered", image);
    said("image", "prune", "-f");
    said("restart", "-t", "0", name);
    said("exec", name, "test", "-e", "/i/bin/busybox");
    said("rm", "-f", name);
    expect(tsbox("rmi", image)).toMatchObject({ status: 0, stderr: "" });
  });
});

describe("volumes with a file system of their own", () => {
  boxTest("a directory of the host is bound", () => {
    const [name, source] = [newName(), made.folder.directory("bound")];
    said("volume", "create", "-o", "type=none", "-o", "o=bind,ro", "-o", `device=${source}`, name);
    made.folder.write("bound/file", "there");
    ended("busy", "test $(cat /data/file) = there && ! touch /data/x", "-v", `${name}:/data`);
  });

  testUnless(
    notRoot,
    "a tmpfs is that of all containers that run, and is gone after them",
    async () => {
      const [name, first] = [newName(), newName()];
      said("volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "-o", "o=size=1m,mode=700", name);
      const mounted = () => readFileSync("/proc/self/mountinfo", "utf8").includes(pathOf(name));
      said("run", "-d", "--name", first, "-v", `${name}:/data`, "busy", "sh", "-c", "echo hi >/data/file; sleep 1000");
      ended(
        "busy",
        "until test -s /data/file; do sleep 0.1; done; ! head -c 2000000 /dev/zero >/data/big",
        "-v",
        `${name}:/data`,
      );
      expect(mounted()).toBe(true);
      said("rm", "-f", first);
      expect(mounted()).toBe(false);
      said("run", "-d", "-v", `${name}:/data`, "busy", "touch", "/data/x");
      expect(await eventually(() => !mounted(), TIMEOUT_MS)).toBe(true);
      expect(readdirSync(pathOf(name))).toEqual([]);
    },
    TIMEOUT_MS,
  );

  testUnless(
    notRoot,
    "one that cannot be mounted says why",
    () => {
      const name = newName();
      said("volume", "create", "-o", "type=nosuchfs", "-o", "device=none", name);
      const id = said("create", "-v", `${name}:/data`, "busy", "true");
      expect(tsbox("start", id).stderr).toContain("failed to mount local volume: mount none:");
    },
    TIMEOUT_MS,
  );
});
