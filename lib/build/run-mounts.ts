/** What RUN --mount asks for, ready to be mounted. @module */
import { TsboxError } from "../../syscalls/index.ts";
import { dockerfileError, directoryFrom } from "../dockerfile/index.ts";
import { StackedRoot, type MountOption } from "../sandbox/index.ts";
import { cacheMount } from "./cache-mounts.ts";
import type { Copied } from "./copy.ts";
import { copied, type Prepared, type SelectedMount } from "./mount-files.ts";
import type { Found, Making } from "./making.ts";
import { agentMount } from "./ssh.ts";
import { readSecret } from "./secrets.ts";
import { lowersOf } from "./snapshot.ts";
import { PIPES } from "./stage-steps.ts";
import { treeOf } from "./trees.ts";
import type { RunOperation, StepMount } from "./step.ts";

export interface Mounted extends AsyncDisposable {
  mounts: MountOption[];
  env: Record<string, string>;
  /** What is mounted of contexts is what the step is known by. */
  isSame: boolean;
}

/**
 * @param selected of the mounts of contexts, in their order
 * @throws TsboxError for what a mount is made of and is not there
 */
export async function mountsFor(
  making: Making,
  found: Found,
  operation: RunOperation,
  selected: readonly Copied[],
): Promise<Mounted> {
  const left = [...selected];
  const prepared: Prepared[] = [];
  const release = async () => {
    for (const each of prepared.splice(0).toReversed()) await each.release?.();
  };
  try {
    for (const [index, written] of operation.mounts.entries()) {
      const mount = written.files?.kind === "context" ? { ...written, selection: left.shift()?.selection } : written;
      prepared.push(await prepare(making, found, operation, mount, index));
    }
    if (operation.script) prepared.push(scriptMount(operation.script));
  } catch (error) {
    await release();
    throw error;
  }
  return {
    mounts: prepared.flatMap(({ mount }) => mount ?? []),
    env: Object.assign({}, ...prepared.map(({ env }) => env)) as Record<string, string>,
    isSame: prepared.every(({ isSame = true }) => isSame),
    [Symbol.asyncDispose]: release,
  };
}

async function prepare(
  making: Making,
  found: Found,
  { directory }: RunOperation,
  mount: SelectedMount,
  index: number,
): Promise<Prepared> {
  const target = mount.target === undefined ? undefined : directoryFrom(directory, mount.target);
  const place = targetOf(found, making, target ?? directory, mount);
  switch (mount.type) {
    case "tmpfs":
      return { mount: { type: "tmpfs", target: place, ...sizeOf(mount) } };
    case "bind":
      return bindMount(making, found, mount, place);
    case "cache":
      return cacheMount(making, found, mount, place);
    case "secret":
      return secretMount(making, found, mount, target);
    case "ssh":
      return agentMount(making, mount, target ?? `/run/buildkit/ssh_agent.${index}`, () =>
        missing(making, found, `the SSH agent ${JSON.stringify(mount.id ?? "default")}`, "--ssh default"),
      );
  }
}

/** @throws TsboxError `dockerfile_invalid` */
function targetOf({ step }: Found, { file }: Making, target: string, { type }: StepMount): string {
  if (target !== "/" || type === "secret" || type === "ssh") return target;
  throw dockerfileError(file, step.place ?? { line: 1, column: 1 }, `a ${type} mount on "/"`, "give it a target");
}

const sizeOf = ({ sizeBytes }: StepMount) => (sizeBytes === undefined ? {} : { size: sizeBytes });

/** A step's files are mounted as they are; those of a context, and files that may be written, are copies. */
async function bindMount(making: Making, found: Found, mount: SelectedMount, target: string): Promise<Prepared> {
  const { files, source = "/", readOnly = true } = mount;
  if (files?.kind === "step" && readOnly) {
    const lowers = lowersOf(making, found.snapshots.get(files.step) ?? []);
    const subpath = source.replace(/^\/+|\/+$/g, "");
    const tree = await treeOf(making, found, files);
    if ((await making.files.kindIn(tree, source)) === "directory" && lowers.length > 0) {
      const stack = new StackedRoot(lowers, [], making.store.path);
      return { mount: { type: "image", source: stack, target, ...(subpath === "" ? {} : { subpath }) } };
    }
  }
  const { path, isSame } = await copied(making, found, mount);
  return { mount: { type: "bind", source: path, target, readOnly }, isSame };
}

async function secretMount(
  making: Making,
  found: Found,
  mount: StepMount,
  target: string | undefined,
): Promise<Prepared> {
  const id = mount.id ?? target?.slice(target.lastIndexOf("/") + 1) ?? "";
  const content = await readSecret(making.options.secrets ?? {}, id, making.signal);
  if (content === undefined) {
    if (mount.required) throw missing(making, found, `the secret ${JSON.stringify(id)}`, `--secret id=${id},src=FILE`);
    return {};
  }
  const env = mount.env === undefined ? {} : { [mount.env]: new TextDecoder().decode(content) };
  if (mount.env !== undefined && target === undefined) return { env };
  const { mode = 0o400, uid = 0, gid = 0 } = mount;
  const inside = target ?? `/run/secrets/${id}`;
  return { env, mount: { type: "file", target: inside, content, mode, uid, gid } };
}

function missing({ file }: Making, { step }: Found, what: string, hint: string): TsboxError {
  const where = step.place ? `${file}:${step.place.line}:${step.place.column}` : file;
  return new TsboxError(`${where}: ${step.text}: ${what} is not given`, {
    code: "build_failed",
    hint,
  });
}

/** A here-document that is a program. */
const scriptMount = ({ name, content }: { name: string; content: string }): Prepared => ({
  mount: { type: "file", target: `${PIPES}/${name}`, content, mode: 0o755 },
});
