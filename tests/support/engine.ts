/** The containers of a home in a temporary directory, of a small root filesystem, and all that is left of them. @module */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Home } from "../../lib/containers/home.ts";
import {
  Containers,
  type Container,
  type ContainerEvent,
  type ContainerOptions,
  type ContainerRecord,
} from "../../lib/containers/index.ts";
import { Images } from "../../lib/images/index.ts";
import { connectPidfd } from "../../lib/containers/supervisor.ts";
import { pidOf } from "../../lib/containers/signals.ts";
import { close } from "../../syscalls/index.ts";
import { eventually, processes } from "./processes.ts";
import { makeRootfs } from "./rootfs.ts";

export class TestEngine implements AsyncDisposable {
  readonly root = mkdtempSync(`${tmpdir()}/tsbox-engine-`);
  readonly rootfs = makeRootfs();
  readonly home = new Home(this.root);
  containers = new Containers(this.root);

  /** One of the root filesystem, unless an image is asked for; a shell runs it where the command is a line. */
  create(command: string | string[], options: ContainerOptions = {}): Promise<Container> {
    return this.containers.create(this.#options(command, options));
  }

  run(command: string | string[], options: ContainerOptions = {}): Promise<Container> {
    return this.containers.run(this.#options(command, options));
  }

  #options(command: string | string[], options: ContainerOptions): ContainerOptions {
    const words = typeof command === "string" ? ["sh", "-c", command] : command;
    return { ...(options.image === undefined ? { rootfs: this.rootfs.path } : {}), command: words, ...options };
  }

  /** An image of the root filesystem. @param changes instructions of a Dockerfile */
  async image(reference: string, changes: string[]): Promise<string> {
    const archive = `${this.root}/${reference}.tar`;
    const packed = Bun.spawnSync(["tar", "--owner=0", "--group=0", "-cf", archive, "-C", this.rootfs.path, "."]);
    if (packed.exitCode !== 0) throw new Error(packed.stderr.toString());
    using images = new Images(this.root);
    await images.import(archive, { reference, changes });
    return reference;
  }

  /** The containers are asked of another one from now on: the database is closed meanwhile. */
  reopen(): void {
    this.home[Symbol.dispose]();
    this.containers[Symbol.dispose]();
    this.containers = new Containers(this.root);
  }

  /** What the database says, whatever is true by now. */
  row(container: Container): ContainerRecord | undefined {
    return this.home.state.containers.get<ContainerRecord>(container.id);
  }

  /** What has happened to a container: `"kill 15"`, `"die 0"`, `"start"`. */
  events({ id }: Container): string[] {
    return this.eventRows(id).map(({ action, attributes: { signal, exitCode } }) =>
      [action, signal ?? exitCode].filter((word) => word !== undefined).join(" "),
    );
  }

  eventRows(id: string): ContainerEvent[] {
    return this.home.state.eventsAfter(0).filter((event) => event.id === id) as ContainerEvent[];
  }

  /** Of its init, on the host, as its supervisor passes it. */
  init({ id }: Container): number {
    const pidfd = connectPidfd(this.home, id);
    if (pidfd === undefined) throw new Error(`${id} does not run`);
    const pid = pidOf(pidfd);
    close(pidfd);
    return pid as number;
  }

  /** Of its command, on the host. */
  command(container: Container): number {
    const init = this.init(container);
    return Number(readFileSync(`/proc/${init}/task/${init}/children`, "utf8").split(" ")[0]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const records = this.home.state.containers.list<ContainerRecord>();
    for (const { id } of records) {
      const container = await this.containers.get(id).catch(() => undefined);
      await container?.remove({ force: true, volumes: true }).catch((error: { code?: string }) => {
        if (error.code !== "container_not_found") throw error;
      });
    }
    // what supervisors have executed
    await eventually(() => !records.some(({ id }) => commandLines().includes(id)), 30_000);
    this.containers[Symbol.dispose]();
    this.home[Symbol.dispose]();
    this.rootfs.remove();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** Of all that runs. */
export const commandLines = (): string =>
  processes()
    .map(({ pid }) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
      } catch {
        return "";
      }
    })
    .join("\n");

/** One character, as ps(1) has it: `T` stopped, `D` frozen, `S` asleep. */
export function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  return stat.slice(stat.lastIndexOf(")") + 2)[0] as string;
}
