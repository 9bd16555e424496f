/** A runtime of a test's own: its root is in a folder that goes with the test. @module */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerRecord, Runtime } from "../../lib/oci/index.ts";
import { Container, RECORD_VERSION, startTimeOf } from "../../lib/oci/index.ts";
import { adoptOrphans } from "./processes.ts";
import { Folder } from "./rootfs.ts";

export const MAIN = join(import.meta.dir, "../../lib/cli/main.ts");

/** What was told, in a list. */
export function runtimeIn(folder: Folder): Runtime & { told: string[] } {
  // containers outlive whoever makes them
  adoptOrphans();
  const told: string[] = [];
  const tell = (level: string) => (message: string) => void told.push(`${level}: ${message}`);
  const log = { debug: tell("debug"), warn: tell("warning"), error: tell("error") };
  return {
    root: join(folder.path, "root"),
    rootIsDefault: false,
    systemdCgroup: false,
    rootless: process.getuid?.() !== 0,
    log,
    told,
  };
}

/** Of a process that runs. */
export function recordOf(id: string, pid = process.pid): ContainerRecord {
  return {
    version: RECORD_VERSION,
    id,
    ociVersion: "1.2.0",
    bundle: "/bundle",
    rootfs: "/bundle/rootfs",
    created: "2026-01-02T03:04:05.678901234Z",
    owner: process.getuid?.() ?? 0,
    stage: "created",
    pid,
    pidStartTime: startTimeOf(pid) ?? "0",
    steps: 0,
    sharesPids: false,
    systemdCgroup: false,
    rootless: false,
  };
}

/** A container that is nothing but its record. */
export function recorded(runtime: Runtime, id: string, changes: Partial<ContainerRecord> = {}): void {
  using container = Container.reserve(runtime, id);
  container.save({ ...recordOf(id), ...changes });
}

/** The command line as a link to the binary has it; with this root. */
export function ociIn(runtime: Runtime) {
  return (...words: string[]) => ociAs({}, "--root", runtime.root, ...words);
}

interface Called {
  cwd?: string;
  env?: Record<string, string>;
  stdin?: string;
  /** The container keeps stdout and stderr, so that they have no end. */
  leaves?: boolean;
}

export function ociAs(options: Called, ...words: string[]) {
  if (options.leaves) return leaving(options, words);
  const { exitCode, stdout, stderr } = Bun.spawnSync([process.execPath, MAIN, ...words], {
    argv0: "tsbox-oci",
    cwd: options.cwd ?? "/",
    env: { PATH: process.env["PATH"], ...options.env },
    stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
    stdout: "pipe",
    stderr: "pipe",
  });
  return { status: exitCode, stdout: stdout.toString(), stderr: stderr.toString() };
}

function leaving({ cwd = "/", env }: Called, words: string[]) {
  using folder = new Folder();
  const file = folder.write("stderr");
  const { exitCode } = Bun.spawnSync([process.execPath, MAIN, ...words], {
    argv0: "tsbox-oci",
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    stdio: ["ignore", "ignore", Bun.file(file)],
  });
  return { status: exitCode, stdout: "", stderr: readFileSync(file, "utf8") };
}

const NAMESPACES = ["pid", "mount", "ipc", "uts"];

/** A bundle of a root filesystem; what an ordinary user cannot do without is there. @returns its path */
export function bundleIn(
  folder: Folder,
  rootfs: string,
  args: string[],
  changes: Record<string, unknown> = {},
): string {
  const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
  const mapped = (hostID: number) => [{ containerID: 0, hostID, size: 1 }];
  const asUser = uid === 0 ? {} : { uidMappings: mapped(uid), gidMappings: mapped(gid) };
  const namespaces = [...NAMESPACES, ...(uid === 0 ? [] : ["user"])].map((type) => ({ type }));
  const config = {
    ociVersion: "1.2.0",
    process: { user: { uid: 0, gid: 0 }, args, env: ["PATH=/bin"], cwd: "/" },
    root: { path: rootfs },
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/run", type: "tmpfs", source: "tmpfs" },
    ],
    linux: { namespaces, ...asUser },
    ...changes,
  };
  const name = `bundle-${Bun.hash(JSON.stringify(config)).toString(36)}`;
  folder.write(`${name}/config.json`, JSON.stringify(config));
  return join(folder.path, name);
}
