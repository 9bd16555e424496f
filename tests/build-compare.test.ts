/** The same Dockerfiles, built by tsbox, by buildah and by Docker: files and configs, field by field. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { createReadStream, mkdirSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { extract } from "tar-stream";
import { startEngine, type Engine } from "./e2e/engine.ts";
import { CONTEXT, CORPUS, type CorpusFile } from "./support/build-corpus.ts";
import { TestBuilds } from "./support/builds.ts";
import { notRoot, testUnless } from "./support/machine.ts";
import { Folder } from "./support/rootfs.ts";

const TIMEOUT_MS = 60_000;
const missing = (...programs: string[]) => programs.find((program) => Bun.which(program) === null);
const without = (program: string | undefined) => notRoot ?? (program && `${program} is not installed`);
const NO_BUILDAH = without(missing("buildah"));
const NO_DOCKER = without(missing("docker", "dockerd", "containerd", "unshare", "nsenter"));

type Config = Record<string, unknown>;
interface Built {
  /** By path: `file 0a1b2c3d4e5f 644 0:0`. */
  files: Record<string, string>;
  config: Config;
}

interface Builder {
  build(file: CorpusFile): Promise<Built>;
  /** What it cannot build, and why. */
  refuses: Record<string, string>;
  /** Where something else comes of it, and why. */
  differs: Record<string, string>;
}

let builds: TestBuilds;
let folder: Folder;
let docker: Engine | undefined;

beforeAll(async () => {
  if (notRoot !== undefined) return;
  builds = await TestBuilds.make(["ENV PATH=/bin", 'CMD ["sh"]']);
  folder = new Folder();
  writeContext();
  folder.write("base/Dockerfile", 'FROM scratch\nADD base.tar /\nENV PATH=/bin\nCMD ["sh"]\n');
  await builds.build("FROM base", { outputs: [{ type: "tar", destination: join(folder.path, "base/base.tar") }] });
}, TIMEOUT_MS);
afterAll(async () => {
  await docker?.[Symbol.asyncDispose]();
  builds?.[Symbol.dispose]();
  folder?.remove();
}, TIMEOUT_MS);

function writeContext(): void {
  for (const [name, content] of Object.entries(CONTEXT)) {
    const [path = "", target] = name.split(" -> ");
    if (target !== undefined) symlinkSync(target, join(builds.context.path, path));
    else if (path.endsWith("/")) mkdirSync(join(builds.context.path, path));
    else builds.context.write(path, content, path.endsWith(".sh") ? 0o755 : 0o644);
  }
}

function call(command: string[], env: Record<string, string | undefined> = process.env): string {
  const { exitCode, stdout, stderr } = Bun.spawnSync(command, { stderr: "pipe", env });
  if (exitCode !== 0) throw new Error(`${command.join(" ")}: ${exitCode}\n${stderr.toString()}`);
  return stdout.toString();
}

const flagsOf = ({ args = {}, target }: CorpusFile): string[] => [
  ...Object.entries(args).map(([name, value]) => `--build-arg=${name}=${value}`),
  ...(target === undefined ? [] : [`--target=${target}`]),
];

async function ours({ dockerfile, args, target }: CorpusFile): Promise<Built> {
  const archive = join(folder.path, "ours.tar");
  await builds.build(dockerfile, {
    outputs: [{ type: "tar", destination: archive }, { type: "image" }],
    ...(args ? { args } : {}),
    ...(target === undefined ? {} : { target }),
  });
  using images = builds.images();
  return { files: await filesOf(archive), config: said((await images.inspect("made")).Config as Config) };
}

/** All that it has is in a directory of the test's own. */
function buildah(...words: string[]): string {
  const store = ["--root", join(folder.path, "root"), "--runroot", join(folder.path, "run"), "--storage-driver=vfs"];
  return call(["buildah", ...store, ...words]);
}

const BUILDAH: Builder = {
  refuses: {
    "patterns in variables": "its expansion is older",
    "a script": "it knows no here-documents",
  },
  differs: {
    "another shell": "CMD goes to the usual shell, not to that of SHELL",
    "what only the config has": "a range of ports is one port",
    "a mount of the context": "what is ignored is in it",
  },
  async build(file) {
    const archive = join(folder.path, "theirs.tar");
    const manner = ["--isolation=chroot", "--format=docker", "--identity-label=false", "--pull-never", "--no-cache"];
    if (!buildah("images", "--format={{.Name}}").includes("/base"))
      buildah("bud", ...manner, "-t", "base", join(folder.path, "base"));
    const output = `type=tar,dest=${archive}`;
    buildah("bud", ...manner, ...flagsOf(file), "-t", "made", "-o", output, builds.context.path);
    const { Docker } = JSON.parse(buildah("inspect", "--type=image", "made")) as { Docker: { config: Config } };
    return { files: await filesOf(archive), config: said(Docker.config) };
  },
};

