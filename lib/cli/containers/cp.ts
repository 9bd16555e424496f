/** `tsbox cp`: files between a container and the host. @module @see https://docs.docker.com/reference/cli/docker/container/cp/ */
import type { Container } from "../../containers/index.ts";
import { absolute, TsboxError } from "../../sandbox/index.ts";
import { sizeOfTerminal } from "../../terminal/index.ts";
import { declare, type Add } from "../images/declare.ts";
import { humanSize } from "../images/human.ts";
import { print } from "../print.ts";
import { printPieces } from "../print-pieces.ts";
import { UsageError } from "../report.ts";
import { safeText } from "../safe-text.ts";
import { planCopy, splitCopyWord, type Place } from "./copy-plan.ts";
import { withContainers } from "./with-containers.ts";

interface CopyFlags {
  archive?: boolean;
  followLink?: boolean;
  quiet?: boolean;
}

const [STDIN, STDOUT, STDERR] = [0, 1, 2];
const STREAM = "-";

export const addCopy: Add = (parent, name) =>
  void declare(
    parent,
    name,
    {
      summary: "Copy files between a container and the host",
      more: ', whether it runs or not. "-" is a tar archive: read from stdin, or written to stdout.\nSockets and devices are left out of what comes from a container',
      usage: "[FLAGS] CONTAINER:SRC_PATH DEST_PATH|-\n       tsbox cp [FLAGS] SRC_PATH|- CONTAINER:DEST_PATH",
      words: ["<SRC>", "<DEST>"],
      flags: [
        ["-a, --archive", "Keep owners, rather than root in the container, or yourself on the host"],
        ["-L, --follow-link", "Copy what the source leads to, where it is a symlink"],
        ["-q, --quiet", "Say nothing; so it is where stdout is no terminal"],
      ],
    },
    (source: string, target: string, flags: CopyFlags) =>
      withContainers(async (containers, signal) => {
        const [from, to] = [splitCopyWord(source), splitCopyWord(target)];
        checkPath("source", source, from.path);
        checkPath("destination", target, to.path);
        if (from.container !== undefined && to.container !== undefined)
          throw new UsageError("copy: copying between containers is not supported", "copy to the host, and from there");
        if (from.container !== undefined)
          return await copyOut(await containers.get(from.container), from, target, flags, signal);
        if (to.container === undefined)
          throw new UsageError(
            "copy: must specify at least one container source",
            '"CONTAINER:PATH" names a file in one',
          );
        return await copyIn(await containers.get(to.container), source, to, flags, signal);
      }),
  );

/** A variable that is not set is not everything. */
function checkPath(which: string, word: string, path: string): void {
  if (path !== "") return;
  const hint = word === "" ? "a path, or CONTAINER:PATH" : `all of it: "${word}/"`;
  throw new UsageError(`copy: the ${which} can not be empty`, hint);
}

const hostFiles = async () => (await import("../../containers/index.ts")).hostFiles();

/** What is counted while it flows. */
class Counted {
  bytes = 0;
  async *of(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
    for await (const piece of pieces) {
      this.bytes += piece.length;
      yield piece;
    }
  }
}

function said({ quiet }: CopyFlags, bytes: number, where: string): void {
  if (!(quiet ?? sizeOfTerminal(STDOUT) === undefined))
    print(safeText(`Successfully copied ${humanSize(bytes)} to ${where}\n`), STDERR);
}

async function copyOut(
  container: Container,
  { container: name, path }: { container?: string; path: string },
  target: string,
  flags: CopyFlags,
  signal: AbortSignal,
): Promise<void> {
  const followLink = flags.followLink === true;
  if (target === STREAM) {
    if (sizeOfTerminal(STDOUT)) throw new UsageError("copy to stdout: it is a terminal", "redirect it");
    return printPieces(await container.copyOut(path, { followLink, signal }), signal);
  }
  const source = await container.stat(path, { follow: followLink || /\/\.?$/.test(path) });
  if (!source)
    throw new TsboxError(`Could not find the file ${path} in container ${name}`, { code: "file_not_found", path });
  const plan = planCopy({ path, ...kindOf(source) }, hostPlace(target));
  const { renamed, unpackHost } = await hostFiles();
  const counted = new Counted();
  const archive = counted.of(await container.copyOut(path, { followLink, signal }));
  await unpackHost(plan.directory, renamed(archive, plan.name), { sameOwner: flags.archive === true });
  said(flags, counted.bytes, absolute(target));
}

