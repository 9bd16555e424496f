/**
 * Files of a container, by its own root: an agent in its namespaces makes the calls, so that no symlink and no name in it
 * leads anywhere else.
 * @module
 */
import { ARCH, cstring, TsboxError } from "../../syscalls/index.ts";
import { AGENT } from "../plan/index.ts";
import { defaultProfile } from "../seccomp/index.ts";
import type { IdMapping, Spec } from "../spec/index.ts";
import { Agent, fileError } from "./agent.ts";
import { DEFAULT_CAPABILITIES } from "./capabilities.ts";
import { open, OPEN } from "./file-calls.ts";
import type { FileType } from "./file-stat.ts";
import { join, type Joinable } from "./launch.ts";
import { packPath, type PackedPath } from "./pack.ts";
import { unpack, type Unpacked } from "./unpack.ts";

/** What a path names. */
export interface PathStat {
  /** Where it is, once symlinks are followed. */
  path: string;
  type: FileType;
  mode: number;
  size: number;
  /** Milliseconds since 1970. */
  mtimeMs: number;
}

/** As many as the kernel follows. */
const MAX_LINKS = 40;
const NO_LIMITS = { entries: Infinity, bytes: Infinity };

export class InsideFiles implements AsyncDisposable {
  readonly #agent: Agent;

  /**
   * @param init a pidfd of its first process
   * @param sized its root filesystem has a size of its own
   */
  constructor(spec: Spec, init: number, cgroup: Joinable, sized: boolean) {
    const own = specOfAgent(spec);
    this.#agent = new Agent((stdin) => join(own, init, { stdin, stdout: -1, stderr: -1 }, cgroup, sized, "agent"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.close();
    await this.#agent.ended;
  }

  /** Undefined where there is nothing. @param follow the last symlink as well @throws TsboxError */
  async stat(path: string, follow = true): Promise<PathStat | undefined> {
    using _ = this.#agent.use();
    let at = path;
    for (let links = 0; links <= MAX_LINKS; links++) {
      let opened;
      try {
        opened = await open(this.#agent, "look at", at, OPEN.lookAtLink);
      } catch (error) {
        if ((error as TsboxError).code === "file_not_found") return undefined;
        throw error;
      }
      const { fd, stat } = opened;
      try {
        if (!stat.isSymbolicLink() || !follow)
          return { path: at, type: stat.type, mode: stat.mode, size: stat.size, mtimeMs: stat.mtime.getTime() };
        const target = new TextDecoder().decode(await targetOf(this.#agent, fd, at));
        at = target.startsWith("/") ? target : `${at.slice(0, at.replace(/\/+$/, "").lastIndexOf("/"))}/${target}`;
      } finally {
        this.#agent.closeSoon(fd);
      }
    }
    throw new TsboxError(`look at "${path}": too many symlinks`, { code: "file_refused", path });
  }

  /** As a tar archive. @throws TsboxError */
  pack(path: string, options: PackedPath): AsyncGenerator<Uint8Array, void> {
    return packPath(this.#agent, path, options);
  }

  /**
   * Unpacks an archive in a directory that is there.
   * @param sameOwner files belong to whom the archive says, rather than to root
   * @throws TsboxError `archive_refused`, and as files are written
   */
  async unpack(
    path: string,
    archive: AsyncIterable<Uint8Array>,
    { sameOwner = false, signal }: { sameOwner?: boolean; signal?: AbortSignal | undefined } = {},
  ): Promise<Unpacked> {
    using _ = this.#agent.use();
    return await unpack(this.#agent, path, archive, NO_LIMITS, { sameOwner, anyLinks: true, signal });
  }
}

/** Of a symlink that is open as a path. */
async function targetOf(agent: Agent, fd: number, path: string): Promise<Uint8Array> {
  const args = [fd, cstring(""), AGENT.outbox, 4096];
  const reply = await agent.request({ ops: [{ call: "readlinkat", args, out: "bytes" }] });
  if (reply.failed) throw fileError("look at", reply.failed, path);
  return reply.bytes;
}

/** Root inside, where there is one; with what makes files, whatever the command may do. */
function specOfAgent(spec: Spec): Spec {
  const { uidMappings, gidMappings } = spec.linux;
  const hasRoot = (maps: IdMapping[] | undefined) => !maps || maps.some(({ containerID }) => containerID === 0);
  const isRoot = hasRoot(uidMappings) && hasRoot(gidMappings);
  const capabilities = isRoot ? [...DEFAULT_CAPABILITIES] : [];
  const { user: asked, rlimits: _, ...rest } = spec.process;
  const process = {
    ...rest,
    args: [],
    cwd: "/",
    terminal: false,
    user: isRoot ? { uid: 0, gid: 0, umask: 0o022 } : { ...asked, umask: 0o022 },
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges: true,
  };
  return { ...spec, process, linux: { ...spec.linux, seccomp: defaultProfile(capabilities, ARCH) } };
}
