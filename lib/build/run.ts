/** RUN: a command in a sandbox over the layers so far; what it writes is the next one. @module */
import { Directory, TsboxError } from "../../syscalls/index.ts";
import { CAPABILITIES } from "../plan/index.ts";
import { spawnOver, type ProcessResult, type RunOptions, type SandboxProcess } from "../sandbox/index.ts";
import type { Copied } from "./copy.ts";
import { LastLines } from "./last-lines.ts";
import type { Found, Making } from "./making.ts";
import { networkFiles, networkFor } from "./network.ts";
import { lowersOf } from "./snapshot.ts";
import { isProxy } from "./variables.ts";
import type { RunOperation, Step } from "./step.ts";
import { mountsFor, type Mounted } from "./run-mounts.ts";
import { removeStubs } from "./stubs.ts";

/**
 * @param layer an empty directory, in which `upper` is what was written
 * @returns whether what was mounted is what the step was known by
 * @throws TsboxError `build_failed` where the command does not exit with 0
 */
export async function run(
  making: Making,
  { found, operation, copied }: { found: Found; operation: RunOperation; copied: readonly Copied[] },
  layer: string,
): Promise<boolean> {
  const { step, below } = found;
  checkAllowed(making, step, operation);
  const lowers = lowersOf(making, below);
  Directory.make(`${layer}/upper`, 0o755);
  await using mounted = await mountsFor(making, found, operation, copied);
  const hosts = networkFiles(operation);
  const options = optionsFor(making, operation, layer, { ...mounted, mounts: [...mounted.mounts, ...hosts] });
  const last = new LastLines();
  const start = async (asked: RunOptions) => {
    const child = spawnOver(lowers, making.store.path, operation.words, asked);
    const [ended] = await Promise.all([child.result(), tell(making, step, child, last)]);
    return ended;
  };
  const result = await located(making, step, async () => {
    try {
      return await start(options);
    } catch (error) {
      if (operation.network !== "default" || (error as TsboxError).code !== "unsupported") throw error;
      // most steps need none: those that do will fail, and this says why
      const message = `${whereOf(making.file, step)}: there is no network: ${(error as TsboxError).message}`;
      making.onEvent({ type: "warning", message, ...(step.place ? { line: step.place.line } : {}) });
      return onceFree(layer, () => start({ ...options, network: false }));
    }
  });
  making.signal.throwIfAborted();
  if (result.exitCode !== 0) throw runError(making, step, result, last);
  const made = options.mounts?.map(({ target }) => target) ?? [];
  removeStubs(`${layer}/upper`, lowers, [...STANDARD, ...made]);
  return mounted.isSame;
}

/** A process of another step, which has begun but not executed anything yet, has the lock of this one's layer as well. */
async function onceFree<T>(layer: string, work: () => Promise<T>): Promise<T> {
  for (let turn = 0; ; turn++) {
    try {
      return await work();
    } catch (error) {
      const { code, path } = error as TsboxError;
      if (code !== "mount_failed" || path !== layer || turn === TURNS) throw error;
      await new Promise((resolve) => setTimeout(resolve, TURN_MS));
    }
  }
}

const [TURNS, TURN_MS] = [250, 20];

/** Where every sandbox has something mounted. */
const STANDARD = ["/proc", "/sys", "/dev", "/etc/resolv.conf"];

function optionsFor(
  { options, signal }: Making,
  { env, user, directory, security, network }: RunOperation,
  layer: string,
  { mounts, env: more }: Pick<Mounted, "mounts" | "env">,
): RunOptions {
  const { security: protections, ...others } = options.run ?? {};
  const proxies = Object.entries(options.args ?? {}).filter(([name]) => isProxy(name));
  return {
    writableLayer: layer,
    env: { ...Object.fromEntries(proxies), ...Object.fromEntries(env), ...more },
    cwd: directory,
    user: user === "" ? "0:0" : user,
    mounts,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    signal,
    ...networkFor(network),
    ...others,
    security: {
      noNewPrivileges: false,
      ...protections,
      ...(security === "insecure" ? { capabilities: [...CAPABILITIES], seccomp: "none" as const } : {}),
    },
  };
}

/** What a file asks for that is not its own to have. @throws TsboxError `permission_denied` */
function checkAllowed({ options, file }: Making, step: Step, { network, security }: RunOperation): void {
  const { allow = [] } = options;
  const needed = [
    ...(network === "host" && options.network !== "host" ? (["network.host"] as const) : []),
    ...(security === "insecure" ? (["security.insecure"] as const) : []),
  ];
  const missing = needed.find((each) => !allow.includes(each));
  if (missing === undefined) return;
  throw new TsboxError(`${whereOf(file, step)}: ${step.text} is not allowed`, {
    code: "permission_denied",
    hint: `allow it, where you trust the file: --allow ${missing}`,
  });
}

async function tell({ onEvent }: Making, { number }: Step, child: SandboxProcess, last: LastLines): Promise<void> {
  const read = async (stream: "stdout" | "stderr") => {
    for await (const bytes of child[stream] ?? []) {
      last.add(bytes);
      onEvent({ type: "output", step: number, stream, bytes: bytes.slice() });
    }
  };
  await Promise.all([read("stdout"), read("stderr")]);
}

/** `Dockerfile:3:1` */
const whereOf = (file: string, { place }: Step): string => (place ? `${file}:${place.line}:${place.column}` : file);

function runError({ file }: Making, step: Step, result: ProcessResult, last: LastLines): TsboxError {
  const how = result.exitCode === null ? `ended by ${result.signalCode}` : `exit code ${result.exitCode}`;
  const why = result.reason === "exit" || result.reason === "signal" ? "" : ` (${result.reason})`;
  const lines = last.lines.map((line) => `\n  ${line}`).join("");
  return new TsboxError(`${whereOf(file, step)}: ${step.text}: ${how}${why}${lines}`, {
    code: "build_failed",
    hint: `a look at what was there before: build it with --before ${step.place?.line}, and run a shell in that image`,
  });
}

async function located<T>(making: Making, step: Step, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw startError(making, step, error);
  }
}

function startError({ file, signal }: Making, step: Step, error: unknown): unknown {
  if (signal.aborted) return signal.reason;
  if (!(error instanceof TsboxError)) return error;
  const { hint, path } = error;
  return new TsboxError(`${whereOf(file, step)}: ${step.text}: ${error.message}`, {
    code: "build_failed",
    cause: error,
    ...(hint === undefined ? {} : { hint }),
    ...(path === undefined ? {} : { path }),
  });
}
