/** Dockerfiles to steps: which there are, what each does, and how the result is run. Nothing is performed. @module */
import { describe, expect, test } from "bun:test";
import { checkBuild } from "../lib/build/check-options.ts";
import { graphOf, type Graph } from "../lib/build/graph.ts";
import type { BuildOptions } from "../lib/build/index.ts";
import { stepKey } from "../lib/build/key.ts";
import { imageKey, imagesOf, outlineOf, type ContextNames } from "../lib/build/outline.ts";
import { networkFor } from "../lib/build/network.ts";
import { compilePolicy, decide, decideName, type NetworkPolicy } from "../lib/policy/index.ts";
import type { CopyOperation, RunOperation } from "../lib/build/step.ts";
import { parseDockerfile } from "../lib/dockerfile/index.ts";
import type { ContainerConfig, ImageConfig } from "../lib/image/index.ts";

interface Options {
  args?: Record<string, string>;
  target?: string;
  before?: number;
  labels?: Record<string, string>;
  /** Configs of images. */
  images?: Record<string, ContainerConfig>;
  contexts?: ContextNames;
}

const machine = { os: "linux", architecture: "amd64" };
const imageOf = (config: ContainerConfig): ImageConfig => ({
  ...machine,
  config,
  rootfs: { type: "layers", diff_ids: [] },
});

function graph(
  text: string,
  { args = {}, target, before, labels = {}, images = {}, contexts = new Map() }: Options = {},
): Graph {
  const file = parseDockerfile(text, "Dockerfile");
  const known = new Map(
    Object.entries({ base: {}, ...images }).map(([reference, config]) => [
      imageKey({ reference, platform: undefined }),
      imageOf(config),
    ]),
  );
  const outlined = { args, target, before, build: machine, platform: { ...machine, architecture: "arm64" }, contexts };
  const outline = outlineOf(file, { ...outlined, images: known });
  const made = graphOf(outline, { contexts, images: known, network: "default", addHosts: [], labels });
  return withoutPath(made);
}

/** Every image has one: it is told here where it matters. */
function withoutPath(made: Graph): Graph {
  const isOther = (line: string) => !line.startsWith("PATH=");
  const { Env = [], ...config } = made.result.config;
  const env = Env.filter(isOther);
  made.result.config = env.length > 0 ? { ...config, Env: env } : config;
  for (const { operation } of made.steps)
    if (operation.kind === "run") operation.env = operation.env.filter(([name]) => name !== "PATH");
  return made;
}

/** Stages, each on the one before. */
const chain = (count: number) =>
  ["FROM base AS s0", ...Array.from({ length: count - 1 }, (_, at) => `FROM s${at} AS s${at + 1}`)].join("\n");

const titles = (made: Graph) => made.steps.map(({ title }) => title);
const runs = (made: Graph) =>
  made.steps.flatMap(({ operation }) => (operation.kind === "run" ? [operation] : [])) as RunOperation[];
const copies = (made: Graph) =>
  made.steps.flatMap(({ operation }) => (operation.kind === "copy" ? [operation] : [])) as CopyOperation[];
const said = (work: () => unknown): string => {
  try {
    work();
    return "nothing";
  } catch (error) {
    return (error as Error).message;
  }
};

