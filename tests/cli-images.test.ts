/** The verbs of images, from outside: tables, templates, exit statuses, a real registry, a terminal, hostile names. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { imageFilters, pruneFilters } from "../lib/cli/images/filters.ts";
import { historyTable } from "../lib/cli/images/history.ts";
import { humanDuration, humanSize } from "../lib/cli/images/human.ts";
import { globOf } from "../lib/images/glob.ts";
import { LayerLines } from "../lib/cli/images/layer-lines.ts";
import { sharedBytes } from "../lib/cli/system/disk-usage.ts";
import { aligned, widthOf } from "../lib/cli/images/table.ts";
import { safeText, safeWord } from "../lib/cli/safe-text.ts";
import type { LayerEvent } from "../lib/images/index.ts";
import { homeIn } from "./support/home.ts";
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";
import { eventually } from "./support/processes.ts";
import { noRegistry, startRegistry, type TestRegistry } from "./support/registry.ts";
import { Folder } from "./support/rootfs.ts";

const MAIN = [process.execPath, join(import.meta.dir, "../lib/cli/main.ts")];
const folder = new Folder();
const TIMEOUT_MS = 60_000 * SLOW;
const ESC = "\x1b";
const HOSTILE = `${ESC}]0;owned\x07${ESC}[2Jx\x9b31m`;
const digest = (digit: string): LayerEvent["digest"] => `sha256:${digit.repeat(64)}`;

interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

const environment = (store: string) => ({
  PATH: process.env["PATH"],
  ...homeIn(folder.path),
  DOCKER_CONFIG: join(folder.path, "docker"),
  TSBOX_ROOT: join(folder.path, store),
  TZ: "UTC",
});

/** Each test has a store of its own. */
function tsboxIn(store: string, stdin?: string) {
  return async (...words: string[]): Promise<Ended> => {
    const child = Bun.spawn([...MAIN, ...words], {
      cwd: folder.path,
      env: environment(store),
      stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    return { status, stdout, stderr };
  };
}

/** Somebody at a terminal who types one command. */
function sit(store: string, words: string[], { cols = 60, rows = 12, typed = "" } = {}) {
  let text = "";
  const child = Bun.spawn([...MAIN, ...words], {
    cwd: folder.path,
    env: environment(store),
    terminal: { cols, rows, data: (_, chunk) => void (text += new TextDecoder("latin1").decode(chunk)) },
  });
  if (typed !== "") child.terminal?.write(typed);
  return { child, shown: () => text };
}

/** What is to be imported: the files of a small image, and some that do not compress. */
beforeAll(() => {
  folder.write("fs/etc/motd", "hello\n");
  writeFileSync(join(folder.path, "fs/noise"), crypto.getRandomValues(new Uint8Array(60_000)));
  const tar = Bun.spawnSync([
    "tar",
    "-C",
    join(folder.path, "fs"),
    "--owner=0",
    "--group=0",
    "-cf",
    join(folder.path, "fs.tar"),
    ".",
  ]);
  expect(tar.exitCode).toBe(0);
});
afterAll(() => folder.remove());

const CHANGES = [
  "-c",
  'CMD ["sh", "-c", "id"]',
  "-c",
  'LABEL a=one "b.c"="two words"',
  "-c",
  "ENV A=1 B=2",
  "-c",
  "EXPOSE 80",
];
const importInto = async (store: string, ...rest: string[]) => {
  const ended = await tsboxIn(store)("import", ...CHANGES, "-m", "made", "fs.tar", ...rest);
  expect(ended).toMatchObject({ status: 0, stderr: "" });
  return ended.stdout.trim();
};

describe("people read", () => {
  test.each([
    [0, "0B", "0B"],
    [999, "999B", "999B"],
    [1000, "1kB", "1kB"],
    [1234, "1.23kB", "1.234kB"],
    [77_812_345, "77.8MB", "77.81MB"],
    [999_999, "1MB", "1MB"],
    [1.5e9, "1.5GB", "1.5GB"],
  ])("%d bytes as %s", (bytes, three, four) => {
    expect([humanSize(bytes), humanSize(bytes, 4)]).toEqual([three, four]);
  });
  test.each([
    [0.5, "Less than a second"],
    [1, "1 second"],
    [59, "59 seconds"],
    [61, "About a minute"],
    [3599, "59 minutes"],
    [3600, "About an hour"],
    [47 * 3600, "47 hours"],
    [13 * 86400, "13 days"],
    [14 * 86400, "2 weeks"],
    [61 * 86400, "2 months"],
    [730 * 86400, "2 years"],
  ])("%d seconds as %s", (seconds, text) => {
    expect(humanDuration(seconds * 1000)).toBe(text);
  });
  test("columns as wide as what is in them, and three more", () => {
    expect(aligned("A\tBBBBBBBBBBBB\tC\nlonger cell\tb\tc\n")).toBe(
      "A             BBBBBBBBBBBB   C\nlonger cell   b              c\n",
    );
  });
  test("a history, with times and sizes for people or not", () => {
    const step = { created: "2025-01-01T00:00:00Z", author: "", diffId: undefined, names: [] };
    const steps = [
      { ...step, id: digest("a"), createdBy: `RUN ${"x".repeat(60)}`, comment: "c", sizeBytes: 0 },
      { ...step, id: undefined, createdBy: "a\tb", comment: "", sizeBytes: 1234 },
    ];
    const now = new Date("2025-01-15T00:00:00Z");
    expect(historyTable(steps, {}, now)).toBe(
      "IMAGE          CREATED       CREATED BY                                      SIZE      COMMENT\n" +
        "aaaaaaaaaaaa   2 weeks ago   RUN xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…   0B        c\n" +
        "<missing>      2 weeks ago   a b                                             1.23kB    \n",
    );
    expect(historyTable(steps, { quiet: true, trunc: false }, now)).toBe(`${digest("a")}\n<missing>\n`);
    expect(historyTable(steps, { human: false, format: "{{.Size}} {{.CreatedBy}}", trunc: false }, now)).toEndWith(
      "1234 a b\n",
    );
  });
  test("layers that images share are those that are the same from the bottom up", () => {
    const layers = (...chains: string[]) => chains.map((chain) => ({ chain, bytes: 10 }));
    expect(sharedBytes([layers("a", "ab"), layers("a", "ac"), layers("b")])).toEqual([10, 10, 0]);
  });
});

describe("filters", () => {
  test("are those of Docker", () => {
    expect(imageFilters(["dangling=true", "label=a", "label=b=c", "reference=x*", "before=y", "until=24h"])).toEqual({
      dangling: true,
      label: ["a", "b=c"],
      reference: ["x*"],
      before: "y",
      until: "24h",
    });
    expect(pruneFilters(["until=1h", "label!=keep", "label=a=b"])).toEqual({
      until: "1h",
      label: ["a=b"],
      notLabel: ["keep"],
    });
  });
  test.each([["nothing"], ["nope=1"], ["dangling=maybe"]])("%s is none", (filter) => {
    expect(() => imageFilters([filter])).toThrow(`use --filter ${JSON.stringify(filter)}`);
  });
});

describe("patterns of names", () => {
  test.each([
    ["debian", "debian", true],
    ["deb*", "debian", true],
    ["deb*", "debian/x", false],
    ["*/x:v?", "debian/x:v1", true],
    ["*", "", true],
    ["[a-c]x[^d]", "bxe", true],
    ["[a-c]x[^d]", "bxd", false],
    ["a\\*", "a*", true],
    ["a\\*", "ab", false],
    ["*a*b", "xaxbxb", true],
    ["*a*b", "xaxbxc", false],
  ])("%s and %s: %p", (pattern, name, matches) => {
    expect(globOf(pattern)?.(name)).toBe(matches);
  });
  test.each([["[a"], ["[]"], ["a\\"], ["[a-]"]])("%s is none", (pattern) => {
    expect(globOf(pattern)).toBeUndefined();
  });
  test("are not slow, whatever they are", () => {
    const started = performance.now();
    expect(globOf(`${"*a".repeat(2000)}b`)?.("a".repeat(20_000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(5000 * SLOW);
  });
});

describe("lines of layers", () => {
  const downloading = (digit: string, bytes: number): LayerEvent => {
    return { type: "layer", digest: digest(digit), state: "downloading", bytes, totalBytes: 100_000_000 };
  };
  test("have a bar and a speed, and less where there is no place", () => {
    const lines = new LayerLines("pull");
    expect(lines.update(downloading("a", 0), 0)).toBe("aaaaaaaaaaaa: Downloading");
    expect(lines.update(downloading("a", 50_000_000), 1000)).toBeUndefined();
    expect(lines.lines(80, 10)).toEqual([
      "aaaaaaaaaaaa: Downloading  [=============>             ]  50MB/100MB  50MB/s".replace(/\[.*\]/, () =>
        barOf(lines.lines(80, 10)[0] ?? ""),
      ),
    ]);
    expect(barOf(lines.lines(80, 10)[0] ?? "")).toMatch(/^\[=+> +\]$/);
    expect(lines.lines(46, 10)).toEqual(["aaaaaaaaaaaa: Downloading  50MB/100MB  50MB/s"]);
    for (let cols = 1; cols < 200; cols++)
      for (const line of lines.lines(cols, 10)) expect(widthOf(line)).toBeLessThan(Math.max(cols, 1));
  });
  const barOf = (line: string) => /\[.*\]/.exec(line)?.[0] ?? "";
  test("are never more than the terminal has, and what is done makes place", () => {
    const lines = new LayerLines("pull");
    for (const digit of "0123456789abcdef")
      lines.update({ type: "layer", digest: digest(digit), state: "complete" }, 0);
    lines.update(downloading("3", 1), 0);
    for (let rows = 0; rows < 20; rows++) expect(lines.lines(80, rows).length).toBeLessThanOrEqual(rows);
    expect(lines.lines(80, 3)).toEqual([
      expect.stringContaining("333333333333: Downloading"),
      "ffffffffffff: Pull complete",
      "14 more layers, 14 of them complete",
    ]);
    expect(lines.finalLines(80)).toHaveLength(16);
  });
});

test("text of others does not act on a terminal", () => {
  expect(safeWord(`a\n${HOSTILE}\u202e`)).toBe("a\\n\\x1b]0;owned\\x07\\x1b[2Jx\\x9b31m\\u202e");
  expect(safeText("a\n\tb\r")).toBe("a\n\tb\\x0d");
});

describe("images that are here", () => {
  const here = (name: string, body: () => Promise<void>) => testUnless(noBusybox, name, body, TIMEOUT_MS);

  here("are listed, inspected, named and removed", async () => {
    const tsbox = tsboxIn("here");
    const id = await importInto("here", "demo:v1");
    const short = id.slice(7, 19);
    expect(await tsbox("tag", "demo:v1", "other/name")).toEqual({ status: 0, stdout: "", stderr: "" });
    const { stdout } = await tsbox("images");
    expect(
      stdout.replaceAll(/(Less than a second|\d+ seconds?) ago +/g, "NOW   ").replaceAll(/CREATED +/g, "CREATED   "),
    ).toMatch(
      new RegExp(
        `^REPOSITORY +TAG +IMAGE ID +CREATED +SIZE\ndemo +v1 +${short} +NOW +\\S+kB\nother/name +latest +${short} +NOW +\\S+kB\n$`,
      ),
    );
    const said = async (...words: string[]) => (await tsbox(...words)).stdout;
    expect(await said("images", "-q", "--no-trunc", "demo")).toBe(`${id}\n`);
    expect(await said("images", "-q", "--no-trunc=true", "demo")).toBe(`${id}\n`);
    expect(await said("images", "-q", "--no-trunc=false", "demo")).toBe(`${short}\n`);
    expect(await said("images", "-q", "--format", "", "demo")).toBe(await said("images", "-q", "demo"));
    expect(await said("image", "ls", "--filter", "reference=oth*/*", "--format", "{{.Repository}}:{{.Tag}}")).toBe(
      "other/name:latest\n",
    );
    expect(await said("images", "--filter", "label=b.c=two words", "--filter", "dangling=false", "-q")).toBe(
      `${short}\n${short}\n`,
    );
    expect(await said("images", "--filter", "label=none", "-q")).toBe("");
    expect(await said("images", "--format", "table {{.Tag|upper}}\\t{{.ID}}", "demo")).toBe(
      `TAG       IMAGE ID\nV1        ${short}\n`,
    );
    const [line = ""] = (await said("images", "--format", "json")).split("\n");
    expect(JSON.parse(line)).toMatchObject({ ID: short, Repository: "demo", Tag: "v1", Digest: "<none>" });
    expect(JSON.parse(await said("inspect", short))).toMatchObject([
      {
        Id: id,
        RepoTags: ["demo:v1", "other/name:latest"],
        Config: { Cmd: ["sh", "-c", "id"], ExposedPorts: { "80/tcp": {} } },
      },
    ]);
    expect(
      await said(
        "image",
        "inspect",
        "-f",
        '{{index .Config.Labels "b.c"}} {{range .Config.Env}}{{.}};{{end}}',
        "demo:v1",
      ),
    ).toBe("two words A=1;B=2;\n");
    // flags may stand behind, as Docker takes them
    expect(await said("inspect", "demo:v1", "--format={{.Os}}")).toBe("linux\n");
    expect(await said("history", "demo:v1", "--format", "{{.Comment}}|{{.ID}}")).toBe(`made|${short}\n`);
    expect(await tsbox("inspect", "none", "demo:v1", "-f", "{{.Id}}")).toMatchObject({
      status: 1,
      stdout: `${id}\n`,
      stderr: expect.stringContaining("No such object: none"),
    });
    expect(await tsbox("rmi", "demo:v1", "none")).toMatchObject({ status: 1, stdout: "Untagged: demo:v1\n" });
    expect((await tsbox("image", "rm", "other/name")).stdout).toStartWith(
      `Untagged: other/name:latest\nDeleted: ${id}\n`,
    );
    expect(await tsbox("rmi", "-f", "none")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect(await said("images", "-q")).toBe("");
  });

  here("are saved and loaded, by file and by pipe", async () => {
    const tsbox = tsboxIn("saved");
    const id = await importInto("saved", "demo:v1");
    expect(await tsbox("save", "-o", "out.tar", "demo:v1")).toEqual({ status: 0, stdout: "", stderr: "" });
    expect((await tsbox("rmi", "demo:v1")).status).toBe(0);
    expect(await tsbox("load", "-i", "out.tar")).toEqual({ status: 0, stdout: "Loaded image: demo:v1\n", stderr: "" });
    const piped = Bun.spawnSync(
      [
        "bash",
        "-c",
        `'${MAIN.join("' '")}' save --format oci-archive demo:v1 | TSBOX_ROOT="$PWD/piped" '${MAIN.join("' '")}' load`,
      ],
      { cwd: folder.path, env: environment("saved") },
    );
    expect([piped.exitCode, piped.stdout.toString()]).toEqual([0, "Loaded image: demo:v1\n"]);
    expect((await tsboxIn("piped")("images", "-q", "--no-trunc")).stdout).toBe(`${id}\n`);
    // what does not succeed leaves no file, nor harms the one that is there
    expect((await tsbox("save", "-o", "out.tar", "none")).status).toBe(1);
    expect((await tsbox("load", "-i", "out.tar")).status).toBe(0);
    const [shown] = [sit("saved", ["save", "demo:v1"])];
    expect([await shown.child.exited, shown.shown()]).toEqual([1, expect.stringContaining("it is a terminal")]);
  });

  here("that nobody uses are pruned, when that is confirmed", async () => {
    const tsbox = tsboxIn("pruned");
    await importInto("pruned");
    const id = await importInto("pruned", "kept");
    const question = "WARNING! This will remove all dangling images.\nAre you sure you want to continue? [y/N] ";
    expect(await tsbox("image", "prune")).toEqual({ status: 0, stdout: question, stderr: "" });
    expect(await tsboxIn("pruned", "n\n")("image", "prune")).toEqual({ status: 0, stdout: question, stderr: "" });
    expect((await tsbox("images", "-q")).stdout.split("\n")).toHaveLength(3);
    expect((await tsboxIn("pruned", "y\n")("image", "prune")).stdout).toMatch(
      /\[y\/N\] Deleted Images:\ndeleted: sha256:[^]*\nTotal reclaimed space: \S+B\n$/,
    );
    expect((await tsbox("images", "-q", "--no-trunc")).stdout).toBe(`${id}\n`);
    const usage = await tsbox("system", "df", "--format", "{{.Type}}:{{.TotalCount}}:{{.Active}}");
    expect(usage.stdout).toStartWith("Images:1:0\n");
    expect((await tsbox("system", "df", "-v")).stdout).toContain("UNIQUE SIZE");
    expect((await tsbox("system", "prune", "-a", "-f", "--filter", "label!=a")).stdout).toBe(
      "Total reclaimed space: 0B\n",
    );
    expect((await tsbox("system", "prune", "-af")).stdout).toContain("untagged: kept:latest");
    expect((await tsbox("images", "-q")).stdout).toBe("");
  });

  here("with hostile labels and names show them, and a terminal does not act on them", async () => {
    const ended = await tsboxIn("hostile")("import", "-c", `LABEL evil=${HOSTILE}`, "fs.tar", "demo");
    expect(ended.status).toBe(0);
    const index = join(folder.path, "hostile/oci/index.json");
    const written = JSON.parse(readFileSync(index, "utf8")) as {
      manifests: { annotations?: Record<string, string> }[];
    };
    for (const manifest of written.manifests) manifest.annotations = { "org.opencontainers.image.ref.name": HOSTILE };
    writeFileSync(index, JSON.stringify(written));
    const id = (await tsboxIn("hostile")("images", "-q")).stdout.trim();
    // a program that reads it gets what is there
    const label = ["inspect", "-f", '{{index .Config.Labels "evil"}}', id];
    expect((await tsboxIn("hostile")(...label)).stdout).toBe(`${HOSTILE}\n`);
    for (const words of [
      label,
      ["images"],
      ["images", "--format", "{{.Repository}}"],
      ["inspect", id],
      ["images", "--format", "json"],
    ]) {
      const session = sit("hostile", words, { cols: 200 });
      expect([await session.child.exited, /[\x1b\x07\x9b]/.test(session.shown())]).toEqual([0, false]);
      expect(session.shown()).toMatch(/\\x1b|\\u001b/);
    }
  });

  const noPodman =
    noBusybox ??
    (process.getuid?.() !== 0 ? "needs root" : Bun.which("podman") ? undefined : "podman is not installed");
  testUnless(
    noPodman,
    "podman prints the same of them",
    async () => {
      await importInto("podman", "demo:v1");
      expect((await tsboxIn("podman")("save", "-o", "podman.tar", "demo:v1")).status).toBe(0);
      const podman = (...words: string[]) => {
        const places = [
          "--root",
          join(folder.path, "podman-root"),
          "--runroot",
          join(folder.path, "podman-run"),
          "--storage-driver",
          "vfs",
        ];
        const { stdout, stderr, exitCode } = Bun.spawnSync(["podman", ...places, ...words]);
        expect([exitCode, exitCode === 0 ? "" : stderr.toString()]).toEqual([0, ""]);
        return stdout.toString();
      };
      podman("load", "-i", join(folder.path, "podman.tar"));
      for (const template of [
        "{{.Os}}/{{.Architecture}} {{len .RootFS.Layers}}",
        "{{.Config.Labels}} {{.Config.Env}} {{json .Config.Cmd}}",
        '{{index .Config.Labels "b.c" | upper | printf "%-12s|"}}{{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}}',
        '{{range $i, $e := .Config.Env}}{{if $i}} {{end}}{{$e}}{{end}} {{join .Config.Cmd "+"}} {{.RootFS.Layers}}',
        "{{with .Config}}{{.Env}}{{end}}{{if .Config.Volumes}}v{{else}}none{{end}}",
      ]) {
        const ours = await tsboxIn("podman")("image", "inspect", "-f", template, "demo:v1");
        expect([template, ours.stdout]).toEqual([template, podman("image", "inspect", "-f", template, "demo:v1")]);
      }
    },
    TIMEOUT_MS,
  );
});

test("a password in an address is not shown", async () => {
  const { status, stderr } = await tsboxIn("nothing")("import", "http://user:secret@127.0.0.1:1/x.tar");
  expect([status, stderr]).toEqual([1, expect.stringContaining('fetch "http://***@127.0.0.1:1/x.tar"')]);
  expect(stderr).not.toContain("secret");
});

test(
  "a signal ends a save that nobody reads, and one to a file, of which nothing is left",
  async () => {
    writeFileSync(join(folder.path, "fs/more"), crypto.getRandomValues(new Uint8Array(1_000_000)));
    const packed = Bun.spawnSync(["tar", "-C", join(folder.path, "fs"), "-cf", join(folder.path, "more.tar"), "more"]);
    expect(packed.exitCode).toBe(0);
    await tsboxIn("slow")("import", "more.tar", "more");
    const child = Bun.spawn([...MAIN, "save", "more"], {
      cwd: folder.path,
      env: environment("slow"),
      stdin: "ignore",
      // a pipe that is full soon
      stdout: "pipe",
    });
    const reader = child.stdout.getReader();
    await reader.read();
    child.kill("SIGTERM");
    expect(await child.exited).toBe(128 + 15);
    expect(await tsboxIn("slow")("save", "-o", "none/x.tar", "more")).toMatchObject({
      status: 1,
      stderr: 'tsbox: write "none/x.tar": ENOENT\n',
    });
  },
  TIMEOUT_MS,
);

describe("a registry", () => {
  const noOne = noBusybox ?? noRegistry;
  const registryTest = (name: string, body: (registry: TestRegistry) => Promise<void>, options = {}) =>
    testUnless(
      noOne,
      name,
      async () => {
        await using registry = await startRegistry(options);
        await body(registry);
      },
      TIMEOUT_MS,
    );

  registryTest("gets images, and gives them to others", async ({ host }) => {
    const tsbox = tsboxIn("pusher");
    const id = await importInto("pusher", `${host}/team/demo:v1`);
    const pushed = await tsbox("push", `${host}/team/demo:v1`);
    expect(pushed.stdout).toMatch(
      new RegExp(
        `^The push refers to repository \\[${host}/team/demo\\]\n\\w{12}: Waiting\n\\w{12}: Pushed\nv1: digest: sha256:\\w{64} size: \\d+\n$`,
      ),
    );
    expect((await tsbox("tag", `${host}/team/demo:v1`, `${host}/team/demo`)).status).toBe(0);
    expect(await tsbox("push", "-q", `${host}/team/demo`)).toEqual({
      status: 0,
      stdout: `${host}/team/demo:latest\n`,
      stderr: "",
    });

    const puller = tsboxIn("puller");
    const pulled = await puller("pull", `${host}/team/demo`);
    const digestLine = /Digest: (sha256:\w{64})/.exec(pulled.stdout)?.[1] ?? "none";
    expect(pulled).toMatchObject({ status: 0, stderr: "" });
    expect(pulled.stdout).toMatch(
      new RegExp(
        `^Using default tag: latest\nlatest: Pulling from team/demo\n(\\w{12}: [A-Z][\\w ]+\n)+Digest: \\S+\nStatus: Downloaded newer image for ${host}/team/demo:latest\n${host}/team/demo:latest\n$`,
      ),
    );
    expect((await puller("images", "-q", "--no-trunc")).stdout).toBe(`${id}\n`);
    expect((await puller("pull", `${host}/team/demo`)).stdout).toContain("Status: Image is up to date");
    expect(await puller("pull", "-q", `${host}/team/demo@${digestLine}`)).toEqual({
      status: 0,
      stdout: `${host}/team/demo@${digestLine}\n`,
      stderr: "",
    });
    const all = await puller("image", "pull", "-a", `${host}/team/demo`);
    expect(all.stdout).toContain("v1: Pulling from team/demo\n");
    expect([...(all.stdout.match(/^Digest: .*$/gm) ?? [])]).toEqual(Array(2).fill(`Digest: ${digestLine}`));
    expect(all.stdout).toEndWith(`${host}/team/demo\n`);
    expect(
      (await puller("images", "--digests", "--format", "{{.Tag}} {{.Digest}}")).stdout.split("\n").toSorted(),
    ).toEqual(["", `latest ${digestLine}`, `v1 ${digestLine}`]);
    await importInto("pusher", "--platform", "linux/s390x", `${host}/team/other`);
    expect((await tsbox("push", "-q", `${host}/team/other`)).status).toBe(0);
    expect((await puller("pull", "-q", `${host}/team/other`)).stderr).toMatch(
      /^tsbox: warning: The requested image's platform \(linux\/s390x\) does not match the detected host platform \(linux\/\w+\) and no specific platform was requested\n$/,
    );
    expect((await puller("pull", "-q", "--platform", "linux/s390x", `${host}/team/other`)).stderr).toBe("");
    for (const words of [
      ["pull", `${host}/none`],
      ["pull", "-a", `${host}/team/demo:v1`],
      ["pull", "UPPER"],
      ["pull", "--platform", "windows/amd64", `${host}/team/demo`],
      ["push", `${host}/none`],
    ]) {
      const { status, stderr } = await puller(...words);
      expect([words, status, stderr]).toEqual([words, 1, expect.stringMatching(/^tsbox: .+\n( {2}hint: .+\n)?$/)]);
    }
  });

  registryTest(
    "with passwords is logged in to and out of",
    async ({ host, username, password }) => {
      await importInto("login", `${host}/demo`);
      const push = () => tsboxIn("login")("push", "-q", `${host}/demo`);
      expect(await push()).toMatchObject({ status: 1, stdout: "" });
      const wrong = await tsboxIn("login", "wrong\n")("login", "-u", username, "--password-stdin", host);
      expect([wrong.status, wrong.stdout]).toEqual([1, ""]);
      const right = await tsboxIn("login", `${password}\n`)("login", "-u", username, "--password-stdin", host);
      expect([right.status, right.stdout]).toEqual([0, "Login Succeeded\n"]);
      expect(right.stderr).toContain("stored unencrypted");
      expect(JSON.parse(readFileSync(join(folder.path, "docker/config.json"), "utf8"))).toMatchObject({
        auths: { [host]: { auth: Buffer.from(`${username}:${password}`).toString("base64") } },
      });
      expect(await push()).toMatchObject({ status: 0 });
      // who says nothing is who has logged in before
      const existing = `Authenticating with existing credentials... [Username: ${username}]\n`;
      expect(await tsboxIn("login")("login", host)).toEqual({
        status: 0,
        stdout: `${existing}Login Succeeded\n`,
        stderr: "",
      });
      const config = join(folder.path, "docker/config.json");
      const good = readFileSync(config, "utf8");
      writeFileSync(config, JSON.stringify({ auths: { [host]: { auth: btoa(`${username}:old`) } } }));
      const old = await tsboxIn("login")("login", host);
      expect([old.status, old.stdout]).toEqual([1, existing]);
      expect(old.stderr).toContain("stdin is no terminal");
      writeFileSync(config, good);
      expect((await tsboxIn("login")("logout", host)).stdout).toBe(`Removing login credentials for ${host}\n`);
      expect((await tsboxIn("login")("logout", host)).stdout).toBe(`Not logged in to ${host}\n`);
      expect(await push()).toMatchObject({ status: 1 });
      const others = join(folder.path, ".config/containers/auth.json");
      mkdirSync(dirname(others), { recursive: true });
      writeFileSync(others, good);
      expect((await tsboxIn("login")("logout", host)).stderr).toContain(`are still in ${JSON.stringify(others)}`);
      rmSync(others);
      // at a terminal it asks, and does not show the password
      const session = sit("login", ["login", host]);
      expect(await eventually(() => session.shown().includes("Username: "), TIMEOUT_MS)).toBe(true);
      session.child.terminal?.write(`${username}\n`);
      expect(await eventually(() => session.shown().includes("Password: "), TIMEOUT_MS)).toBe(true);
      session.child.terminal?.write(`${password}\n`);
      expect(await session.child.exited).toBe(0);
      expect(session.shown()).toContain("Login Succeeded");
      expect(session.shown()).not.toContain(password);
    },
    { auth: "basic" },
  );

  /** The same registry, whose blobs come slowly: a piece each `ms`. */
  function slowly(registry: TestRegistry, ms: number) {
    return Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      async fetch(request) {
        const { pathname, search } = new URL(request.url);
        const headers = new Headers(request.headers);
        headers.delete("host");
        const answer = await fetch(`${registry.url}${pathname}${search}`, { method: request.method, headers });
        if (!pathname.includes("/blobs/") || request.method !== "GET") return answer;
        const bytes = new Uint8Array(await answer.arrayBuffer());
        const pieces = async function* () {
          for (let at = 0; at < bytes.length; at += 2000) {
            yield bytes.slice(at, at + 2000);
            await Bun.sleep(ms);
          }
        };
        return new Response(pieces, { status: answer.status, headers: answer.headers });
      },
    });
  }

  registryTest(
    "that is slow is watched at a terminal: a line a layer, redrawn, not wider than it is",
    async (registry) => {
      await importInto("screen-from", `${registry.host}/demo`);
      expect((await tsboxIn("screen-from")("push", "-q", `${registry.host}/demo`)).status).toBe(0);
      const proxy = slowly(registry, 30);
      try {
        const session = sit("screen", ["pull", `127.0.0.1:${proxy.port}/demo`], { cols: 64 });
        expect(await session.child.exited).toBe(0);
        const shown = session.shown();
        expect(shown).toMatch(/\w{12}: Downloading {2}\[=*>? *\] {2}[\d.]+k?B\/[\d.]+kB( {2}[\d.]+k?B\/s)?\x1b\[K\r\n/);
        // up, and over what was there
        expect(shown).toContain(`${ESC}[1A\r`);
        const lines = shown.split(/\r\n?|\x1b\[\d*[A-Z]/);
        expect(lines.filter((line) => line.length >= 64 && !/^(Digest|Status|127)/.test(line))).toEqual([]);
        expect(shown).toMatch(/\w{12}: Pull complete\x1b\[K\r\n\x1b\[J[^]*Digest: sha256:\w{64}\r\n/);
      } finally {
        await proxy.stop(true);
      }
    },
  );

  registryTest("that is slow may be interrupted, and gone on with", async (registry) => {
    const id = await importInto("stop-from", `${registry.host}/demo`);
    expect((await tsboxIn("stop-from")("push", "-q", `${registry.host}/demo`)).status).toBe(0);
    const proxy = slowly(registry, 100);
    try {
      const session = sit("stopped", ["pull", `127.0.0.1:${proxy.port}/demo`]);
      expect(await eventually(() => /\d+(\.\d+)?kB\//.test(session.shown()), TIMEOUT_MS)).toBe(true);
      session.child.kill("SIGINT");
      expect(await session.child.exited).toBe(130);
      expect(session.shown()).not.toContain("internal error");
      expect((await tsboxIn("stopped")("images", "-q")).stdout).toBe("");
    } finally {
      await proxy.stop(true);
    }
    expect((await tsboxIn("stopped")("pull", "-q", `${registry.host}/demo`)).status).toBe(0);
    expect((await tsboxIn("stopped")("images", "-q", "--no-trunc")).stdout).toBe(`${id}\n`);
  });

  testUnless(
    noBusybox,
    "that answers with escape sequences does not reach the terminal with them",
    async () => {
      const server = Bun.serve({
        port: 0,
        hostname: "127.0.0.1",
        fetch: () =>
          Response.json({ errors: [{ code: "DENIED", message: HOSTILE, detail: HOSTILE }] }, { status: 404 }),
      });
      try {
        const session = sit("answers", ["pull", `127.0.0.1:${server.port}/demo`], { cols: 200 });
        expect(await session.child.exited).toBe(1);
        // but for those that move the cursor to where tsbox itself writes
        expect(session.shown().replaceAll(/\x1b\[(?:\d*[AJK])/g, "")).not.toMatch(/[\x1b\x07\x9b]/);
      } finally {
        await server.stop(true);
      }
    },
    TIMEOUT_MS,
  );
});

test("verbs that have nothing to do with images load nothing of them", () => {
  for (const file of ["tsbox.ts", "verbs.ts", "images/verbs.ts", "containers/verbs.ts"]) {
    const source = readFileSync(join(import.meta.dir, "../lib/cli", file), "utf8");
    const loaded = [...source.matchAll(/^import (?!type\b).*from "(.*)"/gm)].map(([, path]) => path ?? "");
    expect(loaded.filter((path) => /images\/(?!verbs\.ts)|engine|sandbox/.test(path))).toEqual([]);
  }
});
