/** What the papers and the docstrings show: examples run, output is as it is shown, what is named exists. @module */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { noGateway } from "./support/gateway.ts";
import { noBusybox, noLimits, noSandbox, SLOW, testUnless } from "./support/machine.ts";
import { Folder, makeRootfs } from "./support/rootfs.ts";

const root = join(import.meta.dir, "..");
const text = (file: string) => readFileSync(join(root, file), "utf8");
const filesIn = (folder: string, ending: string) =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .toSorted();

const PAPERS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", ...filesIn("docs", ".md")];
const SOURCES = [
  ...filesIn("lib", ".ts"),
  ...["decoder", "inflate", "scanner", "tar-reader", "zstd"].map((name) => `wasm/${name}.ts`),
];
const TIMEOUT_MS = 20_000 * Math.min(SLOW, 6);

/** Where examples run: with the folders that they name. */
const folder = new Folder();
const rootfs = makeRootfs();
afterAll(() => [folder, rootfs].forEach((each) => each.remove()));

interface Block {
  /** `README.md:31` */
  at: string;
  code: string;
}

function blocks(file: string, language: string): Block[] {
  const source = text(file);
  // in a docstring, each line begins with a star
  const pattern = file.endsWith(".ts") ? /^ *\* ```(\w+)\n([^]*?)\n *\* ```$/gm : /^```(\w+)\n([^]*?)\n```$/gm;
  return [...source.matchAll(pattern)].flatMap(([, name, body = ""], index, all) => {
    if (name !== language) return [];
    const line = source.slice(0, all[index]?.index).split("\n").length;
    const code = file.endsWith(".ts") ? body.replaceAll(/^ *\* ?/gm, "") : body;
    return [{ at: `${file}:${line}`, code }];
  });
}

/** What an example takes for given, by its name. */
const GIVEN: Record<string, string> = {
  box: "await using box = await Sandbox.create();",
  layer: `const layer = Bun.zstdCompressSync(new Uint8Array(1024));`,
  header: `const header = new Uint8Array(512); header.set(new TextEncoder().encode("400\\0"), 148);`,
};

/** What `tsbox/wasm` exports. */
const WASM = ["createTarScanner", "Inflate", "TarReader", "Zstd"];

/** A module: in a docstring the import, and what is given, go without saying. */
function moduleOf({ code }: Block): string {
  const library = WASM.some((name) => code.includes(name)) ? "wasm/index.ts" : "lib/index.ts";
  const lines = code.includes("import ") ? [] : [`import { ${namesFrom(library, code)} } from "tsbox";`];
  for (const [name, declaration] of Object.entries(GIVEN)) {
    const used = new RegExp(`\\b${name}\\b`).test(code);
    if (used && !new RegExp(`(const|using) ${name}\\b`).test(code)) lines.push(declaration);
  }
  return [...lines, code, ""]
    .join("\n")
    .replaceAll('from "tsbox"', `from ${JSON.stringify(join(root, library))}`)
    .replaceAll('from "tsbox/wasm"', `from ${JSON.stringify(join(root, "wasm/index.ts"))}`)
    .replaceAll('from "tsbox/doctor"', `from ${JSON.stringify(join(root, "lib/doctor/index.ts"))}`);
}

function namesFrom(library: string, code: string): string {
  const names = library === "wasm/index.ts" ? WASM : ["Sandbox", "Tsbox", "TsboxError"];
  return names
    .filter((name) => new RegExp(`\\b${name}\\b`).test(code) || (name === "Sandbox" && /\bbox\b/.test(code)))
    .join(", ");
}

/** What `console.log(…); // this` lines of an example say that they print. */
const promised = (code: string) => [...code.matchAll(/^ *console\.log\(.*\); \/\/ (.*)$/gm)].map(([, line]) => line);