describe("steps", () => {
  test("are what changes files; all else is the config's, and told in the history", () => {
    const made = graph('FROM base\nENV A=1\nRUN make\nWORKDIR /srv\nLABEL a=b\nCOPY . .\nCMD ["x"]');
    expect(titles(made)).toEqual(["[1/4] FROM base", "[2/4] RUN make", "[3/4] WORKDIR /srv", "[4/4] COPY . ."]);
    expect(made.steps.map(({ after }) => after)).toEqual([[], [0], [1], [2]]);
    expect(made.result.history).toEqual([
      { createdBy: "ENV A=1" },
      { createdBy: "RUN /bin/sh -c make", step: 1 },
      { createdBy: "WORKDIR /srv", step: 2 },
      { createdBy: "LABEL a=b" },
      { createdBy: "COPY . .", step: 3 },
      { createdBy: 'CMD ["x"]' },
    ]);
    expect(made.result.config).toEqual({ Env: ["A=1"], WorkingDir: "/srv", Labels: { a: "b" }, Cmd: ["x"] });
  });

  test("of stages that nobody needs are none", () => {
    const text = "FROM base AS a\nRUN one\nFROM base AS b\nRUN two\nFROM base AS c\nCOPY --from=a /x /y";
    expect(titles(graph(text))).toEqual([
      "[a 1/2] FROM base",
      "[a 2/2] RUN one",
      "[c 1/2] FROM base",
      "[c 2/2] COPY --from=a /x /y",
    ]);
    expect(titles(graph(text, { target: "B" }))).toEqual(["[b 1/2] FROM base", "[b 2/2] RUN two"]);
    expect(titles(graph(text, { target: "1" }))).toEqual(["[b 1/2] FROM base", "[b 2/2] RUN two"]);
  });

  test("of stages that do not need each other do not wait for each other", () => {
    const made = graph(
      "FROM base AS a\nRUN one\nFROM base AS b\nRUN two\nFROM scratch\nCOPY --from=a / /\nCOPY --from=1 / /b",
    );
    expect(made.steps.map(({ after }) => after)).toEqual([[], [0], [], [2], [], [4, 1], [5, 3]]);
  });

  test("take files from images by their names, each fetched once", () => {
    const made = graph("FROM scratch\nCOPY --from=base /a /\nRUN --mount=type=bind,from=base,target=/m x");
    expect(made.steps.filter(({ operation }) => operation.kind === "base")).toHaveLength(2);
    expect(copies(made)[0]?.source).toEqual({ kind: "step", step: 1 });
    expect(runs(made)[0]?.mounts[0]?.files).toEqual({ kind: "step", step: 1 });
  });

  test("before a line end there: what a look at the state before it needs", () => {
    const text = "FROM base AS a\nRUN one\nRUN two\nFROM a\nRUN three";
    expect(titles(graph(text, { before: 3 }))).toEqual(["[a 1/2] FROM base", "[a 2/2] RUN one"]);
    expect(titles(graph(text, { before: 5 }))).toEqual(["[a 1/3] FROM base", "[a 2/3] RUN one", "[a 3/3] RUN two"]);
    expect(said(() => graph(text, { before: 1 }))).toContain("no stage has begun");
  });
});

describe("variables", () => {
  test("the environment counts before arguments, arguments given before defaults", () => {
    const text = "FROM base\nARG A=default\nARG B=default\nENV B=env\nRUN x";
    const [run] = runs(graph(text, { args: { A: "given", B: "given" } }));
    expect(Object.fromEntries(run?.env ?? [])).toEqual({ A: "given", B: "env" });
  });

  test("global arguments are those of FROM, and of stages that ask for them", () => {
    const text = "ARG V=base\nARG W=$V-w\nFROM $V\nRUN one $V\nARG W\nRUN two";
    const [one, two] = runs(graph(text));
    expect(Object.fromEntries(one?.env ?? [])).toEqual({});
    expect(Object.fromEntries(two?.env ?? [])).toEqual({ W: "base-w" });
  });

  test("a stage has the arguments and the environment of the one that it is built on", () => {
    const [, run] = runs(graph("FROM base AS a\nARG A=1\nENV B=2\nRUN x\nFROM a\nRUN y"));
    expect(Object.fromEntries(run?.env ?? [])).toEqual({ A: "1", B: "2" });
  });

  test("tell of platforms where they are asked for", () => {
    const [run] = runs(graph("FROM base\nARG TARGETARCH\nARG BUILDPLATFORM\nRUN x"));
    expect(Object.fromEntries(run?.env ?? [])).toEqual({ TARGETARCH: "arm64", BUILDPLATFORM: "linux/amd64" });
  });

  test("tell of the stage that is wanted", () => {
    const text = "FROM base AS a\nARG TARGETSTAGE TARGETOSVERSION\nRUN x";
    expect(runs(graph(text))[0]?.env).toEqual([
      ["TARGETSTAGE", "default"],
      ["TARGETOSVERSION", ""],
    ]);
    expect(runs(graph(text, { target: "a" }))[0]?.env).toContainEqual(["TARGETSTAGE", "a"]);
    expect(
      titles(graph(`${text}\nFROM base AS one\nFROM \${TARGETSTAGE} AS last`, { args: { TARGETSTAGE: "one" } })),
    ).toEqual(["[one 1/1] FROM base"]);
  });

  test("are expanded in what is copied, and kept out of commands", () => {
    const made = graph("FROM base\nENV D=/d\nCOPY --chown=$D a $D/\nRUN echo $D", {});
    expect(copies(made)[0]).toMatchObject({ destination: "/d/", chown: "/d", sources: ["a"] });
    expect(runs(made)[0]?.words).toEqual(["/bin/sh", "-c", "echo $D"]);
  });

  test("that were given and nobody has declared are told; proxies are known without", () => {
    const { warnings } = graph("FROM base\nARG A\n", { args: { A: "1", B: "2", HTTP_PROXY: "p" } });
    expect(warnings).toEqual(["build arguments that nobody has declared: B"]);
  });

  test("are told in the history of what was run with them", () => {
    const { result } = graph("FROM base\nARG A=1\nRUN x");
    expect(result.history.at(-1)?.createdBy).toBe("RUN |1 A=1 /bin/sh -c x");
  });
});