const kindOf = (stat: { type: string } | undefined): Pick<Place, "kind"> => ({
  kind: stat === undefined ? "missing" : stat.type === "directory" ? "directory" : "file",
});

/** Symlinks are followed: whoever made them is not in the container. */
function hostPlace(path: string): Place {
  const { realpathSync, statSync } = process.getBuiltinModule("node:fs");
  const stat = statSync(path, { throwIfNoEntry: false });
  if (!stat) return { path: hostAbsolute(path), kind: "missing", parentKind: hostParent(path) };
  const kind = stat.isDirectory() ? "directory" : stat.isFile() ? "file" : "special";
  // of a pipe without a name there is no path
  const real = kind === "special" ? absolute(path) : realpathSync(path);
  const tail = /\/\.?$/.exec(path)?.[0] ?? "";
  return { path: `${real}${tail}`, kind };
}

const hostAbsolute = (path: string): string => `${absolute(path)}${path.endsWith("/") ? "/" : ""}`;

function hostParent(path: string): "directory" | "missing" {
  const { statSync } = process.getBuiltinModule("node:fs");
  const parent = absolute(`${absolute(path)}/..`);
  return statSync(parent, { throwIfNoEntry: false })?.isDirectory() ? "directory" : "missing";
}

async function copyIn(
  container: Container,
  source: string,
  { container: name, path }: { container?: string; path: string },
  flags: CopyFlags,
  signal: AbortSignal,
): Promise<void> {
  const counted = new Counted();
  const into = { archive: flags.archive === true, signal };
  const where = `${name}:${path}`;
  if (source === STREAM) {
    if (sizeOfTerminal(STDIN))
      throw new UsageError("copy from stdin: it is a terminal", "an archive is read from there");
    const stat = await container.stat(path);
    if (stat?.type !== "directory")
      throw new TsboxError(`destination "${where}" must be a directory`, { code: "file_refused", path });
    await container.copyIn(path, streamOf(counted.of(Bun.stdin.stream())), into);
    return said(flags, counted.bytes, where);
  }
  const followLink = flags.followLink === true || /\/\.?$/.test(source);
  const { lstatSync, statSync } = process.getBuiltinModule("node:fs");
  const stat = (followLink ? statSync : lstatSync)(source, { throwIfNoEntry: false });
  if (!stat)
    throw new TsboxError(`lstat ${source}: no such file or directory`, { code: "file_not_found", path: source });
  const plan = planCopy(
    { path: source, kind: stat.isDirectory() ? "directory" : "file" },
    await insidePlace(container, path),
  );
  const { packHost } = await hostFiles();
  await container.copyIn(plan.directory, streamOf(counted.of(packHost(source, plan.name, followLink))), into);
  said(flags, counted.bytes, where);
}

async function insidePlace(container: Container, path: string): Promise<Place> {
  const whole = path.startsWith("/") ? path : `/${path}`;
  const stat = await container.stat(whole);
  const tail = /\/\.?$/.exec(whole)?.[0] ?? "";
  if (stat)
    return {
      path: `${stat.path.replace(/\/+$/, "")}${tail}` || "/",
      kind: stat.type === "directory" || stat.type === "file" ? stat.type : "special",
    };
  const parent = await container.stat(`${whole.replace(/\/+$/, "")}/..`.replace(/[^/]+\/\.\.$/, "") || "/");
  return { path: whole, kind: "missing", parentKind: parent?.type === "directory" ? "directory" : "missing" };
}

const streamOf = (pieces: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> =>
  new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { value, done } = await pieces.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await pieces.return();
    },
  });