/** The builder that dockerd has in itself; the other one is asked through a plugin. */
const DOCKER: Builder = {
  refuses: {
    "a script": "it is BuildKit's",
    "a mount of the context": "it is BuildKit's",
    "a mount of a stage": "it is BuildKit's",
    "a mount of a cache and of memory": "it is BuildKit's",
    "copying with an owner": "--chmod is BuildKit's",
    "patterns in variables": "its expansion is older",
    "a stage that nobody needs": "it is built all the same",
  },
  differs: {},
  async build(file) {
    process.env["ENGINE"] = "docker";
    docker ??= await startEngine(folder);
    const { env, command } = docker;
    const engine = (...words: string[]) => call(command(words, folder.path), { ...env, DOCKER_BUILDKIT: "0" });
    const manner = ["build", "--quiet", "--network=none", "--no-cache"];
    if (engine("images", "--quiet", "base") === "") engine(...manner, "-t", "base", join(folder.path, "base"));
    engine(...manner, ...flagsOf(file), "-t", "made", builds.context.path);
    const archive = join(folder.path, "theirs.tar");
    const id = engine("create", "made", "x").trim();
    engine("export", "-o", archive, id);
    engine("rm", id);
    const config = JSON.parse(engine("inspect", "--format={{json .Config}}", "made")) as Config;
    return { files: await filesOf(archive), config: said(config) };
  },
};

/** What others have in an image where RUN found it mounted. */
const LEFT_BY_RUN =
  /^(?:dev(?:\/.*)?|proc|sys|run|run\/\.containerenv|\.dockerenv|etc\/(?:hosts|hostname|resolv\.conf|mtab))$/;

async function filesOf(archive: string): Promise<Record<string, string>> {
  const files = new Map<string, string>();
  const hashes = new Map<string, string>();
  const entries = extract();
  createReadStream(archive).pipe(entries);
  for await (const entry of entries) {
    const { name, type, mode = 0, uid, gid, linkname } = entry.header;
    const path = plainPath(name);
    const hash = createHash("sha256");
    for await (const piece of entry) hash.update(piece as Uint8Array);
    if (type === "file") hashes.set(path, hash.digest("hex").slice(0, 12));
    // which of several names of a file is the link is nobody's business
    if (type === "link") hashes.set(path, hashes.get(plainPath(linkname ?? "")) ?? "");
    const what = type === "file" || type === "link" ? `file ${hashes.get(path)}` : `${type} ${linkname ?? ""}`;
    if (path !== "" && !LEFT_BY_RUN.test(path)) files.set(path, `${what} ${(mode & 0o7777).toString(8)} ${uid}:${gid}`);
  }
  return Object.fromEntries([...files].toSorted());
}

const plainPath = (name: string) => name.replace(/^\.?\/+/, "").replace(/\/$/, "");

const FIELDS =
  "Cmd Entrypoint Env ExposedPorts Healthcheck Labels OnBuild Shell StopSignal User Volumes WorkingDir".split(" ");
/** What is not there, and what is empty, say the same. */
const isNothing = (value: unknown) =>
  value === undefined ||
  value === null ||
  value === "" ||
  (typeof value === "object" && Object.keys(value).length === 0);
const said = (config: Config): Config =>
  Object.fromEntries(FIELDS.filter((field) => !isNothing(config[field])).map((field) => [field, config[field]]));

describe.each([
  ["buildah", NO_BUILDAH, BUILDAH],
  ["docker", NO_DOCKER, DOCKER],
] as const)("as %s builds it:", (_, reason, builder) => {
  for (const file of CORPUS)
    testUnless(
      reason,
      file.name,
      async () => {
        builds.context.write("Dockerfile", file.dockerfile);
        const made = await ours(file);
        if (builder.refuses[file.name]) return void expect(await failed(builder.build(file))).toBe(true);
        const theirs = await builder.build(file);
        if (builder.differs[file.name]) return void expect(made).not.toEqual(theirs);
        expect(made).toEqual(theirs);
      },
      TIMEOUT_MS,
    );
});

const failed = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => false,
    () => true,
  );

test("the names of the corpus are names", () => {
  const names = new Set(CORPUS.map(({ name }) => name));
  expect(names.size).toBe(CORPUS.length);
  const excepted = [BUILDAH, DOCKER].flatMap(({ refuses, differs }) => [
    ...Object.keys(refuses),
    ...Object.keys(differs),
  ]);
  expect(excepted.filter((name) => !names.has(name))).toEqual([]);
});
