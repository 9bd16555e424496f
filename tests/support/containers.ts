/** Containers as their supervisors see them: a home in a temporary directory, and records that are made by hand. @module */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { Home } from "../../lib/containers/home.ts";
import { launchContainer } from "../../lib/containers/launch.ts";
import type { ContainerOptions } from "../../lib/containers/options.ts";
import type { ContainerRecord } from "../../lib/containers/record.ts";
import { connectPidfd, isAlive, untilOver } from "../../lib/containers/supervisor.ts";
import { close, sendSignal } from "../../syscalls/index.ts";

const SIGKILL = 9;

/** Ends with all that was started in it, and with its files. */
export class TestHome implements AsyncDisposable {
  readonly home: Home;
  readonly root: string;
  readonly records = new Map<string, ContainerRecord>();

  constructor(root = mkdtempSync(`${tmpdir()}/tsbox-containers-`)) {
    this.root = root;
    this.home = new Home(root);
    const update = (id: string, change: (row: ContainerRecord) => ContainerRecord | undefined) => {
      const changed = change(this.record(id));
      if (changed) this.records.set(id, changed);
      return this.record(id);
    };
    // what the supervisor needs of the database
    Object.defineProperty(this.home, "state", {
      value: { containers: { update, list: () => [...this.records.values()] }, [Symbol.dispose]() {} },
    });
  }

  record(id: string): ContainerRecord {
    const found = this.records.get(id);
    if (!found) throw new Error(`no container ${id}`);
    return found;
  }

  /** One that has not been started. */
  make(command: string[], options: ContainerOptions = {}): string {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(32)), (n) => n.toString(16).padStart(2, "0")).join("");
    mkdirSync(this.home.path(id), { recursive: true, mode: 0o700 });
    this.records.set(id, {
      version: 1,
      id,
      name: id.slice(0, 12),
      created: Date.now(),
      options,
      command,
      status: "created",
      pid: 0,
      restarts: 0,
      stopped: false,
      volumes: [],
      hostname: id.slice(0, 12),
    });
    return id;
  }

  async start(id: string): Promise<number> {
    return (await launchContainer(this.home, this.record(id))).pid;
  }

  async run(command: string[], options?: ContainerOptions): Promise<string> {
    const id = this.make(command, options);
    await this.start(id);
    return id;
  }

  kill(id: string, signal = SIGKILL): void {
    const pidfd = connectPidfd(this.home, id);
    if (pidfd === undefined) return;
    sendSignal(pidfd, signal);
    close(pidfd);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const id of this.records.keys()) {
      if (isAlive(this.home, id)) this.kill(id);
      await untilOver(this.home, id);
    }
    rmSync(this.root, { recursive: true, force: true });
  }
}
