/**
 * The groups below a group: whoever may write to control groups makes them, and nests them as deep as there is memory for.
 * So they are reached one from another; a path may be too long.
 * @module
 */
import { Directory, readKernelFile } from "../../syscalls/index.ts";

/** More are not looked at. */
const MAX_GROUPS = 100_000;

/** A group by its name in the one above it, and by its path, as far as that is of use. */
export interface Below {
  above: Directory;
  name: string;
  path: string;
}

/** Deepest first, so that each can be removed when it is its turn. `above` stays open until the next. */
export function* groupsBelow(top: string): Generator<Below> {
  let at = inside(top);
  if (!at) return;
  // of each group on the way down: what is left to be visited in it
  const way = [{ name: "", left: at.directories() }];
  try {
    for (let visited = 0; visited < MAX_GROUPS;) {
      const { name, left } = way.at(-1) as (typeof way)[number];
      const next = left.pop();
      const step: Directory | undefined = inside(next ?? "..", at);
      // removed meanwhile, or somebody else's
      if (!step && next !== undefined) continue;
      if (!step || (next === undefined && way.length === 1)) {
        step?.[Symbol.dispose]();
        return;
      }
      at[Symbol.dispose]();
      at = step;
      if (next !== undefined) {
        way.push({ name: next, left: at.directories() });
        continue;
      }
      const path = [top, ...way.slice(1).map((one) => one.name)].join("/");
      way.pop();
      visited++;
      yield { above: at, name, path };
    }
  } finally {
    at[Symbol.dispose]();
  }
}

function inside(name: string, directory?: Directory): Directory | undefined {
  try {
    return directory ? directory.directory(name) : Directory.open(name);
  } catch {
    return undefined;
  }
}

/** Of a group, and of those below it. */
export function processesIn(top: string): number[] {
  const found = parse(readKernelFile(`${top}/cgroup.procs`) ?? readKernelFile(`${top}/cgroup.threads`));
  for (const { above, name } of groupsBelow(top)) {
    found.push(...parse(tryRead(above, `${name}/cgroup.procs`) ?? tryRead(above, `${name}/cgroup.threads`)));
  }
  return found;
}

const LIMIT_BYTES = 64 * 1024 * 1024;

/** A group of threads does not tell its processes. */
function tryRead(directory: Directory, name: string): string | undefined {
  try {
    const content = directory.read(name, LIMIT_BYTES);
    return content && new TextDecoder().decode(content);
  } catch {
    return undefined;
  }
}

/** A process that is seen from a pid namespace that it is not in has the number 0. */
const parse = (text = ""): number[] =>
  text
    .split("\n")
    .map(Number)
    .filter((pid) => pid > 0);