describe("the config", () => {
  test("an entry point takes the command of the base away, but not the stage's own", () => {
    const images = { base: { Cmd: ["old"], Entrypoint: ["e"] } };
    expect(graph('FROM base\nENTRYPOINT ["n"]', { images }).result.config).toEqual({ Entrypoint: ["n"] });
    const own = graph('FROM base\nCMD ["c"]\nENTRYPOINT ["n"]', { images }).result.config;
    expect(own).toEqual({ Cmd: ["c"], Entrypoint: ["n"] });
  });

  test("SHELL is that of what follows", () => {
    const made = graph('FROM base\nSHELL ["/bin/bash", "-ec"]\nRUN x\nCMD y');
    expect(runs(made)[0]?.words).toEqual(["/bin/bash", "-ec", "x"]);
    expect(made.result.config.Cmd).toEqual(["/bin/bash", "-ec", "y"]);
  });

  test("ONBUILD of the base is done first, and is not the result's", () => {
    const images = { base: { OnBuild: ["ENV A=1", "RUN x"] } };
    const made = graph("FROM base\nRUN y", { images });
    expect(runs(made).map(({ words }) => words.at(-1))).toEqual(["x", "y"]);
    expect(made.result.config).toEqual({ Env: ["A=1"] });
    const own = graph("FROM base AS a\nONBUILD RUN z\nFROM a\nRUN y");
    expect(runs(own).map(({ words }) => words.at(-1))).toEqual(["z", "y"]);
  });

  test("has a PATH where the base has none", () => {
    const file = parseDockerfile("FROM scratch", "Dockerfile");
    const options = { args: {}, target: undefined, before: undefined, build: machine, platform: machine };
    const contexts: ContextNames = new Map();
    const outline = outlineOf(file, { ...options, contexts, images: new Map() });
    const { result } = graphOf(outline, { contexts, images: new Map(), network: "none", addHosts: [], labels: {} });
    expect(result.config.Env).toEqual(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
  });

  test("labels that were asked for come last", () => {
    expect(graph("FROM base\nLABEL a=1", { labels: { a: "2" } }).result.config.Labels).toEqual({ a: "2" });
  });

  test("a here-document is what the shell runs, or a file where it says by what", () => {
    const [line, file] = runs(graph("FROM base\nRUN <<EOF\necho a\nEOF\nRUN <<EOF\n#!/bin/awk\nb\nEOF"));
    expect(line?.words).toEqual(["/bin/sh", "-c", "echo a\n"]);
    expect(file?.words).toEqual(["/dev/pipes/EOF"]);
    expect(file?.script).toEqual({ name: "EOF", content: "#!/bin/awk\nb\n" });
  });
});

describe("errors name the file, the line and the column", () => {
  test.each([
    ["stages without end", chain(20_000), "Dockerfile:2001:1: more than 2000 stages"],
    [
      "a stage that comes later",
      "FROM base\nCOPY --from=b / /\nFROM base AS b\nFROM scratch\nCOPY --from=0 / /",
      'Dockerfile:2:1: stage "b" comes later',
    ],
    ["a stage of its own", "FROM base AS a\nCOPY --from=a / /", 'Dockerfile:2:1: stage "a" copies from itself'],
    ["a number that is none", "FROM base\nCOPY --from=7 / /", "Dockerfile:2:1: there is no stage 7"],
    ["an image without a name", "ARG V\nFROM $V", "Dockerfile:2:1: FROM $V names no image"],
    [
      "a checksum of what nobody downloads",
      `FROM base\nADD --checksum=sha256:${"0".repeat(64)} file /`,
      "Dockerfile:2:1: a checksum is for one source",
    ],
    [
      "a checksum of several sources",
      "FROM base\nADD --checksum=sha256:0 https://x/a https://x/b /",
      "Dockerfile:2:1: a checksum is for one source",
    ],
    [
      "a COPY of a URL",
      "FROM base\nCOPY https://me:secret@x/a /",
      'Dockerfile:2:1: COPY does not download "https://x/a"',
    ],
    ["a URL that is none", "FROM base\nADD ftp://x/a /", 'Dockerfile:2:1: use "ftp://x/a": not understood'],
    ["a signal that is none", "FROM base\nSTOPSIGNAL TERMINATE", 'Dockerfile:2:1: "TERMINATE" is no signal'],
    ["a port that is none", "FROM base\nEXPOSE http", 'Dockerfile:2:1: "http" is not a port'],
  ])("%s", (_, text, message) => {
    expect(said(() => graph(text))).toContain(message);
  });

  test("a target that is not there, with what was meant", () => {
    let hint: string | undefined;
    try {
      graph("FROM base AS build", { target: "biuld" });
    } catch (error) {
      hint = (error as { hint?: string }).hint;
    }
    expect(hint).toBe("did you mean build?");
  });
});

describe("keys", () => {
  const run = (text: string, options?: Options) => runs(graph(text, options))[0] as RunOperation;
  const key = (operation: RunOperation, files: string[] = []) =>
    stepKey(undefined, operation, { files, epoch: undefined });

  test("are the same for the same work, whatever stands around it", () => {
    const plain = key(run("FROM base\nENV A=1 B=2\nRUN x"));
    expect(key(run("FROM base\nLABEL a=b\nENV B=2 A=1\nEXPOSE 80\nRUN x"))).toBe(plain);
  });

  test.each([
    ["another command", "FROM base\nENV A=1\nRUN y"],
    ["another environment", "FROM base\nENV A=2\nRUN x"],
    ["another user", "FROM base\nENV A=1\nUSER app\nRUN x"],
    ["another directory", "FROM base\nENV A=1\nWORKDIR /a\nRUN x"],
    ["an argument that it sees", "FROM base\nENV A=1\nARG B=1\nRUN x"],
    ["a mount", "FROM base\nENV A=1\nRUN --mount=type=tmpfs,target=/t x"],
    ["another network", "FROM base\nENV A=1\nRUN --network=none x"],
    ["other rights", "FROM base\nENV A=1\nRUN --security=insecure x"],
  ])("are others for %s", (_, text) => {
    expect(key(run(text))).not.toBe(key(run("FROM base\nENV A=1\nRUN x")));
  });

  test("are others for other files, another base and another time", () => {
    const operation = run("FROM base\nRUN x");
    const all = [
      key(operation),
      key(operation, ["f"]),
      stepKey(`sha256:${"0".repeat(64)}`, operation, { files: [], epoch: undefined }),
      stepKey(undefined, operation, { files: [], epoch: 1 }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  test("do not have what a secret is, as nothing of it is known here", () => {
    const operation = run("FROM base\nRUN --mount=type=secret,id=token x");
    expect(JSON.stringify(operation.mounts)).toContain('"id":"token"');
    expect(key(operation)).toMatch(/^sha256:/);
  });
});

test("images that have to be there are told before anything is done", () => {
  const file = parseDockerfile("FROM a AS x\nFROM b\nCOPY --from=c / /\nCOPY --from=x / /\nCOPY --from=ctx / /");
  const contexts: ContextNames = new Map([["ctx", undefined]]);
  const outlined = { args: {}, target: undefined, before: undefined, build: machine, platform: machine, contexts };
  const outline = outlineOf(file, { ...outlined, images: new Map() });
  expect(imagesOf(outline, contexts).map(({ reference }) => reference)).toEqual(["a", "b", "c"]);
});

test("a RUN reaches names, the Internet and private networks, but not the host's loopback or what clouds tell machines", () => {
  const { network } = networkFor("default");
  const rules = compilePolicy(network as NetworkPolicy);
  const isOwn = () => false;
  const reaches = (ip: string) =>
    decide(rules, { protocol: "tcp", ip, port: 443, names: [] }, isOwn) as { allowed: boolean };
  expect(decideName(rules, "deb.example.com")).toMatchObject({ allowed: true });
  for (const ip of ["93.184.215.14", "2606:2800::1", "10.1.2.3", "192.168.0.9", "fd00::7"])
    expect([ip, reaches(ip).allowed]).toEqual([ip, true]);
  for (const ip of ["127.0.0.1", "::1", "169.254.169.254", "fd00:ec2::254", "224.0.0.1", "0.0.0.0", "::ffff:127.0.0.1"])
    expect([ip, reaches(ip).allowed]).toEqual([ip, false]);
});

describe("options", () => {
  test("that are unknown, or are something else, are refused before anything is done", () => {
    for (const name of Object.keys(VALID) as (keyof BuildOptions)[]) {
      checkBuild({ [name]: VALID[name] });
      checkBuild({ [name]: undefined });
      for (const junk of [null, Number.NaN, Symbol("s"), [null], { a: null }, () => {}])
        if (!(name === "onEvent" && typeof junk === "function") && !(name === "dockerfile" && typeof junk === "object"))
          expect(said(() => checkBuild({ [name]: junk } as BuildOptions))).toContain(name);
    }
    expect(said(() => checkBuild({ tag: "x" } as BuildOptions))).toContain("unknown");
    for (const host of ["a", "a:", ":1.2.3.4", "a:b", "a b:1.2.3.4", "a:host-gateway"])
      expect(said(() => checkBuild({ addHosts: [host] }))).toContain("addHosts");
    checkBuild({ addHosts: ["a:1.2.3.4", "a=1.2.3.4", "a:::1", "a:[::1]"] });
    expect(said(() => checkBuild(null as unknown as BuildOptions))).toContain("not options");
  });

  test("with a secret that is none do not tell what it is", () => {
    const secrets = { token: "hunter2" } as unknown as NonNullable<BuildOptions["secrets"]>;
    expect(said(() => checkBuild({ secrets }))).not.toContain("hunter2");
  });
});

const VALID: Required<BuildOptions> = {
  context: ".",
  file: "Dockerfile",
  dockerfile: "FROM scratch",
  tags: ["a:1"],
  contexts: { other: "." },
  args: { A: "1" },
  labels: { a: "1" },
  target: "stage",
  before: 3,
  platform: "linux/amd64",
  pull: true,
  cache: false,
  noCacheFilter: ["stage"],
  secrets: { a: new Uint8Array(), b: { file: "x" }, c: { env: "X" } },
  ssh: { default: "/agent" },
  network: "none",
  allow: ["network.host"],
  run: { limits: { memory: "64m" }, ulimits: { nofile: 9 }, shmSize: "1m", security: { landlock: "none" } },
  addHosts: ["a:10.0.0.1"],
  squash: true,
  outputs: [{ type: "image" }],
  cacheFrom: [{ type: "local", path: "x" }],
  cacheTo: [{ type: "registry", reference: "x" }],
  sourceDateEpoch: 0,
  parallel: 2,
  onEvent: () => {},
  signal: new AbortController().signal,
};

test("stages on each other are as many as there may be", () => {
  expect(graph(chain(2000)).steps).toHaveLength(1);
});
