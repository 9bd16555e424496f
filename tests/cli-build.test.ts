/** `tsbox build` from outside: flags, contexts, outputs, what is shown, exit statuses. As root and as a user. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { BuildEvent, BuildOptions } from "../lib/build/index.ts";
import { BuildPicture } from "../lib/cli/build/build-picture.ts";
import { runSettingsOf } from "../lib/cli/build/run-settings.ts";
import type { BuildFlags } from "../lib/cli/build/flags.ts";
import { optionsOf } from "../lib/cli/build/options.ts";
import { OutputLines } from "../lib/cli/build/output-lines.ts";
import { homeIn } from "./support/home.ts";
import { TestBuilds } from "./support/builds.ts";
import { noBusybox, SLOW, testUnless } from "./support/machine.ts";

const PROGRAM = [process.execPath, join(import.meta.dir, "../lib/cli/main.ts")];
let builds: TestBuilds;

beforeAll(async () => {
  if (noBusybox === undefined) builds = await TestBuilds.make();
});
afterAll(() => builds?.[Symbol.dispose]());

const it = (name: string, body: () => unknown) => testUnless(noBusybox, name, body, 30_000 * SLOW);

interface Calling {
  stdin?: string | Uint8Array;
  env?: Record<string, string>;
}

function tsbox(words: string[], { stdin, env = {} }: Calling = {}) {
  const { exitCode, stdout, stderr } = Bun.spawnSync([...PROGRAM, ...words], {
    cwd: builds.context.path,
    env: { PATH: process.env["PATH"], ...homeIn(builds.context.path), TSBOX_ROOT: builds.root, ...env },
    stdin: stdin === undefined ? "ignore" : Buffer.from(stdin),
    stderr: "pipe",
  });
  return { status: exitCode, stdout: stdout.toString(), bytes: stdout, stderr: stderr.toString() };
}

const ID = /^sha256:[0-9a-f]{64}\n$/;

describe("tsbox build", () => {
  it("leaves no id of an earlier build in a file, and writes none where no image is made", () => {
    builds.context.write("Dockerfile", "FROM base\nCOPY nothing /\n");
    const iid = builds.context.write("iid", "of an earlier build");
    expect(tsbox(["build", "--iidfile", iid, "."]).status).toBe(1);
    expect(existsSync(iid)).toBe(false);
    for (const words of [
      ["--iidfile", iid, "-o", "out"],
      ["-o", "type=registry"],
      ["-o", "type=image,push=perhaps"],
    ])
      expect([words, tsbox(["build", ...words, "."]).status]).toEqual([words, 1]);
    // control
    builds.context.write("Dockerfile", "FROM base\n");
    expect(tsbox(["build", "--iidfile", iid, "-q", "."]).stdout).toBe(`${readFileSync(iid, "utf8")}\n`);
    const metadata = join(builds.context.path, "of-archive");
    const archive = ["-o", "type=oci,dest=archive.tar", "--iidfile", iid, "--metadata-file", metadata];
    expect(tsbox(["build", "-q", ...archive, "."])).toMatchObject({ status: 0, stdout: "" });
    const { "containerimage.digest": digest, ...others } = JSON.parse(readFileSync(metadata, "utf8"));
    expect([digest, others]).toEqual([
      expect.stringMatching(/^sha256:/),
      { "containerimage.config.digest": readFileSync(iid, "utf8") },
    ]);
    // nothing has the name where they cannot be written
    for (const flag of ["--iidfile", "--metadata-file"]) {
      const { status, stderr } = tsbox(["build", flag, "none/file", "-t", "unwritten", "."]);
      expect([status, stderr]).toEqual([1, expect.stringContaining("there is no directory none")]);
    }
    expect(tsbox(["images", "-q", "unwritten"]).stdout).toBe("");
  });

  it("makes an image of a directory, says what it does, and prints the id", () => {
    builds.context.write("Dockerfile", 'FROM base\nCOPY a /\nRUN echo out; printf \'no end\'\nCMD ["cat", "/a"]\n');
    builds.context.write("a", "content\n");
    const iid = join(builds.context.path, "iid");
    const metadata = join(builds.context.path, "metadata");
    const first = tsbox(["build", "-t", "one", "-t", "two:2", "--iidfile", iid, "--metadata-file", metadata, "."]);
    expect([first.status, first.stdout]).toEqual([0, expect.stringMatching(ID)]);
    expect(first.stderr).toMatch(/^#1 \[1\/3\] FROM base\n#1 CACHED\n\n#2 \[2\/3\] COPY a \/\n#2 DONE \d+\.\ds\n/);
    expect(first.stderr).toMatch(/\n#3 \d+\.\d{3} out\n#3 \d+\.\d{3} no end\n#3 DONE /);
    expect(readFileSync(iid, "utf8")).toBe(first.stdout.trim());
    expect(JSON.parse(readFileSync(metadata, "utf8"))).toMatchObject({
      "containerimage.config.digest": first.stdout.trim(),
      "image.name": "one,two:2",
    });
    const again = tsbox(["build", "-t", "three", "--quiet", "."]);
    expect(again).toMatchObject({ status: 0, stdout: first.stdout, stderr: "" });
    expect(tsbox(["run", "--rm", "two:2"]).stdout).toBe("content\n");
    expect(
      tsbox(["build", "--plan", "."])
        .stdout.split("\n")
        .map((line) => line.trimEnd()),
    ).toEqual([
      "STEP      CACHE     AFTER     LINE      WHAT",
      "#1        cached              1         [1/3] FROM base",
      "#2        cached    #1        2         [2/3] COPY a /",
      "#3        cached    #2        3         [3/3] RUN echo out; printf 'no end'",
      "",
    ]);
  });

  it("--plan does nothing", () => {
    builds.context.write("planned", "FROM base\nRUN echo never > /never\n");
    const { status, stdout } = tsbox(["build", "--plan", "-t", "planned", "-f", "planned", "."]);
    expect([status, stdout]).toEqual([0, expect.stringContaining("RUN echo never")]);
    expect(stdout).not.toMatch(/cached.*RUN/);
    expect(tsbox(["images", "-q", "planned"]).stdout).toBe("");
  });

  it("tells of itself in JSON", () => {
    builds.context.write("told", "FROM base\nRUN echo \u00e9\n");
    const { stderr } = tsbox(["build", "--progress", "json", "-f", "told", "."]);
    const events = stderr
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; text?: string });
    // a kernel that cannot give a RUN a network is told of
    const types = new Set(events.map(({ type }) => type).filter((type) => type !== "warning"));
    expect(types).toEqual(new Set(["plan", "started", "output", "ended", "exporting"]));
    expect(events.find(({ type }) => type === "output")?.text).toBe("\u00e9\n");
  });

  it("reads a Dockerfile or a context from stdin", () => {
    const text = "FROM base\nRUN echo stdin\n";
    expect(tsbox(["build", "-"], { stdin: text })).toMatchObject({ status: 0, stdout: expect.stringMatching(ID) });
    builds.context.write("b", "beside");
    expect(tsbox(["build", "-f", "-", "."], { stdin: "FROM base\nCOPY b /b\n" }).status).toBe(0);
    builds.context.write("packed/Dockerfile", "FROM base\nCOPY c /c\n");
    builds.context.write("packed/c", "packed");
    for (const pack of ["-c", "-cz"]) {
      const archive = Bun.spawnSync(["tar", pack, "-C", join(builds.context.path, "packed"), "."]).stdout;
      expect(tsbox(["build", "-q", "-t", "packed", "-"], { stdin: archive })).toMatchObject({ status: 0, stderr: "" });
      expect(tsbox(["run", "--rm", "packed", "cat", "/c"]).stdout).toBe("packed");
    }
    builds.context.write("packed/other", "FROM base\nRUN echo of the other > /c\n");
    const archive = Bun.spawnSync(["tar", "-c", "-C", join(builds.context.path, "packed"), "."]).stdout;
    expect(tsbox(["build", "-q", "-t", "packed", "-f", "other", "-"], { stdin: archive }).status).toBe(0);
    expect(tsbox(["run", "--rm", "packed", "cat", "/c"]).stdout).toBe("of the other\n");
    const both = tsbox(["build", "-f", "-", "-"], { stdin: text });
    expect([both.status, both.stderr]).toEqual([1, expect.stringContaining("it has only one of them")]);
  });

  it("finds -f from where it is called, in the context or not", () => {
    builds.context.write("sub/file", "FROM scratch\nCOPY x /\n");
    builds.context.write("sub/ctx/x", "x");
    builds.context.write("sub/file.dockerignore", "x\n");
    const refused = tsbox(["build", "-f", "sub/file", "sub/ctx"]);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('"x"')]);
    builds.context.write("sub/ctx/inside", "FROM scratch\nCOPY x /\n");
    expect(tsbox(["build", "-f", "sub/ctx/inside", "sub/ctx"]).status).toBe(0);
    const absent = tsbox(["build", "-f", "none", "."]);
    expect([absent.status, absent.stderr]).toEqual([1, expect.stringContaining("there is no none")]);
  });

  it("writes files and archives instead of an image", () => {
    builds.context.write("out.Dockerfile", "FROM scratch\nCOPY a /made\n");
    const words = (output: string) => ["build", "-q", "-f", "out.Dockerfile", "-o", output, "."];
    const place = join(builds.context.path, "out");
    expect(tsbox(words(place))).toMatchObject({ status: 0, stdout: "", stderr: "" });
    expect(readFileSync(join(place, "made"), "utf8")).toBe("content\n");
    const list = (bytes: Uint8Array) => Bun.spawnSync(["tar", "-t"], { stdin: Buffer.from(bytes) }).stdout.toString();
    expect(list(tsbox(words("-")).bytes)).toContain("made");
    expect(list(tsbox(words("type=oci")).bytes)).toContain("index.json");
    const file = join(builds.context.path, "archive.tar");
    expect(tsbox(words(`type=docker,dest=${file}`)).status).toBe(0);
    expect(list(readFileSync(file))).toContain("manifest.json");
  });

  it("gives arguments, labels, secrets and a target", () => {
    builds.context.write(
      "all",
      "FROM base AS one\nARG A B\nRUN --mount=type=secret,id=s --mount=type=secret,id=t,env=T echo $A $B $(cat /run/secrets/s) $T\nFROM one\nRUN exit 1\n",
    );
    builds.context.write("secret", "from a file");
    const { status, stderr } = tsbox(
      ["build", "-f", "all", "--target", "one", "--build-arg", "A=1", "--build-arg", "B", "--label", "l=2"].concat([
        "--secret",
        "id=s,src=secret",
        "--secret",
        "id=t,env=TOKEN",
        "-t",
        "all",
        ".",
      ]),
      { env: { B: "from here", TOKEN: "from a variable" } },
    );
    expect([status, stderr]).toEqual([0, expect.stringContaining(" 1 from here from a file from a variable\n")]);
    expect(tsbox(["inspect", "-f", "{{.Config.Labels.l}}", "all"]).stdout).toBe("2\n");
  });

  it("that fails leaves nothing under the name, and says what to do", () => {
    builds.context.write("bad", "FROM base\nRUN echo last words; echo more >&2; exit 7\n");
    const { status, stdout, stderr } = tsbox(["build", "-t", "bad", "-f", "bad", "."]);
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /\n#2 ERROR\ntsbox: bad:2:1: RUN .*: exit code 7\n.*last words\n.*more\n.*hint: .*--before 2/s,
    );
    expect(tsbox(["images", "-q", "bad"]).stdout).toBe("");
    expect(tsbox(["build", "-q", "--before", "2", "-t", "looked", "-f", "bad", "."]).status).toBe(0);
    expect(tsbox(["run", "--rm", "looked", "echo", "there"]).stdout).toBe("there\n");
  });

  it("ends orderly when it is interrupted", async () => {
    builds.context.write("slow", "FROM base\nRUN echo begun; sleep 60\n");
    const child = Bun.spawn([...PROGRAM, "build", "-t", "slow", "-f", "slow", "."], {
      cwd: builds.context.path,
      env: { PATH: process.env["PATH"], ...homeIn(builds.context.path), TSBOX_ROOT: builds.root },
      stderr: "pipe",
    });
    let told = "";
    for await (const piece of child.stderr) {
      told += new TextDecoder().decode(piece);
      if (/ begun\n/.test(told)) child.kill("SIGINT");
    }
    expect([await child.exited, told]).toEqual([130, expect.stringContaining("\n#2 CANCELED\n")]);
    expect(builds.leftovers).toEqual([]);
    expect(tsbox(["images", "-q", "slow"]).stdout).toBe("");
  });

  it("draws a tree on a terminal, and hostile output does nothing to it", async () => {
    builds.context.write("tree", "FROM base AS one\nRUN printf '\\033]0;title\\007\\033[2Jshown\\n'; sleep 0.3\n");
    let shown = "";
    const child = Bun.spawn([...PROGRAM, "build", "-f", "tree", "."], {
      cwd: builds.context.path,
      env: { PATH: process.env["PATH"], ...homeIn(builds.context.path), TSBOX_ROOT: builds.root },
      terminal: { cols: 60, rows: 20, data: (_, chunk) => void (shown += new TextDecoder().decode(chunk)) },
    });
    expect(await child.exited).toBe(0);
    expect(shown).toContain(" => => # shown");
    expect(shown).toMatch(/\[\+\] Built \d+\.\ds \(2\/2\)/);
    expect(shown).not.toContain("\x1b[2J");
    expect(shown).not.toContain("\x1b]0;");
  });
});

describe("text of a Dockerfile", () => {
  it("does nothing to a terminal", () => {
    const sequence = "\x1b]0;title\x07\x1b[2J\u202e";
    builds.context.write("hostile", `FROM base\nRUN : '${sequence}'\nLABEL a=${sequence}\n`);
    builds.context.write("broken", `FROM base\nCOPY ${sequence} /\n`);
    builds.context.write("unknown", `FROM base\n${sequence} x\n`);
    const words = [
      ["build", "-f", "hostile", "."],
      ["build", "--plan", "-f", "hostile", "."],
      ["builder", "du"],
    ];
    const told = [...words, ["build", "-f", "broken", "."], ["build", "-f", "unknown", "."]].map((each) => tsbox(each));
    expect(told.map(({ status }) => status)).toEqual([0, 0, 0, 1, 1]);
    for (const { stdout, stderr } of told) {
      expect(stdout + stderr).toMatch(/\\(?:x1b|u001b)\]0;title/);
      expect(stdout + stderr).not.toMatch(/[\x1b\x07\u202e]/);
    }
  });
});

describe("tsbox builder", () => {
  it("lists what is kept, and removes it", () => {
    tsbox(["build", "-q", "-"], { stdin: "FROM base\nRUN echo kept > /kept\n" });
    expect(tsbox(["builder", "du"]).stdout).toMatch(/^ID +RECLAIMABLE +SIZE +LAST ACCESSED +WHAT\n.*RUN echo kept/s);
    const counted = () => tsbox(["system", "df", "--format", "{{.Type}}:{{.TotalCount}}"]).stdout.split("\n").at(3);
    expect(counted()).toMatch(/^Build Cache:[1-9]/);
    expect(tsbox(["builder", "prune", "--force", "--filter", "until=24h"]).stdout).toBe("Total reclaimed space: 0B\n");
    const pruned = tsbox(["builder", "prune", "--force", "--all"]).stdout;
    expect(pruned).toMatch(/RUN echo kept > \/kept\n.*\nTotal reclaimed space: \d/s);
    expect(tsbox(["builder", "du"]).stdout).toContain("Total:\t\t0B");
    expect(counted()).toBe("Build Cache:0");
    tsbox(["build", "-q", "-"], { stdin: "FROM base\nRUN echo again > /again\nFROM scratch\nCOPY --from=0 /again /" });
    expect(tsbox(["system", "prune", "--force"]).stdout).toContain("RUN echo again");
  });

  it("refuses what it does not understand", () => {
    for (const words of [
      ["--filter", "until=soon"],
      ["--filter", "id=x"],
      ["--keep-storage", "much"],
    ])
      expect(tsbox(["builder", "prune", "--force", ...words])).toMatchObject({ status: 1, stdout: "" });
  });
});

const never = (): never => {
  throw new Error("nothing is written to stdout");
};

test.each<[BuildFlags, BuildOptions["run"]]>([
  [
    { memory: "1g", memorySwap: "-1", cpuShares: "512", cpuPeriod: "50000", cpuQuota: "1000", cpusetCpus: "0" },
    {
      limits: {
        memory: "1g",
        memorySwap: Infinity,
        cpuShares: 512,
        cpuPeriodUs: 50000,
        cpuQuotaUs: 1000,
        cpusetCpus: "0",
      },
    },
  ],
  [
    { ulimit: ["nofile=1:2", "core=-1"], shmSize: "1m", cgroupParent: "/x", securityOpt: ["seccomp=unconfined"] },
    {
      ulimits: { nofile: [1, 2], core: [Infinity, Infinity] },
      shmSize: "1m",
      cgroupParent: "/x",
      security: { seccomp: "none" },
    },
  ],
  [{ isolation: "default" }, {}],
])("flags of RUN: %j", (flags, run) => {
  expect(runSettingsOf(flags)).toEqual({ run: { limits: {}, ulimits: {}, security: {}, ...run } });
});

test.each<[BuildFlags, string]>([
  [{ isolation: "hyperv" }, "use --isolation"],
  [{ ulimit: ["nofile"] }, "use --ulimit"],
  [{ cpuShares: "x" }, "use --cpu-shares"],
  [{ securityOpt: ["label=x"] }, "use --security-opt"],
])("flags of RUN that are not understood: %j", (flags, told) => {
  expect(() => runSettingsOf(flags)).toThrow(told);
});

describe("flags", () => {
  const NOTHING: BuildOptions = { args: {}, contexts: {}, secrets: {}, ssh: {} };

  test.each<[BuildFlags, BuildOptions]>([
    [{}, {}],
    [
      { tag: ["a", "b"], target: "t", platform: "linux/arm64", pull: true, squash: true },
      { tags: ["a", "b"], target: "t", platform: "linux/arm64", pull: true, squash: true },
    ],
    [{ provenance: "false", sbom: "0" }, {}],
    [{ buildArg: ["A=b=c", "D=", "TSBOX_NOT_SET"] }, { args: { A: "b=c", D: "" } }],
    [{ buildContext: ["a=../b", "c=docker-image://d"] }, { contexts: { a: "../b", c: "docker-image://d" } }],
    [
      { cache: false, noCacheFilter: ["a,b", "c"], before: "7" },
      { cache: false, noCacheFilter: ["a", "b", "c"], before: 7 },
    ],
    [
      { secret: ["id=a,src=/b", "id=c,env=D", "type=env,source=E", "type=file,source=/f/g", "id=no"] },
      { secrets: { a: { file: "/b" }, c: { env: "D" }, E: { env: "E" }, g: { file: "/f/g" }, no: { file: "no" } } },
    ],
    [{ ssh: ["default=/run/x", "k=/a,/b"] }, { ssh: { default: "/run/x", k: ["/a", "/b"] } }],
    [
      { network: "none", addHost: ["a:1.2.3.4", "b=[::1]"], allow: ["network.host"] },
      { network: "none", addHosts: ["a:1.2.3.4", "b:::1"], allow: ["network.host"] },
    ],
    [
      { cacheFrom: ["a/b", "type=registry,ref=c", "type=local,src=/d"] },
      {
        cacheFrom: [
          { type: "registry", reference: "a/b" },
          { type: "registry", reference: "c" },
          { type: "local", path: "/d" },
        ],
      },
    ],
    [
      { cacheTo: ["type=registry,ref=c,mode=max", "type=local,dest=/d"] },
      {
        cacheTo: [
          { type: "registry", reference: "c", mode: "max" },
          { type: "local", path: "/d" },
        ],
      },
    ],
    [
      { output: ["out", "type=tar,dest=a", 'type=image,"name=b,c",push=true'] },
      {
        outputs: [
          { type: "local", destination: "out" },
          { type: "tar", destination: "a" },
          { type: "image", names: ["b", "c"], push: true },
        ],
      },
    ],
    [{ output: ["out"], load: true }, { outputs: [{ type: "local", destination: "out" }, { type: "image" }] }],
    [
      { tag: ["a"], push: true },
      { tags: ["a"], outputs: [{ type: "image", push: true }] },
    ],
  ])("%j", (flags, expected) => {
    expect(optionsOf(flags, never)).toEqual({ ...NOTHING, ...expected });
  });

  test.each<[BuildFlags]>([
    [{ buildArg: ["=x"] }],
    [{ before: "0" }],
    [{ network: "bridge" }],
    [{ allow: ["all"] }],
    [{ addHost: ["a"] }],
    [{ addHost: ["a:host-gateway"] }],
    [{ platform: "linux/amd64,linux/arm64" }],
    [{ provenance: "mode=max" }],
    [{ sbom: "true" }],
    [{ output: ["type=zip,dest=a"] }],
    [{ output: ["type=local"] }],
    [{ output: ["type=tar,dest=a,name=b"] }],
    [{ output: ["type=image,dest=a"] }],
    [{ output: ['type=tar,"dest'] }],
    [{ secret: ["src="] }],
    [{ secret: ["id=a,env=B,src=c"] }],
    [{ secret: ["id=a,type=vault"] }],
    [{ secret: ["id"] }],
    [{ ssh: ["=x"] }],
    [{ ssh: ["default="] }],
    [{ cacheTo: ["type=inline"] }],
    [{ cacheFrom: ["type=local"] }],
    [{ cacheTo: ["type=registry,ref=a,mode=some"] }],
    [{ push: true }],
  ])("%j is refused", (flags) => {
    expect(() => optionsOf(flags, never)).toThrow();
  });
});

describe("output", () => {
  test.each<[string, string[], string[]]>([
    ["lines", ["a\nb", "c\n"], ["a", "bc"]],
    ["one that does not end", ["a"], ["a"]],
    ["one written over itself", ["10%\r50%\r100%\n"], ["100%"]],
    ["ends of lines of other systems", ["a\r\nb\r\n"], ["a", "b"]],
    ["colours and titles", ["\x1b[1;31mred\x1b[0m \x1b]0;t\x07x\x1b(B\n"], ["red x\\x1b(B"]],
    ["what would move the cursor", ["\x9b2Ja\x07\x08\n"], ["\\x9b2Ja\\x07\\x08"]],
  ])("%s", (_, pieces, expected) => {
    const lines = new OutputLines();
    const found = pieces.flatMap((piece) => lines.add(new TextEncoder().encode(piece)));
    expect([...found, ...lines.end()]).toEqual(expected);
  });

  test("letters that come in pieces, and lines that never end", () => {
    const lines = new OutputLines();
    const [first, second] = new TextEncoder().encode("é");
    expect([...lines.add(Uint8Array.of(first as number)), ...lines.add(Uint8Array.of(second as number, 10))]).toEqual([
      "é",
    ]);
    let kept = 0;
    for (let at = 0; at < 100; at++) kept += lines.add(new Uint8Array(1000).fill(97)).join("").length;
    expect(kept).toBeGreaterThan(80_000);
  });
});

describe("the tree", () => {
  const steps = (titles: string[]): BuildEvent => ({
    type: "plan",
    steps: titles.map((title, step) => ({ step, title, stage: "", after: [] })),
  });
  const output = (step: number, text: string): BuildEvent => ({
    type: "output",
    step,
    stream: "stdout",
    bytes: Buffer.from(text),
  });

  test("shows what is done, cached, being done and failed", () => {
    const picture = new BuildPicture(0);
    picture.update({ type: "resolving", reference: "debian" });
    expect(picture.lines(500, 40, 10)).toEqual(["[+] Building 0.5s (0/0)", " => resolving debian"]);
    picture.update(steps(["[1/4] FROM debian", "[2/4] RUN a", "[3/4] RUN b", "[4/4] RUN c"]));
    picture.update({ type: "started", step: 0, at: 500 });
    picture.update({ type: "ended", step: 0, at: 500, cached: true });
    picture.update({ type: "started", step: 1, at: 600 });
    for (const text of ["1\n2\n3\n", "4\n\n5\n6\n7"]) picture.update(output(1, text));
    expect(picture.lines(2100, 40, 20)).toEqual([
      "[+] Building 2.1s (1/4)",
      " => CACHED [1/4] FROM debian       0.0s",
      " => [2/4] RUN a                    1.5s",
      " => => # 1",
      " => => # 2",
      " => => # 3",
      " => => # 4",
      " => => # 5",
      " => => # 6",
    ]);
    picture.update({ type: "ended", step: 1, at: 3000, cached: false });
    const whole = new BuildPicture(0);
    whole.update(steps(["[1/1] FROM debian"]));
    whole.update({ type: "ended", step: 0, at: 3000, cached: false });
    whole.end();
    expect(whole.lines(3000, 40, 10)[0]).toBe("[+] Built 3.0s (1/1)");
    picture.update({ type: "started", step: 2, at: 3000 });
    picture.update(output(2, "why\n"));
    picture.update({ type: "ended", step: 2, at: 4000, cached: false, error: "exit code 1" });
    picture.end();
    expect(picture.lines(4000, 40, Infinity)).toEqual([
      "[+] Failed 4.0s (3/4)",
      " => CACHED [1/4] FROM debian       0.0s",
      " => [2/4] RUN a                    2.4s",
      " => ERROR [3/4] RUN b              1.0s",
      " => => # why",
    ]);
  });

  test("is never larger than the terminal; what is being done comes first, and its last lines", () => {
    const picture = new BuildPicture(0);
    picture.update(steps(Array.from({ length: 30 }, (_, at) => `[${at}] RUN ${"x".repeat(100)}`)));
    for (let step = 0; step < 20; step++) {
      picture.update({ type: "started", step, at: 0 });
      if (step !== 3) picture.update({ type: "ended", step, at: 1, cached: false });
    }
    picture.update(output(3, "one\ntwo\nthree\n"));
    for (const [columns, rows] of [
      [20, 5],
      [80, 8],
      [10, 1],
      [200, 24],
    ] as const) {
      const lines = picture.lines(10, columns, rows);
      expect(lines.length).toBeLessThanOrEqual(rows);
      expect(lines.every((line) => Bun.stringWidth(line) < columns || line.startsWith("[+]"))).toBe(true);
    }
    expect(picture.lines(10, 40, 4).map((line) => line.trim().slice(0, 12))).toEqual([
      "[+] Building",
      "=> [3] RUN x",
      "=> => # two",
      "=> => # thre",
    ]);
    expect(picture.lines(10, 40, 6).at(-1)).toStartWith(" => [19] RUN");
  });
});

test("nothing of these builds is left", () => {
  if (noBusybox === undefined) expect(builds.leftovers).toEqual([]);
  expect(existsSync(join(import.meta.dir, "../iid"))).toBe(false);
});
