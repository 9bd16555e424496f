/** Images that other tools made (umoci, GNU tar, skopeo), and what a store looks like. @module */
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from "node:fs";
import { join } from "node:path";
import { noBusybox } from "./machine.ts";
import { noRegistry } from "./registry.ts";
import type { Folder } from "./rootfs.ts";

export const noImageTools =
  noBusybox ??
  (["umoci", "skopeo"].every((name) => existsSync(`/usr/bin/${name}`))
    ? undefined
    : "umoci or skopeo is not installed");
export const noImageRegistry = noRegistry ?? noImageTools;

/** Runs a tool to its end. @returns what it printed */
export const tool = (...command: string[]): Promise<string> => run(command, process.env);

/** skopeo, with its own choice of what it trusts, and nobody's credentials. */
export const skopeo = (...words: string[]): Promise<string> =>
  run(["skopeo", "--insecure-policy", ...words], { ...process.env, REGISTRY_AUTH_FILE: "/nonexistent/auth.json" });

async function run(command: string[], env: Record<string, string | undefined>): Promise<string> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe", env });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}: ${code}\n${stderr}`);
  return stdout;
}

/**
 * An OCI image layout with one image, `image`, of three layers by GNU tar and umoci: busybox; files, links and modes;
 * a change with whiteouts. @returns its path
 */
export async function makeLayout(folder: Folder): Promise<string> {
  const layout = join(folder.path, "layout");
  const image = `${layout}:image`;
  await tool("umoci", "init", "--layout", layout);
  await tool("umoci", "new", "--image", image);
  for (const [at, fill] of [fillBase, fillFiles, fillChange].entries()) {
    const directory = folder.directory(`layer${at}`);
    fill(new Files(folder, `layer${at}`));
    const tar = `${directory}.tar`;
    await tool("tar", "-C", directory, "--owner=0", "--group=0", "--numeric-owner", "-cf", tar, ".");
    await tool("umoci", "raw", "add-layer", "--image", image, tar);
  }
  const config = [
    "cmd=run",
    "entrypoint=/bin/sh",
    "env=A=1",
    "label=made.by=others",
    "exposedports=80/tcp",
    "user=7:8",
  ];
  await tool(
    "umoci",
    "config",
    "--image",
    image,
    ...config.flatMap((word) => [`--config.${word.split("=")[0]}`, word.slice(word.indexOf("=") + 1)]),
  );
  return layout;
}

class Files {
  readonly #folder: Folder;
  readonly #name: string;
  constructor(folder: Folder, name: string) {
    [this.#folder, this.#name] = [folder, name];
  }
  path(name: string): string {
    return join(this.#folder.path, this.#name, name);
  }
  write(name: string, content: string | Uint8Array = "", mode = 0o644): void {
    this.#folder.write(`${this.#name}/${name}`, content, mode);
  }
}

function fillBase(files: Files): void {
  files.write("bin/busybox", readFileSync("/bin/busybox"), 0o755);
  for (const applet of ["sh", "cat", "echo", "true", "ls"]) symlinkSync("busybox", files.path(`bin/${applet}`));
  files.write("etc/passwd", "root:x:0:0::/root:/bin/sh\n");
  files.write("etc/gone", "there is a whiteout for this above");
  files.write("var/old/one", "1");
  chmodSync(files.path("var/old"), 0o711);
}

function fillFiles(files: Files): void {
  for (let at = 0; at < 200; at++) files.write(`srv/many/file${at}`, `${at}`.repeat(at));
  files.write(
    "srv/big",
    new Uint8Array(2_000_000).map((_, at) => (at * at) % 251),
  );
  linkSync(files.path("srv/big"), files.path("srv/hard"));
  files.write("srv/setuid", "x", 0o4755);
  files.write("var/old/two", "2");
}

function fillChange(files: Files): void {
  files.write("etc/.wh.gone");
  files.write("etc/passwd", "root:x:0:0::/root:/bin/sh\napp:x:7:8::/:/bin/sh\n");
  files.write("srv/many/.wh..wh..opq");
  files.write("srv/many/only", "the only one");
}

/** Everything in a directory, a line each: what it is, and of small files what is in them. */
export function listing(directory: string, without: readonly string[] = []): string[] {
  const names = existsSync(directory) ? readdirSync(directory, { recursive: true, encoding: "utf8" }) : [];
  return names
    .filter((name) => !without.some((prefix) => name === prefix || name.startsWith(`${prefix}/`)))
    .toSorted()
    .map((name) => {
      const path = join(directory, name);
      const stat = lstatSync(path);
      const mode = (stat.mode & 0o7777).toString(8);
      if (stat.isSymbolicLink()) return `${name} -> ${readlinkSync(path)}`;
      if (stat.isDirectory()) return `${name}/ ${mode}`;
      if (!stat.isFile()) return `${name} special`;
      return `${name} ${mode} ${stat.size} ${Bun.hash(readFileSync(path)).toString(36)}`;
    });
}

/** Which layers are known to be on the disk. */
const SYNC_MARK = /\/(?:synced|boot-[0-9a-f-]+) /;

/** What somebody else sees of a store: names, blobs and layers; not what is not whole yet, and not when what was used. */
export const storeListing = (root: string): string[] =>
  listing(root, ["ingest", "tsbox.db", "tsbox.db-wal", "tsbox.db-shm", "lock"]).filter((line) => !SYNC_MARK.test(line));