function reasonToSkip(code: string): string | undefined {
  if (code.includes("--help")) return undefined;
  if (/\b(memory|cpus|pids): |\s(-m|--memory|--cpus|--pids-limit) /.test(code)) return noLimits;
  if (/\bnetwork: \{|\bconst network = \{/.test(code)) return noGateway;
  return code.includes("./rootfs") ? noBusybox : noSandbox;
}

const EXAMPLES = [...SOURCES, ...PAPERS.filter((file) => file !== "CONTRIBUTING.md")].flatMap((file) =>
  blocks(file, "ts"),
);
/** Images are kept where nobody else's are. */
const env = { ...process.env, TSBOX_ROOT: join(folder.path, "images") };
const fileOf = (block: Block) => `example-${EXAMPLES.indexOf(block)}.ts`;

beforeAll(() => {
  folder.write("src/script.ts", 'console.log("a script");');
  folder.link("rootfs", rootfs.path);
  for (const block of EXAMPLES) folder.write(fileOf(block), moduleOf(block));
  const compilerOptions = { typeRoots: [join(root, "node_modules/@types")], types: ["bun"], noUnusedLocals: false };
  folder.write(
    "tsconfig.json",
    JSON.stringify({ extends: join(root, "tsconfig.json"), compilerOptions, include: ["example-*.ts"] }),
  );
});

describe("examples", () => {
  test("there are some in docstrings and papers", () => {
    for (const file of ["lib/sandbox/sandbox.ts", "lib/sandbox/process.ts", "wasm/inflate.ts", "README.md"])
      expect(EXAMPLES.filter(({ at }) => at.startsWith(`${file}:`)).length).toBeGreaterThan(0);
  });

  test("are well typed", () => {
    const { stdout, stderr } = Bun.spawnSync([process.execPath, "check", "--no-script", "-p", folder.path]);
    expect(stdout.toString() + stderr.toString()).toStartWith("✓ No type errors");
  });

  for (const block of EXAMPLES) {
    testUnless(
      reasonToSkip(block.code),
      `${block.at} runs`,
      () => {
        const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, fileOf(block)], {
          cwd: folder.path,
          env,
        });
        expect({ exitCode, stderr: stderr.toString() }).toEqual({ exitCode: 0, stderr: "" });
        const lines = promised(block.code);
        if (lines.length > 0) expect(stdout.toString().trimEnd().split("\n")).toEqual(lines as string[]);
      },
      TIMEOUT_MS,
    );
  }
});

describe("docs/cli.md", () => {
  const command = `'${process.execPath}' '${join(root, "lib/cli/main.ts")}'`;
  for (const { at, code } of blocks("docs/cli.md", "console")) {
    testUnless(
      reasonToSkip(code),
      `${at} prints what it shows`,
      () => {
        for (const shown of code.split(/^(?=\$ )/m)) {
          const [line = "", ...output] = shown.trimEnd().split("\n");
          const script = `tsbox() { ${command} "$@"; }; ${line.slice(2)}`;
          const { stdout } = Bun.spawnSync(["bash", "-c", `{ ${script}; } 2>&1`], { cwd: folder.path, env });
          expect(stdout.toString().trimEnd().split("\n")).toEqual(output);
        }
      },
      TIMEOUT_MS * 2,
    );
  }
});

describe("papers", () => {
  test.each(PAPERS)("%s: links lead somewhere, files that are named exist", (file) => {
    const paper = text(file);
    const links = [...paper.matchAll(/\]\(([^)#:]+)[^)]*\)/g)].map(([, to = ""]) => join(dirname(file), to));
    const named = [...paper.matchAll(/`((?:lib|syscalls|wasm|tests|bench|examples|docs)\/[\w./-]+\w)`/g)].map(
      ([, path = ""]) => path,
    );
    expect([...links, ...named].filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  test("docs/security.md names tests that exist, for each protection and of each file of attacks", () => {
    const paper = text("docs/security.md");
    const cited = [...paper.matchAll(/\]\(\.\.\/(tests\/[^)]+)\): ((?:"[^"]+"(?:, )?)+)/g)].flatMap(
      ([, file = "", names = ""]) => [...names.matchAll(/"([^"]+)"/g)].map(([, name = ""]) => ({ file, name })),
    );
    expect(cited.length).toBeGreaterThan(80);
    const rows = paper
      .split("\n")
      .filter((line) => line.startsWith("| ") && !line.startsWith("| ---"))
      .slice(1);
    expect(rows.filter((row) => !/\]\(\.\.\/tests\/[^)]+\): "/.test(row))).toEqual([]);
    const files = new Set(cited.map(({ file }) => file));
    expect(filesIn("tests/attacks", ".test.ts").filter((file) => !files.has(file))).toEqual([]);
    expect(cited.filter(({ file, name }) => !text(file).includes(JSON.stringify(name)))).toEqual([]);
  });

  test("ARCHITECTURE.md fits into 120 lines, notes on decisions into half a page", () => {
    expect(text("ARCHITECTURE.md").trimEnd().split("\n").length).toBeLessThanOrEqual(120);
    for (const file of filesIn("docs/decisions", ".md"))
      expect([file, text(file).split("\n").length <= 45]).toEqual([file, true]);
  });
});
